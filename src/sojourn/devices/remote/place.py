"""Where the other service is and who we are there: the options that its drivers share, and the key."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from sojourn.devices.driver import DriverError, OptionReader

_PREFIX = "/api/v1"
_LONGEST_KEY = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """A device of another service. `url` is the base of its API, `iam` that of the exchange of the key for a
    token; both end without a slash. `instance` is the CRN of the project there, "" for the key's own."""

    device: str
    url: str
    iam: str
    instance: str
    key: Callable[[], str]
    authority: Path | None

    def __str__(self) -> str:
        """For messages: ``torino at lab-b.example.org``."""
        return f"{self.device} at {urlsplit(self.url).netloc}"


def read_place(reader: OptionReader) -> Place:
    """The options `url`, `backend`, `instance`, `iam_url`, `key_file` or `key_env`, `ca_file`. Raises
    `DriverError`."""
    url = read_url(reader, "url")
    if url is None:
        raise reader.bad("url", None, "the address of the other service, as https://lab-b.example.org:8420")
    device = read_text(reader, "backend", "the name of the device there")
    if device is None:
        raise reader.bad("backend", None, "the name of the device there")
    parts = urlsplit(url)
    if not parts.path:
        url += _PREFIX
    iam = read_url(reader, "iam_url") or urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    authority = reader.take("ca_file", (str,), None, "a file with certificates (PEM)")
    if authority is not None and not Path(authority).is_file():
        raise reader.bad("ca_file", authority, "a file with certificates (PEM)")
    instance = read_text(reader, "instance", "the CRN of a project there") or ""
    return Place(
        device,
        url,
        iam,
        instance,
        read_key(reader),
        None if authority is None else Path(authority),
    )


def read_key(reader: OptionReader) -> Callable[[], str]:
    """`key_file` or `key_env`. The key is read when it is used, so a new one needs no restart."""
    if "key" in reader.options:
        raise DriverError(
            f"device {reader.device!r}: an API key does not belong into the configuration; put it into a "
            "file that only the server's user can read and name that with 'key_file', or name a variable "
            "of the server's environment with 'key_env'"
        )
    file = read_text(reader, "key_file", "the path of a file with the API key")
    variable = read_text(reader, "key_env", "the name of a variable with the API key")
    if (file is None) == (variable is None):
        raise DriverError(
            f"device {reader.device!r}: driver {reader.driver!r} needs one of the options 'key_file' and "
            "'key_env', which say where the API key for the other service is"
        )
    device = reader.device

    def of_file() -> str:
        assert file is not None
        try:
            with Path(file).open(encoding="utf-8") as text:
                return _checked(text.read(_LONGEST_KEY).strip(), device, f"the file {file}")
        except (OSError, UnicodeDecodeError) as error:
            raise DriverError(
                f"device {device!r}: the API key cannot be read from {file}: {error}. The workers of devices "
                "cannot see the server's data folder: keep it elsewhere"
            ) from error

    def of_variable() -> str:
        assert variable is not None
        return _checked(os.environ.get(variable, "").strip(), device, f"the variable {variable}")

    found = of_variable if file is None else of_file
    found()
    return found


def _checked(key: str, device: str, where: str) -> str:
    if key and key.isascii() and key.isprintable() and " " not in key:
        return key
    raise DriverError(f"device {device!r}: {where} holds no API key")


def read_text(reader: OptionReader, name: str, allowed: str) -> str | None:
    found: str | None = reader.take(name, (str,), None, allowed)
    if found is not None and not found.strip():
        raise reader.bad(name, found, allowed)
    return found


def read_url(reader: OptionReader, name: str) -> str | None:
    """An address of http or https, without a slash at its end."""
    allowed = "an address such as https://lab-b.example.org:8420"
    found = read_text(reader, name, allowed)
    if found is None:
        return None
    try:
        parts = urlsplit(found)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or parts.username:
        raise reader.bad(name, found, allowed)
    return found.rstrip("/")


def read_seconds(reader: OptionReader, name: str, default: float, low: float, high: float) -> float:
    allowed = f"seconds from {low:g} to {high:g}"
    found = float(reader.take(name, (int, float), default, allowed))
    if not low <= found <= high:
        raise reader.bad(name, found, allowed)
    return found


def read_choice(reader: OptionReader, name: str, default: str, choices: tuple[str, ...]) -> str:
    allowed = " or ".join(choices)
    found: str = reader.take(name, (str,), default, allowed)
    if found not in choices:
        raise reader.bad(name, found, allowed)
    return found

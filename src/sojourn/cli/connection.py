"""Finds a server and a key: flags and variables first, else the configuration and its data folder.

Reads files, opens no connection.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sojourn.cli.errors import CliError

if TYPE_CHECKING:
    from sojourn.config import Settings

Who = Literal["operator", "local"]


@dataclass(frozen=True, slots=True)
class Where:
    """What the user said about the server; None is not said."""

    url: str | None = None
    token: str | None = None
    config: Path | None = None
    data: Path | None = None

    def settings(self) -> Settings:
        """The configuration of the server, as the flags and variables name it."""
        from sojourn.config import ConfigError, load

        try:
            return load(self.config, {"server": {"data": self.data}})
        except ConfigError as error:
            raise CliError(str(error)) from None

    def find_url(self) -> str:
        """The server's address without a path: as given, else what the server wrote, else as configured."""
        if self.url:
            return _checked(self.url)
        settings = self.settings()
        running = settings.server.data / "server.json"
        try:
            return _checked(str(json.loads(running.read_text(encoding="utf-8"))["url"]))
        except (OSError, ValueError, KeyError, TypeError):
            # Not running, or started with another data folder: the connection fails then.
            return address(settings.server.host, settings.server.port)

    def find_key(self, who: Who) -> str:
        """The key as given, else that of the operator or of the local user in the data folder."""
        if self.token:
            return _key(self.token, "the API key of --token (or SOJOURN_TOKEN)")
        if self.url:
            raise CliError(
                "a server given by --url (or SOJOURN_URL) needs an API key: --token KEY or SOJOURN_TOKEN"
            )
        path = self.settings().server.data / f"{who}.key"
        try:
            key = path.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            raise CliError(
                f"there is no {who} key at {path}. `sojourn serve` makes it at its first start: start the "
                "server, or name its folder (--data), its configuration (--config), or its address and a key "
                "(--url, --token)"
            ) from None
        except OSError as error:
            raise CliError(
                f"the {who} key cannot be read: {error}. Run this as the user of the server"
            ) from None
        if not key:
            raise CliError(
                f"the {who} key at {path} is empty; stop the server, remove the file and start it again"
            )
        return _key(key, f"the {who} key at {path}")


def _key(text: str, what: str) -> str:
    """What a header can carry. The message does not show it: it may be a key but for one character."""
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise CliError(f"{what} has a character that keys do not have; copy the key again")
    return text


def address(host: str, port: int) -> str:
    """A URL at which a server that listens on `host` answers this machine."""
    if host in ("", "0.0.0.0"):
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise CliError(f"{url!r} is not the address of a server; it looks like http://127.0.0.1:8420")
    return url.rstrip("/")

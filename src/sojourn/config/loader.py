"""Owns how a file, the environment and flags combine into `Settings`, and what is refused on the way."""

from __future__ import annotations

import os
import shutil
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from sojourn.config.errors import PREFIX, ConfigError, fields_at, meant, sentence
from sojourn.config.sections.devices import DeviceSettings
from sojourn.config.settings import LISTS, SECTIONS, Settings

_CLIENT_VARIABLES = frozenset({"SOJOURN_URL", "SOJOURN_TOKEN", "SOJOURN_CONFIG"})
"""Variables of the command line; they say which server to talk to and are never settings of one."""


class _Layers(BaseSettings):
    """The three layers laid over each other, not yet checked; `Settings` does that, with better messages."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="allow")
    server: dict[str, Any] = {}
    access: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    profiles: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    reservations: dict[str, Any] = {}
    retention: dict[str, Any] = {}
    accounts: list[Any] | None = None
    projects: list[Any] | None = None
    devices: list[Any] | None = None


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """File < environment < `overrides` (nested like the file; None means not given). Raises ConfigError.

    `server.data` comes back absolute: from the file it is relative to the file, else to the working folder.
    """
    table = _read(path) if path is not None else {}
    flags = _without_none(overrides or {})
    stray = list(_stray_variables(os.environ))
    if stray:
        raise ConfigError("\n".join(stray))

    class Layered(_Layers):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, table)

    where = f" (configuration file {path})" if path is not None else ""
    try:
        layers = Layered(**flags)
        merged = layers.model_dump(exclude_none=True)
        settings = Settings.model_validate({key: value for key, value in merged.items() if value != {}})
    except ValidationError as error:
        raise ConfigError("\n".join(sentence(e, Settings) for e in error.errors()) + where) from None
    except SettingsError as error:
        raise ConfigError(
            f"{error}: SOJOURN_SERVER, SOJOURN_POLICY, SOJOURN_DEVICES and their like take JSON"
        ) from None
    _check_drivers(settings.devices)
    data = settings.server.data.absolute()
    return settings.model_copy(update={"server": settings.server.model_copy(update={"data": data})})


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the configuration file {path} is not valid TOML: {error}") from None
    server = table.get("server")
    data = server.get("data") if isinstance(server, dict) else None
    if isinstance(data, str) and data:
        table["server"] = {**typing.cast("dict[str, Any]", server)}
        table["server"]["data"] = str(path.absolute().parent / Path(data).expanduser())
    for section in SECTIONS:
        if not isinstance(table.get(section, {}), dict):
            raise ConfigError(f"{section} = {table[section]!r}: a table is needed, [{section}] (in {path})")
    for section in LISTS:
        if not isinstance(table.get(section, []), list):
            each = section.removesuffix("s")
            raise ConfigError(
                f"{section}: a list of tables is needed, one [[{section}]] for each {each} (in {path})"
            )
    return table


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            value = _without_none(value)
        if value is not None and value != {}:
            kept[key] = value
    return kept


def _stray_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Names that look like settings and are none.

    Only names with `__` count: a container platform sets SOJOURN_PORT and the like on its own.
    """
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or "__" not in upper or upper in _CLIENT_VARIABLES:
            continue
        section, key = upper.removeprefix(PREFIX).lower().split("__", 1)
        if section in LISTS:
            whole = f"{PREFIX}{section.upper()}"
            yield f"{name}: single {section} cannot be set; {whole} takes a JSON list of tables"
        elif section not in SECTIONS:
            yield f"{name}: there is no section {section!r}{meant(section, SECTIONS)}"
        elif section == "profiles":
            continue  # SOJOURN_PROFILES__NAME__KEY: the keys are checked with the file's
        elif key not in fields_at(Settings, (section,)):
            yield f"{name}: unknown key {section}.{key}{meant(key, fields_at(Settings, (section,)))}"


def _check_drivers(devices: Iterable[DeviceSettings]) -> None:
    from importlib.metadata import entry_points  # 20 ms that only `load` needs

    known = sorted({point.name for point in entry_points(group="sojourn.drivers")})
    for index, device in enumerate(devices):
        label = f"devices[{index}] ({device.name})"
        if device.python is not None:
            # The driver is installed over there, so only the worker can tell; the interpreter we can check.
            if shutil.which(Path(device.python).expanduser()) is None:
                raise ConfigError(f"{label}.python = {device.python!r}: there is no such program")
        elif device.driver not in known:
            raise ConfigError(
                f"{label}.driver = {device.driver!r}: there is no such driver{meant(device.driver, known)}"
            )

"""Combines a file, the environment and flags into `Settings`, and reports what is wrong with them."""

from __future__ import annotations

import json
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

from sojourn.config.errors import PREFIX, ConfigError, did_you_mean, keys_at, sentence
from sojourn.config.sections.devices import DeviceSettings
from sojourn.config.settings import LISTS, SECTIONS, Settings

_CLIENT_VARIABLES = frozenset({"SOJOURN_URL", "SOJOURN_TOKEN", "SOJOURN_CONFIG"})
"""Variables of the command line; they say which server to talk to and are never settings of one."""


class _Merged(BaseSettings):
    """The three sources merged and not yet checked: `Settings` does that, with better messages."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="allow")
    server: dict[str, Any] = {}
    access: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    profiles: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    reservations: dict[str, Any] = {}
    retention: dict[str, Any] = {}
    dashboard: dict[str, Any] = {}
    webhooks: dict[str, Any] = {}
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

    class Layered(_Merged):
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
        merged = Layered(**flags).model_dump(exclude_none=True)
        settings = Settings.model_validate({key: value for key, value in merged.items() if value != {}})
    except ValidationError as error:
        raise ConfigError("\n".join(sentence(e, Settings) for e in error.errors()) + where) from None
    except SettingsError as error:
        raise ConfigError("\n".join(_not_json(os.environ)) or str(error)) from None
    _check_drivers(settings.devices)
    data = settings.server.data.absolute()
    return settings.model_copy(update={"server": settings.server.model_copy(update={"data": data})})


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"the configuration file {path} does not exist") from None
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
            raise ConfigError(f"{section} = {table[section]!r}: must be a table, [{section}] (in {path})")
    for section in LISTS:
        if not isinstance(table.get(section, []), list):
            each = section.removesuffix("s")
            raise ConfigError(
                f"{section}: must be a list of tables, one [[{section}]] for each {each} (in {path})"
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
    """One sentence for each variable that looks like a setting and is not one.

    Only names with `__` count: a container platform sets SOJOURN_PORT and the like on its own.
    """
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or "__" not in upper or upper in _CLIENT_VARIABLES:
            continue
        section, key = upper.removeprefix(PREFIX).lower().split("__", 1)
        if section in LISTS:
            whole = f"{PREFIX}{section.upper()}"
            yield f"{name}: {section} cannot be set one by one; {whole} takes a JSON list of tables"
        elif section not in SECTIONS:
            yield f"{name}: unknown section {section!r}{did_you_mean(section, SECTIONS)}"
        elif section == "profiles":
            continue  # SOJOURN_PROFILES__NAME__KEY: the keys are checked with the file's
        elif key not in keys_at(Settings, (section,)):
            yield f"{name}: unknown key {section}.{key}{did_you_mean(key, keys_at(Settings, (section,)))}"


def _not_json(environment: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each variable of a whole section that is not JSON."""
    for name in sorted(environment):
        if name.upper().removeprefix(PREFIX).lower() in SECTIONS:
            try:
                json.loads(environment[name])
            except ValueError:
                yield f"{name} = {environment[name]!r}: must be a table as JSON"


def _check_drivers(devices: Iterable[DeviceSettings]) -> None:
    from importlib.metadata import entry_points  # 20 ms that only `load` needs

    known = sorted({point.name for point in entry_points(group="sojourn.drivers")})
    for index, device in enumerate(devices):
        label = f"devices[{index}] ({device.name})"
        if device.python is not None:
            # The driver is installed in that environment, so only its worker can check it.
            if shutil.which(Path(device.python).expanduser()) is None:
                raise ConfigError(f"{label}.python = {device.python!r}: program not found")
        elif device.driver not in known:
            raise ConfigError(
                f"{label}.driver = {device.driver!r}: unknown driver{did_you_mean(device.driver, known)}"
            )

"""Owns the settings: their names, limits and defaults, and how a file, the environment and flags combine.

A leaf: imports nothing of Sojourn, never imports a driver, opens no socket and makes no folder.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

PREFIX = "SOJOURN_"
CLIENT_VARIABLES = frozenset({"SOJOURN_URL", "SOJOURN_TOKEN", "SOJOURN_CONFIG"})
"""Variables of the command line; they say which server to talk to and are never settings of one."""


class ConfigError(Exception):
    """The configuration cannot be used. One line per fault: the key, the value, what is allowed."""


def _not_a_boolean(value: object) -> object:
    # pydantic would take `true` for 1.0, which is never what somebody meant by a time or a port.
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a boolean")
    return value


def _home(value: object) -> object:
    if value == "":
        raise ValueError("the path is empty")
    return Path(value).expanduser() if isinstance(value, str) else value


_Number = Annotated[float, BeforeValidator(_not_a_boolean), Field(allow_inf_nan=False)]
_Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
_Folder = Annotated[Path, BeforeValidator(_home)]

_TTL = "How long the device is held for a {mode} session after one of its jobs ended, in seconds (R21-R25)."


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """`[server]`: where it listens and where it keeps what it knows."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` is every one."
    )
    port: _Whole = Field(
        default=8420, ge=0, le=65535, description="TCP port; 0 takes a free one, see `server.json`."
    )
    data: _Folder = Field(
        default=Path("./sojourn-data"),
        description="Folder of the database, the job bodies and the keys. In a file, relative to that file.",
    )
    token_lifetime: _Number = Field(
        default=3600.0,
        ge=60,
        le=86400,
        description="Life of the access tokens that API keys are exchanged for, in seconds. "
        "QRMI fetches a new one at every call when it is 360 or less.",
    )
    max_body_mb: _Number = Field(
        default=64.0,
        gt=0,
        le=256,  # what fits into one frame to a worker
        description="Largest request body, in megabytes.",
    )
    preparers: _Whole = Field(
        default=1, ge=1, le=64, description="Processes that decode and check jobs before they are queued."
    )


class PolicySettings(_Section):
    """`[policy]`: the rules of the queue. Those in `DeviceSettings` again may differ per device."""

    profile: Literal["seed"] = Field(default="seed", description="The table of rules that holds.")
    interactive_ttl: _Number = Field(default=300.0, ge=0, description=_TTL.format(mode="dedicated"))
    batch_ttl: _Number = Field(default=300.0, ge=0, description=_TTL.format(mode="batch"))
    max_time: _Number = Field(
        default=28800.0,
        gt=0,
        description="Longest session, in seconds of wall clock from its first job on (R16-R20).",
    )
    unused_expiry: _Number = Field(
        default=1800.0,
        gt=0,
        description="A session that never ran a job is ended after this many seconds (R26).",
    )
    poll_hold: _Number = Field(
        default=2.0,
        ge=0,
        le=60,
        description="Longest time that a waiting status poll is held, in seconds; 0 is never.",
    )
    submit_retry_window: _Number = Field(
        default=300.0,
        ge=0,
        description="A submit that is repeated byte for byte within this many seconds, after a lost reply, "
        "makes no second job (R54).",
    )
    admission_hold: _Number = Field(
        default=2.0,
        ge=0,
        le=60,
        description="How long a submit waits for the check of its job, in seconds, so that the answer can be "
        "a refusal.",
    )


class DeviceSettings(_Section):
    """`[[devices]]`: one device. A time that is not set is the policy's."""

    name: str = Field(
        pattern=r"^[a-z0-9_-]+$",
        max_length=64,
        description="What programs call it: `a-z`, `0-9`, `_` and `-`.",
    )
    driver: str = Field(
        min_length=1,
        description="`fake`, `aer`, `mock`, or another entry point of the group `sojourn.drivers`.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Given to the driver as they are, see the driver's own documentation.",
    )
    python: str | None = Field(
        default=None, description="Interpreter of its workers, when the driver lives in another environment."
    )
    interactive_ttl: _Number | None = Field(
        default=None, ge=0, description="As in `[policy]`, for this device."
    )
    batch_ttl: _Number | None = Field(default=None, ge=0, description="As in `[policy]`, for this device.")
    max_time: _Number | None = Field(default=None, gt=0, description="As in `[policy]`, for this device.")
    unused_expiry: _Number | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )


DEFAULT_DEVICES = (
    DeviceSettings(name="ibm_torino", driver="fake", options={"backend": "FakeTorino"}),
    DeviceSettings(name="ibm_fez", driver="fake", options={"backend": "FakeFez"}),
    DeviceSettings(name="aer", driver="aer", options={"qubits": 30}),
)

_PER_DEVICE = ("interactive_ttl", "batch_ttl", "max_time", "unused_expiry")


class Settings(_Section):
    """Everything a server is told. `Settings()` is the default; only `load` reads files and variables."""

    server: ServerSettings = ServerSettings()
    policy: PolicySettings = PolicySettings()
    devices: tuple[DeviceSettings, ...] = DEFAULT_DEVICES

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        if not self.devices:
            raise ValueError("devices: there is none; leave the list out for the default ones, or name one")
        seen: set[str] = set()
        for device in self.devices:
            if device.name in seen:
                raise ValueError(f"two devices are called {device.name!r}; each needs its own name")
            seen.add(device.name)
        return self

    def policy_of(self, device: str) -> PolicySettings:
        """The policy with the overrides of `device` put in; KeyError for a device that is not configured."""
        for configured in self.devices:
            if configured.name == device:
                own = {key: getattr(configured, key) for key in _PER_DEVICE}
                return self.policy.model_copy(update={k: v for k, v in own.items() if v is not None})
        raise KeyError(device)


class _Layers(BaseSettings):
    """The three layers laid over each other, not yet checked; `Settings` does that, with better messages."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="allow")
    server: dict[str, Any] = {}
    policy: dict[str, Any] = {}
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
        raise ConfigError("\n".join(_sentence(e) for e in error.errors()) + where) from None
    except SettingsError as error:
        raise ConfigError(f"{error}: SOJOURN_SERVER, SOJOURN_POLICY and SOJOURN_DEVICES take JSON") from None
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
    for section in ("server", "policy"):
        if not isinstance(table.get(section, {}), dict):
            raise ConfigError(f"{section} = {table[section]!r}: a table is needed, [{section}] (in {path})")
    if not isinstance(table.get("devices", []), list):
        raise ConfigError(f"devices: a list of tables is needed, one [[devices]] for each device (in {path})")
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
        if not upper.startswith(PREFIX) or "__" not in upper or upper in CLIENT_VARIABLES:
            continue
        section, key = upper.removeprefix(PREFIX).lower().split("__", 1)
        if section == "devices":
            yield f"{name}: single devices cannot be set; SOJOURN_DEVICES takes a JSON list of tables"
        elif section not in ("server", "policy"):
            yield f"{name}: there is no section {section!r}{_meant(section, ['server', 'policy'])}"
        elif key not in _fields_at((section,)):
            yield f"{name}: unknown key {section}.{key}{_meant(key, _fields_at((section,)))}"


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
                f"{label}.driver = {device.driver!r}: there is no such driver{_meant(device.driver, known)}"
            )


def _meant(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} Allowed: {', '.join(names)}" if hint else f". Allowed: {', '.join(names)}"


def _fields_at(location: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that are allowed in the table at `location`, () for a table that we do not know."""
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, int):
            continue
        if part not in model.model_fields:
            return ()
        inner = _model_in(model.model_fields[part].annotation)
        if inner is None:
            return ()
        model = inner
    return tuple(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) is None:
        return None
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _sentence(error: Any) -> str:
    """One fault, as `key = value: what is wrong; what is allowed`."""
    location: tuple[str | int, ...] = tuple(error["loc"])
    key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key{_meant(str(location[-1]), _fields_at(location[:-1]))}"
    if error["type"] == "missing":
        return f"{key}: this key must be set"
    if not location:
        return str(error["msg"]).removeprefix("Value error, ")
    source = _variable_of(location)
    return f"{key} = {error['input']!r}: {_allowed(error)}" + (f" (from {source})" if source else "")


def _allowed(error: Any) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return f"allowed is {context['expected']}"
        case "string_pattern_mismatch":
            return "allowed are a-z, 0-9, '_' and '-'"
        case "greater_than_equal":
            return f"it must be at least {context['ge']:g}"
        case "greater_than":
            return f"it must be more than {context['gt']:g}"
        case "less_than_equal":
            return f"it must be at most {context['le']:g}"
        case "float_parsing" | "float_type" | "finite_number":
            return "a number is needed"
        case "list_type":
            return "a list of tables is needed"
        case "int_parsing" | "int_type" | "int_from_float":
            return "a whole number is needed"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def _variable_of(location: tuple[str | int, ...]) -> str | None:
    name = PREFIX + "__".join(str(part) for part in location if not isinstance(part, int)).upper()
    present = {variable.upper(): variable for variable in os.environ}
    return present.get(name)


def reference() -> list[tuple[str, str, str]]:
    """(key, default, description) of every setting, for the documentation and its test."""
    rows: list[tuple[str, str, str]] = []
    for section, model in (
        ("server", ServerSettings),
        ("policy", PolicySettings),
        ("devices", DeviceSettings),
    ):
        for name, field in model.model_fields.items():
            default = "" if field.is_required() else str(field.get_default(call_default_factory=True))
            rows.append((f"{section}.{name}", default, field.description or ""))
    return rows

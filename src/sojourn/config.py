"""Owns the settings: their names, limits and defaults, and how a file, the environment and flags combine.

A leaf: imports nothing of Sojourn, never imports a driver, opens no socket and makes no folder.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
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


def _time_or_root(value: object) -> float | Literal["root"]:
    if value == "root":
        return "root"
    try:
        number = float(typing.cast("str", value))
    except (TypeError, ValueError):
        number = 0.0
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise ValueError("a positive number of seconds is needed, or 'root': the limit of the first job")
    return number


def _cron(value: object) -> object:
    if isinstance(value, str):
        from cronsim import CronSim, CronSimError

        try:
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(
                "a cron expression is needed: minute, hour, day, month and weekday, such as '0 4 * * *' "
                f"({error or 'it never comes true'})"
            ) from None
    return value


_Schedule = Annotated[str, BeforeValidator(_cron)]
_TimeOrRoot = Annotated[float | Literal["root"], PlainValidator(_time_or_root)]
_Positive = Annotated[float, BeforeValidator(_not_a_boolean), Field(gt=0, allow_inf_nan=False)]
_Program = Literal["sampler", "estimator", "executor", "noise-learner", "noise-learner-v3", "calibrate"]
_Folder = Annotated[Path, BeforeValidator(_home)]

BUILT_IN_PROFILES = ("seed", "ibm2026")
"""Named here because a leaf cannot ask the core; a test compares."""

_TTL = "How long the device is held for a {mode} session after one of its jobs ended, in seconds (R21-R25)."
_MAX_TIME = "Longest session, in seconds of wall clock from its first job on (R16-R20)."
_UNUSED = "A session that never ran a job is ended after this many seconds (R26)."
_SHORTEST = "The shortest reservation, in seconds (R47)."
_ALLOWANCE = "Seconds that a project may have booked ahead on a device (R47)."


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
    journal: bool = Field(
        default=False,
        description="Record every event and decision of the queue in the database, for `sojourn replay`.",
    )


class PolicySettings(_Section):
    """`[policy]`: the rules of the queue. Those in `DeviceSettings` again may differ per device.

    A number of the profile that is None is the profile's own.
    """

    profile: str = Field(
        default="seed",
        description="The table of rules that holds: `seed`, `ibm2026`, or one of `[profiles]`.",
    )
    interactive_ttl: _Number | None = Field(default=None, ge=0, description=_TTL.format(mode="dedicated"))
    batch_ttl: _Number | None = Field(default=None, ge=0, description=_TTL.format(mode="batch"))
    max_time: _Number | None = Field(default=None, gt=0, description=_MAX_TIME)
    unused_expiry: _Number | None = Field(default=None, gt=0, description=_UNUSED)
    reservation_minimum: _Number | None = Field(default=None, gt=0, description=_SHORTEST)
    reservation_allowance: _Number | None = Field(default=None, gt=0, description=_ALLOWANCE)
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


class ProfileSettings(_Section):
    """`[profiles.NAME]`: a site's own table of rules. What is None is as in `base`."""

    base: Literal["seed", "ibm2026"] = Field(default="seed", description="The profile that it starts from.")
    interactive_ttl: _Number | None = Field(default=None, ge=0, description=_TTL.format(mode="dedicated"))
    batch_ttl: _Number | None = Field(default=None, ge=0, description=_TTL.format(mode="batch"))
    max_time: _Number | None = Field(default=None, gt=0, description=_MAX_TIME)
    default_max_time: _TimeOrRoot | None = Field(
        default=None,
        description="How long a session lasts that does not say: seconds, or `root` for the limit of its "
        "first job (R19).",
    )
    unused_expiry: _Number | None = Field(default=None, gt=0, description=_UNUSED)
    cache_grace: _Number | None = Field(
        default=None, ge=0, description="How long the first job's data outlives `max_time`, in seconds (R42)."
    )
    root_cancel_ends_session: bool | None = Field(
        default=None, description="Whether cancelling the first job ends its session (R40)."
    )
    hard_close: Literal["failed", "cancelled"] | None = Field(
        default=None, description="What a hard close makes of the queued jobs (R33)."
    )
    charge_holds: list[Literal["dedicated", "batch"]] | None = Field(
        default=None, description="The kinds of sessions whose idle holds are charged (R49)."
    )
    open_plan_sessions: bool | None = Field(
        default=None, description="Whether projects on the open plan may have sessions; if not, 1352."
    )
    program_limits: dict[_Program, _Positive] | None = Field(
        default=None,
        description="Seconds that a job of a program may run when it does not say (R19); those not named are "
        "as in `base`.",
    )
    job_limit: _Number | None = Field(
        default=None, gt=0, description="The same for programs without a limit of their own, in seconds."
    )
    job_cap: _Number | None = Field(
        default=None, gt=0, description="The longest that any job may run, in seconds (R52, D14)."
    )
    crash_reruns: _Whole | None = Field(
        default=None, ge=0, le=100, description="How often a job is run again after its worker died."
    )
    rerun_lost: bool | None = Field(
        default=None, description="Whether a job that was running when the service died is run again (R55)."
    )
    system_in_dedicated: bool | None = Field(
        default=None, description="Whether system jobs run while a dedicated session is active (R11)."
    )
    fair_share_window: _Number | None = Field(
        default=None, gt=0, description="How far back used device time counts, in seconds (R48)."
    )
    half_life: _Number | None = Field(
        default=None,
        gt=0,
        description="Used time counts half after this many seconds, instead of a window (R48).",
    )
    reservation_minimum: _Number | None = Field(
        default=None, gt=0, description="The shortest reservation, in seconds (R47)."
    )
    reservation_allowance: _Number | None = Field(
        default=None, gt=0, description="Seconds that a project may have booked ahead on a device (R47)."
    )

    def changes(self) -> dict[str, Any]:
        """What differs from `base`, by the names of the core's profile; None stands for `root`."""
        found = {k: v for k, v in self if k != "base" and v is not None}
        if found.get("default_max_time") == "root":
            found["default_max_time"] = None
        return found


class LimitsSettings(_Section):
    """`[limits]`: what one user, project or device may ask for (R50); 0 is no limit.

    A project may have its own values for all but `pending_per_device`.
    """

    pending_per_user: _Whole = Field(
        default=10_000, ge=0, description="Jobs of one user in one project that have not ended."
    )
    pending_per_project: _Whole = Field(
        default=50_000, ge=0, description="Jobs of one project that have not ended."
    )
    pending_per_device: _Whole = Field(
        default=100_000, ge=0, description="Jobs on one device that have not ended, whose ever they are."
    )
    sessions_per_user: _Whole = Field(
        default=1000, ge=0, description="Sessions and batches of one user in one project that have not ended."
    )
    payload_mb: _Number = Field(
        default=0.0, ge=0, description="Largest inputs of a job, in megabytes; see also `server.max_body_mb`."
    )
    circuits: _Whole = Field(default=100_000, ge=0, description="Circuits of one job.")
    executions: _Whole = Field(
        default=100_000_000,
        ge=0,
        description="Executions of one job: circuits, times their parameter values, times shots.",
    )
    execution_seconds: _Number = Field(
        default=0.0,
        ge=0,
        description="Longest time that a job may ask for and run, in seconds; the profile's own limit always "
        "holds.",
    )
    # An honest client that only submits and fetches as fast as the server answers must stay below it.
    request_rate: _Number = Field(
        default=5000.0,
        ge=0,
        description="Requests of one user in one project, per second in the long run. A status poll counts "
        "for a tenth.",
    )
    request_burst: _Whole = Field(
        default=10000, ge=1, description="Requests that may come at once before `request_rate` holds."
    )


class RetentionSettings(_Section):
    """`[retention]`: how long the bytes of jobs that have ended are kept; 0 is for ever."""

    params_days: _Number = Field(
        default=0.0, ge=0, description="Days after its end for which a job's inputs are kept."
    )
    results_days: _Number = Field(
        default=0.0, ge=0, description="Days after its end for which a job's result and logs are kept."
    )
    story_days: _Number = Field(
        default=0.0, ge=0, description="Days for which the steps of ended jobs and sessions are kept."
    )


_Weight = Annotated[float, BeforeValidator(_not_a_boolean), Field(ge=0, le=1e9, allow_inf_nan=False)]
_Title = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class AccountSettings(_Section):
    """`[[accounts]]`: the top of the share tree (R48)."""

    name: _Title = Field(description="What projects call it.")
    weight: _Weight = Field(
        default=1.0,
        description="Its part of the devices against other accounts'; 0 is only when nobody waits.",
    )


class ProjectSettings(_Section):
    """`[[projects]]`: what is stated here holds, no command changes it; the rest is as commands set it."""

    name: _Title = Field(description="Name of the project; made when it does not exist.")
    account: _Title = Field(default="default", description="The account that it belongs to.")
    weight: _Weight = Field(default=1.0, description="Its part within the account; 0 as for an account.")
    allocation: _Number = Field(
        default=0.0,
        ge=0,
        description="Device seconds that it may use in the fair-share window; then its jobs wait. 0 is no "
        "limit.",
    )
    plan: Literal["open", "premium"] = Field(
        default="premium", description="`open` may be refused sessions by the profile."
    )
    limits: dict[str, _Number] = Field(
        default_factory=dict, description="Its own values for keys of `[limits]`."
    )
    users: dict[str, _Weight] = Field(
        default_factory=dict, description="Weights of its users by name; 1 for who is not named."
    )
    admins: tuple[str, ...] = Field(default=(), description="Users who may make reservations for it.")

    @model_validator(mode="after")
    def _limits_exist(self) -> ProjectSettings:
        check_limits(self.limits)
        return self


PROJECT_LIMITS = tuple(name for name in LimitsSettings.model_fields if name != "pending_per_device")


def check_limits(own: Mapping[str, float]) -> LimitsSettings:
    """The limits with a project's own values put in. ValueError with a sentence for what cannot be."""
    for name in own:
        if name not in PROJECT_LIMITS:
            raise ValueError(f"there is no limit {name!r} of a project{_meant(name, PROJECT_LIMITS)}")
    try:
        return LimitsSettings.model_validate(dict(own))
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(fault) for fault in error.errors())) from None


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
    profile: str | None = Field(
        default=None,
        description="The table of rules of this device; then the times of `[policy]` do not count for it.",
    )
    interactive_ttl: _Number | None = Field(
        default=None, ge=0, description="As in `[policy]`, for this device."
    )
    batch_ttl: _Number | None = Field(default=None, ge=0, description="As in `[policy]`, for this device.")
    max_time: _Number | None = Field(default=None, gt=0, description="As in `[policy]`, for this device.")
    unused_expiry: _Number | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )
    reservation_minimum: _Number | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )
    reservation_allowance: _Number | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )
    calibrate: _Schedule | None = Field(
        default=None,
        description="When it is calibrated: a cron expression in UTC, such as `0 4 * * *` (R9, R11).",
    )


DEFAULT_DEVICES = (
    DeviceSettings(name="ibm_torino", driver="fake", options={"backend": "FakeTorino"}),
    DeviceSettings(name="ibm_fez", driver="fake", options={"backend": "FakeFez"}),
    DeviceSettings(name="aer", driver="aer", options={"qubits": 30}),
)

_SECTIONS = ("server", "policy", "profiles", "limits", "retention")
_LISTS = ("accounts", "projects", "devices")

PROFILE_NUMBERS = (
    "interactive_ttl",
    "batch_ttl",
    "max_time",
    "unused_expiry",
    "reservation_minimum",
    "reservation_allowance",
)
"""The numbers of a profile that `[policy]` and a device can set by themselves."""


class Settings(_Section):
    """Everything a server is told. `Settings()` is the default; only `load` reads files and variables."""

    server: ServerSettings = ServerSettings()
    policy: PolicySettings = PolicySettings()
    profiles: dict[str, ProfileSettings] = Field(default_factory=dict)
    limits: LimitsSettings = LimitsSettings()
    retention: RetentionSettings = RetentionSettings()
    accounts: tuple[AccountSettings, ...] = ()
    projects: tuple[ProjectSettings, ...] = ()
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
        for kind, names in (
            ("accounts", [account.name for account in self.accounts]),
            ("projects", [project.name for project in self.projects]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two {kind} have the same name; each needs one table: {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _profiles_are_known(self) -> Settings:
        for name in self.profiles:
            if not re.fullmatch(r"[a-z0-9_-]{1,64}", name):
                raise ValueError(f"profiles.{name}: a profile's name has 1 to 64 of a-z, 0-9, '_' and '-'")
            if name in BUILT_IN_PROFILES:
                raise ValueError(
                    f"profiles.{name}: {name!r} is built in; choose another name, base = {name!r}"
                )
        known = [*BUILT_IN_PROFILES, *self.profiles]
        wanted = [("policy.profile", self.policy.profile)]
        wanted += [
            (f"devices[{i}] ({d.name}).profile", d.profile)
            for i, d in enumerate(self.devices)
            if d.profile is not None
        ]
        for key, name in wanted:
            if name not in known:
                raise ValueError(f"{key} = {name!r}: there is no such profile{_meant(name, known)}")
        return self

    def policy_of(self, device: str) -> PolicySettings:
        """The policy with the overrides of `device` put in; KeyError for a device that is not configured.

        The nearest wins: the device's number, its profile, the policy's number, the policy's profile.
        """
        for configured in self.devices:
            if configured.name == device:
                numbers = {key: getattr(configured, key) for key in PROFILE_NUMBERS}
                if configured.profile is None:
                    own = {k: v for k, v in numbers.items() if v is not None}
                else:
                    own = {**numbers, "profile": configured.profile}
                return self.policy.model_copy(update=own)
        raise KeyError(device)


class _Layers(BaseSettings):
    """The three layers laid over each other, not yet checked; `Settings` does that, with better messages."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="allow")
    server: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    profiles: dict[str, Any] = {}
    limits: dict[str, Any] = {}
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
        raise ConfigError("\n".join(_sentence(e) for e in error.errors()) + where) from None
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
    for section in _SECTIONS:
        if not isinstance(table.get(section, {}), dict):
            raise ConfigError(f"{section} = {table[section]!r}: a table is needed, [{section}] (in {path})")
    for section in _LISTS:
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
        if not upper.startswith(PREFIX) or "__" not in upper or upper in CLIENT_VARIABLES:
            continue
        section, key = upper.removeprefix(PREFIX).lower().split("__", 1)
        if section in _LISTS:
            whole = f"{PREFIX}{section.upper()}"
            yield f"{name}: single {section} cannot be set; {whole} takes a JSON list of tables"
        elif section not in _SECTIONS:
            yield f"{name}: there is no section {section!r}{_meant(section, _SECTIONS)}"
        elif section == "profiles":
            continue  # SOJOURN_PROFILES__NAME__KEY: the keys are checked with the file's
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
    named = location[:1] == ("profiles",)
    for index, part in enumerate(location):
        if isinstance(part, int) or (named and index == 1):
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
    location: tuple[str | int, ...] = tuple(part for part in error["loc"] if part != "[key]")
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
        case "model_type" | "dict_type":
            return "a table is needed"
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
        ("profiles.NAME", ProfileSettings),
        ("limits", LimitsSettings),
        ("retention", RetentionSettings),
        ("accounts", AccountSettings),
        ("projects", ProjectSettings),
        ("devices", DeviceSettings),
    ):
        for name, field in model.model_fields.items():
            default = "" if field.is_required() else str(field.get_default(call_default_factory=True))
            if section == "policy" and name in PROFILE_NUMBERS:
                default = "the profile's"
            if section == "profiles.NAME" and name != "base":
                default = "the base's"
            rows.append((f"{section}.{name}", default, field.description or ""))
    return rows

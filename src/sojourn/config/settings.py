"""Owns the whole: which sections there are, what must hold between them, and the list of every key."""

from __future__ import annotations

import re

from pydantic import Field, model_validator

from sojourn.config import consistency
from sojourn.config.errors import meant
from sojourn.config.sections.access import AccessSettings
from sojourn.config.sections.devices import DEFAULT_DEVICES, DeviceSettings
from sojourn.config.sections.limits import LimitsSettings
from sojourn.config.sections.policy import PolicySettings
from sojourn.config.sections.profiles import BUILT_IN_PROFILES, PROFILE_NUMBERS, ProfileSettings
from sojourn.config.sections.projects import AccountSettings, ProjectSettings
from sojourn.config.sections.reservations import ReservationSettings
from sojourn.config.sections.retention import RetentionSettings
from sojourn.config.sections.server import ServerSettings
from sojourn.config.values import DEVICE_NAME, PATTERNS, Section

SECTIONS = ("server", "access", "policy", "profiles", "limits", "reservations", "retention")
LISTS = ("accounts", "projects", "devices")


class Settings(Section):
    """Everything a server is told. `Settings()` is the default; only `load` reads files and variables."""

    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    policy: PolicySettings = PolicySettings()
    profiles: dict[str, ProfileSettings] = Field(default_factory=dict)
    limits: LimitsSettings = LimitsSettings()
    reservations: ReservationSettings = ReservationSettings()
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
            if not re.fullmatch(DEVICE_NAME, name):
                raise ValueError(f"profiles.{name}: a profile's name has {PATTERNS[DEVICE_NAME]}")
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
                raise ValueError(f"{key} = {name!r}: there is no such profile{meant(name, known)}")
        return self

    @model_validator(mode="after")
    def _numbers_fit_together(self) -> Settings:
        # what `[policy]` gets wrong, each device would repeat
        found = dict.fromkeys(consistency.faults(self))
        if found:
            raise ValueError("\n".join(found))
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


def reference() -> list[tuple[str, str, str]]:
    """(key, default, description) of every setting, for the documentation and its test."""
    rows: list[tuple[str, str, str]] = []
    for section, model in (
        ("server", ServerSettings),
        ("access", AccessSettings),
        ("policy", PolicySettings),
        ("profiles.NAME", ProfileSettings),
        ("limits", LimitsSettings),
        ("reservations", ReservationSettings),
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

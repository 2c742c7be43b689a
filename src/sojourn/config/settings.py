"""The whole configuration: its sections, what must hold between them, and the list of every setting."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import Field, model_validator

from sojourn.config import consistency, profiles
from sojourn.config.errors import did_you_mean
from sojourn.config.sections.access import AccessSettings
from sojourn.config.sections.dashboard import DashboardSettings
from sojourn.config.sections.devices import DEFAULT_DEVICES, DeviceSettings
from sojourn.config.sections.limits import LimitsSettings
from sojourn.config.sections.policy import PolicySettings
from sojourn.config.sections.profiles import FORMER_NAMES, PROFILE_NUMBERS, ProfileSettings
from sojourn.config.sections.projects import AccountSettings, ProjectSettings
from sojourn.config.sections.reservations import ReservationSettings
from sojourn.config.sections.retention import RetentionSettings
from sojourn.config.sections.server import ServerSettings
from sojourn.config.sections.webhooks import WebhookSettings
from sojourn.config.values import DEVICE_NAME, PATTERNS, Section
from sojourn.core import PROFILES, Profile

SECTIONS = (
    *("server", "access", "policy", "profiles", "limits", "reservations", "retention"),
    *("webhooks", "dashboard"),
)
LISTS = ("accounts", "projects", "devices")


class Settings(Section):
    """The configuration of a server. `Settings()` is the default; only `load` reads files and variables."""

    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    policy: PolicySettings = PolicySettings()
    profiles: dict[str, ProfileSettings] = Field(default_factory=dict)
    limits: LimitsSettings = LimitsSettings()
    reservations: ReservationSettings = ReservationSettings()
    retention: RetentionSettings = RetentionSettings()
    dashboard: DashboardSettings = DashboardSettings()
    webhooks: WebhookSettings = WebhookSettings()
    accounts: tuple[AccountSettings, ...] = ()
    projects: tuple[ProjectSettings, ...] = ()
    devices: tuple[DeviceSettings, ...] = DEFAULT_DEVICES

    def profile(self, device: str | None = None) -> Profile:
        """The rules of a device; of `[policy]` for None and for a device that is not configured.

        Each value is the nearest that is stated: the device's, its profile's, that of `[policy]`, that of the
        profile of `[policy]`. A device with a profile of its own takes nothing from `[policy]`.
        """
        for label, configured in self._labelled_devices():
            if configured.name == device:
                return profiles.of_device(label, configured, self.policy, self.profiles).profile()
        return profiles.of_policy(self.policy, self.profiles).profile()

    def deprecations(self) -> list[str]:
        """One sentence for each setting whose value is still accepted, but has a new name."""
        stated = list(self._stated_profiles())
        stated += [(f"profiles.{name}.base", own.base) for name, own in self.profiles.items()]
        return [
            f"{key} = {name!r}: the profile {name!r} is now called {FORMER_NAMES[name]!r}; change the "
            "configuration to the new name"
            for key, name in stated
            if name in FORMER_NAMES
        ]

    def _labelled_devices(self) -> Iterator[tuple[str, DeviceSettings]]:
        """Each device with how messages name its table."""
        for index, device in enumerate(self.devices):
            yield f"devices[{index}] ({device.name})", device

    def _stated_profiles(self) -> Iterator[tuple[str, str]]:
        """(key, name) wherever a profile is chosen."""
        yield "policy.profile", self.policy.profile
        for label, device in self._labelled_devices():
            if device.profile is not None:
                yield f"{label}.profile", device.profile

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        if not self.devices:
            raise ValueError(
                "devices: the list is empty; configure at least one device, or omit the list to have the "
                "default devices"
            )
        for kind, names in (
            ("accounts", [account.name for account in self.accounts]),
            ("projects", [project.name for project in self.projects]),
            ("devices", [device.name for device in self.devices]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{kind}: two {kind} are named {name!r}; names must be unique")
        return self

    @model_validator(mode="after")
    def _profiles_are_known(self) -> Settings:
        for name in self.profiles:
            if name in FORMER_NAMES:
                raise ValueError(
                    f"profiles.{name}: {name!r} is a former name of the built-in profile "
                    f"{FORMER_NAMES[name]!r}; choose another name"
                )
            if name in PROFILES:
                raise ValueError(
                    f"profiles.{name}: {name!r} is a built-in profile; choose another name and set "
                    f"base = {name!r}"
                )
            if not re.fullmatch(DEVICE_NAME, name):
                raise ValueError(f"profiles.{name}: the name of a profile must be {PATTERNS[DEVICE_NAME]}")
        known = [*PROFILES, *self.profiles]
        for key, name in self._stated_profiles():
            if name not in known and name not in FORMER_NAMES:
                raise ValueError(f"{key} = {name!r}: unknown profile{did_you_mean(name, known)}")
        return self

    @model_validator(mode="after")
    def _values_fit_each_other(self) -> Settings:
        rules = [profiles.of_profile(name, self.profiles) for name in self.profiles]
        rules.append(profiles.of_policy(self.policy, self.profiles))
        rules += [
            profiles.of_device(label, device, self.policy, self.profiles)
            for label, device in self._labelled_devices()
        ]
        found = [
            *consistency.check_server(self.server),
            *consistency.check_reservations(self.reservations),
            *(error for each in rules for error in consistency.check_rules(each)),
        ]
        if found:
            # each device would repeat what is wrong in `[policy]`
            raise ValueError("\n".join(dict.fromkeys(found)))
        return self


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
        ("webhooks", WebhookSettings),
        ("dashboard", DashboardSettings),
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

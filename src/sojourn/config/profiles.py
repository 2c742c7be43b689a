"""Resolves the rules of a device: a built-in profile, overridden by what the configuration states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sojourn.config.sections.devices import DeviceSettings
from sojourn.config.sections.policy import PolicySettings
from sojourn.config.sections.profiles import PROFILE_NUMBERS, ProfileSettings, current_name
from sojourn.core import PROFILES, JobState, Profile


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the configuration: how messages name it, and what it states by the names of `Profile`."""

    name: str
    states: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the rules, and how messages name its source. `configured` is false for a built-in one."""

    value: Any
    source: str
    configured: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """The tables that state the rules, the nearest first, over the built-in profile `base`."""

    name: str
    tables: tuple[Table, ...]
    base: Profile

    def find(self, key: str) -> Value:
        """The value that holds: the one of the nearest table that states it, else the one of `base`."""
        for table in self.tables:
            if key in table.states:
                return Value(table.states[key], f"{table.name}.{key}", True)
        return Value(getattr(self.base, key), f"the {key} of {self.base.name!r}", False)

    def profile(self) -> Profile:
        """The same as a profile of the core."""
        stated = dict.fromkeys(key for table in self.tables for key in table.states)
        return replace(self.base, name=self.name, **{key: self.find(key).value for key in stated})


def of_profile(name: str, own: Mapping[str, ProfileSettings]) -> Rules:
    """The rules of a built-in profile or of one of the site's `own`; KeyError for any other name."""
    if name not in own:
        base = PROFILES[current_name(name)]
        return Rules(base.name, (), base)
    base = PROFILES[current_name(own[name].base)]
    return Rules(name, (Table(f"profiles.{name}", _changes(own[name], base)),), base)


def of_policy(policy: PolicySettings, own: Mapping[str, ProfileSettings]) -> Rules:
    """The rules of `[policy]`, which hold for each device without a profile of its own."""
    return _nearer("policy", policy, of_profile(policy.profile, own))


def of_device(
    name: str, device: DeviceSettings, policy: PolicySettings, own: Mapping[str, ProfileSettings]
) -> Rules:
    """The rules of one device. `name` is how messages name its table."""
    far = of_policy(policy, own) if device.profile is None else of_profile(device.profile, own)
    return _nearer(name, device, far)


def _nearer(name: str, table: PolicySettings | DeviceSettings, rules: Rules) -> Rules:
    numbers = {key: getattr(table, key) for key in PROFILE_NUMBERS}
    states = {key: value for key, value in numbers.items() if value is not None}
    return replace(rules, tables=(Table(name, states), *rules.tables))


def _changes(own: ProfileSettings, base: Profile) -> dict[str, Any]:
    """What `own` states, as the core has it."""
    states = {key: value for key, value in own if key != "base" and value is not None}
    if states.get("default_max_time") == "root":
        states["default_max_time"] = None
    if "hard_close" in states:
        states["hard_close"] = JobState(states["hard_close"])
    if "charge_holds" in states:
        states["charge_holds"] = frozenset(states["charge_holds"])
    if "program_limits" in states:
        states["program_limits"] = MappingProxyType({**base.program_limits, **states["program_limits"]})
    return states

"""The configured devices, and the `mock_` companions for dry runs; what each looks like now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sojourn.config import DeviceSettings, PolicySettings, Settings
from sojourn.core import PROFILES, Profile
from sojourn.execution.types import Description, DeviceSpec

MOCK = "mock"

CALIBRATION = "cal-1"
"""The id of a device's one calibration. It holds for all times until devices can be calibrated anew."""


def specs(devices: Iterable[DeviceSettings]) -> dict[str, DeviceSpec]:
    """Every device that the service has, by name.

    The client's `dry_run` sends the job to `mock_<rest of the name>`, so each device whose name has such a
    rest gets a companion that answers with random results of the right shape. It sleeps until it is used.
    """
    made = {d.name: DeviceSpec(d.name, d.driver, dict(d.options), d.python) for d in devices}
    for spec in list(made.values()):
        name = re.sub(r"^[^_]+", MOCK, spec.name)
        if "_" in name and name not in made and spec.driver != MOCK:
            like = {"driver": spec.driver, "options": dict(spec.options)}
            made[name] = DeviceSpec(name, MOCK, {"like": like}, spec.python, lazy=True)
    return made


def models(devices: Mapping[str, DeviceSpec]) -> dict[str, str]:
    """For each dry-run companion the device that it looks like."""
    found = {}
    for name in devices:
        companion = re.sub(r"^[^_]+", MOCK, name)
        if devices.get(companion) is not None and devices[companion].lazy and companion not in found:
            found[companion] = name
    return {c: d for c, d in found.items() if c != d}


def renamed(description: Description, name: str) -> Description:
    """The same device under another name."""
    properties = description.properties
    return replace(
        description,
        configuration={**description.configuration, "backend_name": name},
        properties={**properties, "backend_name": name} if properties is not None else None,
    )


def is_mock(name: str) -> bool:
    """A companion for dry runs; hidden unless it is asked for."""
    return name.startswith(f"{MOCK}_")


def profile_of(settings: Settings, device: str) -> Profile:
    """The device's policy: the profile with the numbers of the configuration put in."""
    configured = {d.name for d in settings.devices}
    policy: PolicySettings = settings.policy_of(device) if device in configured else settings.policy
    profiles: Mapping[str, Profile] = PROFILES
    return replace(
        profiles[policy.profile],
        interactive_ttl=policy.interactive_ttl,
        batch_ttl=policy.batch_ttl,
        max_time=policy.max_time,
        unused_expiry=policy.unused_expiry,
    )

"""The configured devices, and the `mock_` companions for dry runs; what each looks like now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sojourn.config import DeviceSettings
from sojourn.worker.protocol.memory import MB, run_memory
from sojourn.worker.protocol.types import Description, DeviceSpec

MOCK = "mock"


def specs(devices: Iterable[DeviceSettings]) -> dict[str, DeviceSpec]:
    """Every device that the service has, by name.

    The client's `dry_run` sends the job to `mock_<rest of the name>`, so each device whose name has such a
    rest gets a companion that answers with random results of the right shape. It sleeps until it is used.
    """
    made = {d.name: _spec(d) for d in devices}
    for spec in list(made.values()):
        name = re.sub(r"^[^_]+", MOCK, spec.name)
        if "_" in name and name not in made and spec.driver != MOCK:
            like = {"driver": spec.driver, "options": dict(spec.options)}
            made[name] = DeviceSpec(name, MOCK, {"like": like}, spec.python, True, spec.memory)
    return made


def _spec(device: DeviceSettings) -> DeviceSpec:
    memory = run_memory() if device.memory_mb is None else round(device.memory_mb * MB)
    return DeviceSpec(device.name, device.driver, dict(device.options), device.python, memory=memory)


def schedules(devices: Iterable[DeviceSettings]) -> dict[str, str]:
    """When each device is calibrated, for those that are."""
    return {device.name: device.calibrate for device in devices if device.calibrate is not None}


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

"""The configured devices, and the `mock_` companions for dry runs; what each looks like now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sojourn.config import DeviceSettings
from sojourn.worker.protocol.memory import MB, run_memory
from sojourn.worker.protocol.types import Description, DeviceSpec

MOCK = "mock"


def specs(devices: Iterable[DeviceSettings], resilience_level: int = 0) -> dict[str, DeviceSpec]:
    """Every device that the service has, by name. `resilience_level` is that of jobs which name none.

    The client's `dry_run` replaces what is before the first `_` of a device's name by `mock`, and the
    whole of a name without one. A device of that name, unless there is one, is a companion: it answers with
    random results of the right shape and looks like the first device that has it. It sleeps until it is
    used.
    """
    made = {d.name: _spec(d, resilience_level) for d in devices}
    for spec in list(made.values()):
        name = companion_of(spec.name)
        if name not in made and spec.driver != MOCK:
            like = {"driver": spec.driver, "options": dict(spec.options)}
            made[name] = DeviceSpec(
                name, MOCK, {"like": like}, spec.python, True, spec.memory, resilience_level
            )
    return made


def companion_of(device: str) -> str:
    """The name under which the client looks for the companion of a device."""
    return re.sub(r"^[^_]+", MOCK, device)


def _spec(device: DeviceSettings, level: int) -> DeviceSpec:
    memory = run_memory() if device.memory_mb is None else round(device.memory_mb * MB)
    options = dict(device.options)
    return DeviceSpec(device.name, device.driver, options, device.python, False, memory, level)


def schedules(devices: Iterable[DeviceSettings]) -> dict[str, str]:
    """When each device is calibrated, for those that are."""
    return {device.name: device.calibrate for device in devices if device.calibrate is not None}


def models(devices: Mapping[str, DeviceSpec]) -> dict[str, str]:
    """For each dry-run companion the device that it looks like."""
    found: dict[str, str] = {}
    for name, spec in devices.items():
        companion = companion_of(name)
        if spec.driver != MOCK and companion in devices and devices[companion].lazy:
            found.setdefault(companion, name)
    return found


def renamed(description: Description, name: str) -> Description:
    """The same device under another name."""
    properties = description.properties
    return replace(
        description,
        configuration={**description.configuration, "backend_name": name},
        properties={**properties, "backend_name": name} if properties is not None else None,
    )


def external_queues(devices: Iterable[DeviceSettings]) -> dict[str, str]:
    """The devices that another scheduler gives out, with what their users are told of it."""
    return {device.name: device.external_queue for device in devices if device.external_queue is not None}


def is_mock(spec: DeviceSpec) -> bool:
    """A device for dry runs, a companion or one with the name of one; hidden unless it is asked for.

    A configured device called `mock` is a device as any."""
    return spec.lazy or spec.name.startswith(f"{MOCK}_")

"""The client's view of devices: list, configuration, properties, status. It reads and changes nothing."""

from __future__ import annotations

import re
from typing import Any

from sojourn.api.http.endpoint import Request
from sojourn.api.http.replies import Reply, encode, json_reply
from sojourn.api.ibm.devices import configuration_object, properties_object, reader
from sojourn.service.views import DeviceView
from sojourn.worker.protocol.types import Description

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIRST_WITH_OBJECTS = "2025-01-01"


async def backends(request: Request) -> Reply:
    """The list, in one of two shapes: clients up to 0.40 can read only names, later ones only objects."""
    include_mocks = request.query.flag("include_mocks", False)
    await request.service.devices.described()
    devices = [device for device in request.service.devices.all() if include_mocks or not device.mock]
    if wants_objects(request.header(b"ibm-api-version")):
        return json_reply({"devices": [device_object(device) for device in devices]})
    return json_reply({"devices": [device.name for device in devices]})


def wants_objects(version: str | None) -> bool:
    """By the IBM-API-Version header: absent or before 2025 means names."""
    return version is not None and bool(_DATE.match(version)) and version[:10] >= _FIRST_WITH_OBJECTS


def device_object(device: DeviceView) -> dict[str, Any]:
    qubits = device.num_qubits or 0
    found: dict[str, Any] = {
        "name": device.name,
        "status": {"name": "online" if device.message == "active" else "offline", "reason": device.message},
        "is_simulator": False,
        "qubits": qubits,
        "physical_qubits": qubits,
        "queue_length": device.queue_length,
        "backend_version": device.backend_version,
    }
    if device.mock:
        found["class"] = "mock"
    return found


async def configuration(request: Request) -> Reply:
    calibration, described, known = await _calibrated(request, None)
    return Reply(_encoded(request, calibration, described, known)[0])


async def properties(request: Request) -> Reply:
    """Of the calibration that is named, or that was in force at `updated_before`, or of the present one."""
    calibration, described, known = await _calibrated(request, request.query.time("updated_before"))
    return Reply(_encoded(request, calibration, described, known)[1])


async def status(request: Request) -> Reply:
    """What the client makes of it: it warns at a submit when `state` is true and `status` not "active", which
    is so while the device is drained (the submit is then refused); it takes a device with `state` false as
    not operational, as while it is paused or maintained (jobs are accepted and wait). `least_busy` passes
    over all of them.
    """
    device = request.service.devices.get(request.path["name"])
    return json_reply(
        {
            "backend_name": device.name,
            "state": device.operational,
            "status": device.message,
            "message": device.reason or device.state.message,
            "length_queue": device.queue_length,
            "backend_version": device.backend_version,
        }
    )


async def defaults(request: Request) -> Reply:
    """Pulse defaults: none, as no device takes pulse programs. Clients of 2023 to 0.38 ask before they use a
    device, and have none when the answer is an error.
    """
    request.service.devices.get(request.path["name"])
    return json_reply({})


async def _calibrated(request: Request, at: float | None) -> tuple[str, Description, bool]:
    """(id, description, whether it is the present one) of the calibration that is asked for."""
    name = request.path["name"]
    wanted = request.query.text("calibration_id")
    calibration, described = await request.service.devices.calibrated(name, calibration_id=wanted, at=at)
    return calibration, described, calibration == request.service.devices.get(name).calibration


def _encoded(request: Request, calibration: str, described: Description, keep: bool) -> tuple[bytes, bytes]:
    """Configuration and properties as JSON; the present ones are encoded once, they are some 100 kB."""
    name = request.path["name"]
    who = reader(request.header(b"ibm-api-version"), request.header(b"x-qx-client-application"))
    key = f"{name} {who}"
    kept = request.api.descriptions.get(key)
    if keep and kept is not None and kept[0] == calibration and kept[1] is described:
        return kept[2], kept[3]
    texts = (
        encode(configuration_object(described, name, calibration, who)),
        encode(properties_object(described, name, calibration, who)),
    )
    if keep:
        request.api.descriptions[key] = (calibration, described, *texts)
    return texts

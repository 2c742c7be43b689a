"""The client's view of devices: list, configuration, properties, status. It reads and changes nothing."""

from __future__ import annotations

import re
from typing import Any

from sojourn.api.endpoint import Request
from sojourn.api.query import shown
from sojourn.api.wire import Reply, encode, json_reply
from sojourn.execution.types import Description
from sojourn.service.devices import CALIBRATION
from sojourn.service.errors import NotFound
from sojourn.service.views import DeviceView

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIRST_WITH_OBJECTS = "2025-01-01"


async def backends(request: Request) -> Reply:
    """The list, in one of two shapes: clients up to 0.40 can read only names, later ones only objects."""
    include_mocks = request.query.flag("include_mocks", False)
    await request.service.described()
    devices = [device for device in request.service.devices() if include_mocks or not device.mock]
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
        "status": {"name": "online" if device.operational else "offline", "reason": device.message},
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
    name = request.path["name"]
    _check_calibration(request, name)
    described = await request.service.description(name)
    return Reply(_encoded(request, name, described)[0])


async def properties(request: Request) -> Reply:
    """The calibration in force at `updated_before`: there is one, and it holds for all times."""
    name = request.path["name"]
    _check_calibration(request, name)
    request.query.time("updated_before")
    described = await request.service.description(name)
    return Reply(_encoded(request, name, described)[1])


async def status(request: Request) -> Reply:
    device = request.service.device(request.path["name"])
    return json_reply(
        {
            "backend_name": device.name,
            "state": device.operational,
            "status": device.message,
            "message": device.reason or ("" if device.operational else device.message),
            "length_queue": device.queue_length,
            "backend_version": device.backend_version,
        }
    )


async def defaults(request: Request) -> Reply:
    """Pulse defaults, which only clients of 2023 ask for."""
    device = request.service.device(request.path["name"])
    raise NotFound(f"Device {device.name!r} has no pulse defaults; it takes no pulse programs.")


def _check_calibration(request: Request, name: str) -> None:
    wanted = request.query.text("calibration_id")
    request.service.device(name)
    if wanted is not None and wanted != CALIBRATION:
        raise NotFound(
            f"Device {name!r} has no calibration {shown(wanted)}. It has: {CALIBRATION!r}. "
            "Leave calibration_id out for the one in force."
        )


def _encoded(request: Request, name: str, described: Description) -> tuple[bytes, bytes]:
    """Configuration and properties as JSON; encoded once per description, they are some 100 kB."""
    kept = request.api.descriptions.get(name)
    if kept is None or kept[0] is not described:
        configuration = {**described.configuration, "backend_name": name, "calibration_id": CALIBRATION}
        measured: dict[str, Any] = {}
        if described.properties:
            measured = {**described.properties, "backend_name": name, "calibration_id": CALIBRATION}
        kept = (described, encode(configuration), encode(measured))
        request.api.descriptions[name] = kept
    return kept[1], kept[2]

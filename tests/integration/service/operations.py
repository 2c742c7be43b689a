"""What tests of operators' work share."""

from __future__ import annotations

from typing import Any

from sojourn.config import DeviceSettings, ReservationSettings
from sojourn.service.reservations.views import NewReservation, ReservationView
from sojourn.service.views import JobView, Principal
from tests.harness.service import ServiceHarness

HOUR = 3600.0
AT_ONCE = {"reservations": ReservationSettings(notice=0)}
DRIFTING = DeviceSettings(
    name="manila", driver="fake", options={"backend": "FakeManilaV2", "drift": 0.5, "seed": 3}
)
NIGHTLY = DeviceSettings(name="mock", driver="mock", options={"qubits": 5}, calibrate="0 4 * * *")


def operator(h: ServiceHarness) -> Principal:
    accounts = h.service.accounts
    return accounts.principal(accounts.user_id("operator"), None)


async def state(h: ServiceHarness, who: Principal, job: JobView) -> str:
    await h.settled()
    return (await h.service.jobs.get(who, job.id)).state


async def calibrated(h: ServiceHarness, device: str) -> JobView:
    return await h.ended(operator(h), (await h.service.control.calibrate(operator(h), device)).id)


async def book(h: ServiceHarness, who: Principal, **more: Any) -> ReservationView:
    wanted: dict[str, Any] = {"device": "mock", "project": None, "start": None, "length": HOUR}
    return await h.service.reservations.make(who, NewReservation(**(wanted | more)))

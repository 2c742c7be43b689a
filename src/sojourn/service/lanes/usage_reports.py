"""Reports what is charged on one device to all others, and to the meter of all devices together (R48)."""

from __future__ import annotations

from sojourn.core import events as ev
from sojourn.core.effects import Charge, ChargeKind
from sojourn.core.fair_share.usage import UsageMeter
from sojourn.service.lanes.registry import Lanes
from sojourn.service.timing.steps import Steps


class UsageReports:
    def __init__(self, lanes: Lanes, meter: UsageMeter, steps: Steps) -> None:
        self._lanes = lanes
        self._meter = meter
        self._steps = steps

    def charged(self, device: str, charge: Charge) -> None:
        """A charge of this device has been committed."""
        if charge.kind is ChargeKind.SYSTEM:
            return
        end = self._steps.restated(charge.end)  # the clock may have been set before the commit
        self._meter.charge(charge.project, charge.user, charge.seconds, end)
        report = ev.UsageReported(charge.user, charge.project, charge.seconds, end)
        for name, dispatcher in self._lanes.dispatchers.items():
            if name != device:
                dispatcher.feed(report)

"""Programs whose input is a list of pubs, as the client's primitives send them: opens and checks `params`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from sojourn.worker.codec import decode
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs import options
from sojourn.worker.programs.base import Plan, Program
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.options import Settings
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

MAX_PUBS = 10_000
MAX_COUNT = 2**63  # no device allows as many shots; longer integers only make longer messages
INPUTS = ("pubs", "options", "version", "support_qiskit", "shots")


@dataclass(frozen=True, slots=True)
class Payload:
    """A job's `params`, opened: pubs still as text, options checked."""

    pubs: Sequence[Sequence[msgspec.Raw]]
    settings: Settings
    shots: int | None
    precision: float | None
    budget: Budget = field(default_factory=Budget)


class PubProgram(Program):
    """A program whose params have `pubs`, `options` and what else the client sends with them (`INPUTS`).

    `parts` names the parts of a pub in their order, of which the first `least` must be there. An option may
    also be an input: then it stands beside the others.
    """

    parts: ClassVar[tuple[str, ...]]
    least: ClassVar[int]

    def plan(self, device: DeviceContext, params: bytes) -> Plan:
        if self.earlier is not None and self.earlier.meant(params):
            return self.earlier.plan(device, params)
        return self.plan_pubs(device, self.open(device, params))

    @abstractmethod
    def plan_pubs(self, device: DeviceContext, payload: Payload) -> Plan:
        """Check the pubs of a job. Raises `JobRefused`."""

    def open(self, device: DeviceContext, params: bytes) -> Payload:
        """Read the members of `params` and check the options. Raises `JobRefused`."""
        members = decode.read_object(params, "params")
        known = set(self.inputs)
        plain = {
            name: decode.read_any(text, f"params.{name}")
            for name, text in members.items()
            if name in known and name != "pubs"
        }
        beside = {name: value for name, value in plain.items() if name in self.options}
        settings, faults = self.options.look(plain.get("options"), device.limits, beside)
        shots, precision = plain.get("shots"), plain.get("precision")
        for check, value, name in ((whole_shots, shots, "shots"), (real_precision, precision, "precision")):
            try:
                if value is not None:
                    check(value, f"params.{name}")
            except JobRefused as refused:
                faults.append(refused.message)
        if plain.get("version", 2) != 2:
            faults.append(
                f"params.version is {quoted(plain['version'])}; only version 2 of the primitives is run here"
            )
        faults += [
            f"params.{name[: options.MAX_NAME]} is not a member that the {self.name} knows; it knows "
            + ", ".join(sorted(known))
            for name in sorted(set(members) - known)
        ]
        options.refuse(faults)
        if "pubs" not in members:
            raise JobRefused("params.pubs is missing: a job needs a list of pubs")
        pubs = decode.read_list(members["pubs"], "params.pubs")
        if not pubs:
            raise JobRefused("params.pubs is empty: there is nothing to run")
        if len(pubs) > MAX_PUBS:
            raise JobRefused(f"params.pubs has {len(pubs)} pubs; the limit is {MAX_PUBS}")
        opened = []
        least, most = self.least, len(self.parts)
        for index, text in enumerate(pubs):
            parts = decode.read_list(text, f"pubs[{index}]")
            if not least <= len(parts) <= most:
                raise JobRefused(
                    f"pubs[{index}] has {len(parts)} parts; a pub of the {self.name} has {least} to {most}: "
                    + ", ".join(self.parts)
                )
            opened.append(parts)
        return Payload(opened, settings, shots, None if precision is None else float(precision))


def whole_shots(value: Any, where: str) -> int:
    """A number of shots. Raises `JobRefused` for anything but an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < MAX_COUNT:
        raise JobRefused(f"{where} is {quoted(value)}; shots must be an integer of at least 1, below 2**63")
    return value


def real_precision(value: Any, where: str) -> float:
    """A precision. Raises `JobRefused` for anything but a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= decode.LARGEST:
        raise JobRefused(f"{where} is {quoted(value)}; a precision must be a finite number above 0")
    return float(value)

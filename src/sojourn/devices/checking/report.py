"""The report of a conformance check, as data. Standard library only: the server reads it too."""

from __future__ import annotations

from dataclasses import dataclass

CONFORMS = "conforms"
SHOWN = 3
"""Faults that a summary has at most; the report has all."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `passed` is None for one that does not apply to the device, and `detail` says why; of one
    that failed it says what is wrong. `circuit`, `expected` and `seen` are the evidence, as text."""

    name: str
    passed: bool | None
    detail: str = ""
    circuit: str = ""
    expected: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one device, in the order in which they were made."""

    device: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return not any(check.passed is False for check in self.checks)

    @property
    def faults(self) -> list[str]:
        """What is wrong, a sentence each, with the evidence; empty for a device that conforms."""
        return [_fault(check) for check in self.checks if check.passed is False]

    def summary(self) -> str:
        """On one line: `conforms (9 checks)`, or what is wrong."""
        faults = self.faults
        if not faults:
            made = sum(check.passed is True for check in self.checks)
            return f"{CONFORMS} ({made} checks)"
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        return "; ".join([*faults[:SHOWN], *more])


def _fault(check: Check) -> str:
    evidence = [
        f"{label} {text}"
        for label, text in (("circuit:", check.circuit), ("expected", check.expected), ("seen", check.seen))
        if text
    ]
    return f"{check.name}: {check.detail}" + (f" ({'; '.join(evidence)})" if evidence else "")

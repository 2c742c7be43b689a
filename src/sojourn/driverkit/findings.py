"""What a check of a driver found: its verdict, and the evidence in sentences. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`evidence` says what was seen, in a sentence each; `detail` is a traceback, where there was one."""

    check: str
    verdict: Verdict
    evidence: tuple[str, ...]
    seconds: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        told = "; ".join(self.evidence)
        return f"{self.check}: {self.verdict}: {told}" + (f"\n{self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a check saw of a driver that keeps its promise. `warnings` are of what is allowed, and costs."""

    seen: Sequence[str]
    warnings: Sequence[str] = ()


class Fault(Exception):
    """The driver does not keep the promise: why, a sentence each."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


class NotAsked(Exception):
    """The check does not apply to this driver, or cannot be made here; the message says why."""

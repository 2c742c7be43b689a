"""The programs that a job can name: what the server has to know of each without loading it.

Adding a program to Sojourn is a module of `sojourn.worker.programs` and a line of `PRIMITIVES`. Other
packages add theirs by entry points of the group `sojourn.programs`; of these the server reads the names only,
and the workers load them. Standard library only.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

GROUP = "sojourn.programs"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Primitive:
    """A program that the client knows.

    `place` is where its `Program` is defined (``module:name``); None for one that is not run as a job of a
    user. `limit` is the seconds that a job of it may run that does not say (R19); None for the profile's
    `job_limit`. `session` says whether it may be in a session (R6), which only those of today's client may.
    """

    name: str
    place: str | None = None
    limit: float | None = None
    session: bool = True


PRIMITIVES = (
    Primitive("sampler", "sojourn.worker.programs.sampler:SAMPLER", limit=10_000.0),
    Primitive("estimator", "sojourn.worker.programs.estimator:ESTIMATOR", limit=18_000.0),
    Primitive("executor", "sojourn.worker.programs.executor.program:EXECUTOR"),
    Primitive("noise-learner", "sojourn.worker.programs.learning.program:NOISE_LEARNER"),
    Primitive("noise-learner-v3"),
    Primitive("calibrate"),
    Primitive("circuit-runner", "sojourn.worker.programs.runner:CIRCUIT_RUNNER", session=False),
    Primitive("qasm3-runner", "sojourn.worker.programs.runner:QASM3_RUNNER", session=False),
)
OTHER_NAMES = {"noiselearner": "noise-learner"}
"""What some clients call a program (QRMI): their jobs are of the program by its own name."""

_BUILT_IN = tuple(primitive.name for primitive in PRIMITIVES if primitive.place is not None)
_RESERVED = frozenset((*OTHER_NAMES, *(primitive.name for primitive in PRIMITIVES)))


@functools.cache
def installed() -> dict[str, str]:
    """The programs of other packages in this environment: where each is defined, by its name.

    Read once in a process. None can take the name of a program that Sojourn knows.
    """
    from importlib.metadata import entry_points  # 20 ms that only a program that is not built in needs

    points = {point.name: point.value for point in entry_points(group=GROUP)}
    return {name: points[name] for name in sorted(points) if _NAME.fullmatch(name) and name not in _RESERVED}


def runs(program: str) -> bool:
    """Whether jobs may name it."""
    return program in _BUILT_IN or program in installed()


def names() -> tuple[str, ...]:
    """All programs that jobs may name, those of Sojourn first."""
    return (*_BUILT_IN, *installed())

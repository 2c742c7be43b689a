"""What every effect must look like, whatever it tells: fields of the declared types, and known causes."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass

from sojourn.core.effects import Effect, JobChanged, SessionChanged

ENDS_OF_SESSIONS = frozenset({"max_time", "closed", "drained", "unused", "first job lost", "window over"})
CAUSES_OF_JOBS = ENDS_OF_SESSIONS | {
    *("accepted", "prepared", "unfit", "selected", "cancelled", "completed", "failed", "limit"),
    *("crashed", "lost", "stopped", "unstored", "cache expired", "session ended", "clock set"),
}
CAUSES_OF_SESSIONS = ENDS_OF_SESSIONS | {
    *("opened", "job accepted", "job started", "job ended", "job requeued", "overtaken", "ttl over"),
    *("last job ended", "last job left", "clock suspended", "clock resumed", "held", "not held", "clock set"),
}


def check(effect: Effect) -> None:
    """AssertionError when the effect says something that its readers could not read."""
    _typed(effect)
    if isinstance(effect, JobChanged):
        assert effect.cause in CAUSES_OF_JOBS, effect.cause
    elif isinstance(effect, SessionChanged):
        assert effect.cause in CAUSES_OF_SESSIONS, effect.cause


def _typed(value: object) -> None:
    of = type(value)
    if of not in _KINDS:
        _KINDS[of] = _kinds(of)
    for name, kinds in _KINDS[of]:
        field = getattr(value, name)
        assert isinstance(field, kinds), f"{type(value).__name__}.{name} is {field!r}"
        assert not isinstance(field, bool) or bool in kinds, f"{type(value).__name__}.{name} is {field!r}"
        if is_dataclass(field):
            _typed(field)


_KINDS: dict[type, list[tuple[str, tuple[type, ...]]]] = {}
"""What was found out of a class. A cached function would not do: to mypy a class is not hashable."""


def _kinds(of: type) -> list[tuple[str, tuple[type, ...]]]:
    hints = typing.get_type_hints(of)
    found = []
    for field in fields(of):
        hint = hints[field.name]
        one = (typing.get_origin(hint) or hint,)
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else one
        # a whole number may stand for a float
        found.append((field.name, (*kinds, int) if float in kinds else kinds))
    return found

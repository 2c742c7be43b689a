"""The canonical form of small worlds forgets nothing: worlds of one form answer alike, whatever happens next.

Alike: the same moves, the same effects and worlds of one form again, up to the names of the users and the
time of day. Step by step this carries on for ever: a search that goes on from one of them only has seen all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from sojourn.core import Profile
from sojourn.core.calendar import ReservationMode
from sojourn.core.effects import (
    Charge,
    Effect,
    JobChanged,
    Rejected,
    ReservationChanged,
    SessionChanged,
    Start,
    Stop,
)
from tests.model.small_model import SLOWER, TINY, Move, SmallModel, called, unpack

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
WALKS = 3000 if NIGHTLY else 40
EVERY = 3

D, P = ReservationMode.DEDICATED, ReservationMode.PRIORITY
WORLDS = [
    ("open first close drain cancel end lose time", 3, D, TINY),
    ("open first second system cancel end time", 4, D, SLOWER),
    ("open first plain book end time", 3, D, TINY),
    ("open first plain book cancel end time", 3, P, TINY),
    ("open first plain system book cancel close drain end lose time", 3, D, TINY),
]

WHOLE_WORLDS = [
    ("open first close end time", 1, D),
    ("open first close drain cancel end lose time", 4, D),
    ("open first book end time", 3, D),
]


def twins(start: SmallModel, walks: int, every: int) -> Iterator[tuple[SmallModel, SmallModel]]:
    """Two ways to one form, for one of `every` steps of random walks that came to a form again."""
    begin = start.pack()
    first = {start.digest(): begin}
    again = 0
    for seed in range(walks):
        r = random.Random(seed)
        world = unpack(begin)
        while moves := world.moves():
            number = r.randrange(len(moves))
            world.make(moves[number], number)
            known = unpack(first.setdefault(world.digest(), world.pack()))
            if known.path != world.path:
                again += 1
                if again % every == 0:
                    yield known, unpack(world.pack())


def all_twins(start: SmallModel) -> Iterator[tuple[SmallModel, SmallModel]]:
    """For every step of a whole world that came to a form again: the first world of it, and this one."""
    first = {start.digest(): start.pack()}
    todo = list(first.values())
    for packed in todo:
        for number, move in enumerate(unpack(packed).moves()):
            world = unpack(packed)
            world.make(move, number)
            digest = world.digest()
            if digest in first:
                yield unpack(first[digest]), world
            else:
                first[digest] = world.pack()
                todo.append(first[digest])


def answers(world: SmallModel) -> dict[Move, tuple[list[tuple[Any, ...]], tuple[Any, ...]]]:
    """To each move, in the names of the form, the effects and the form of the world after it."""
    names = world.canonical()[1]
    packed = world.pack()
    found = {}
    for move in world.moves():
        after = unpack(packed)
        effects = after.make(move)
        found[tuple(called(str(word), names) for word in move)] = (
            # in no order: what happens to two sessions at one instant goes by their names
            sorted((told(effect, names, after.now) for effect in effects), key=repr),
            after.form(),
        )
    return found


def told(effect: Effect, names: str, now: float) -> tuple[Any, ...]:
    """An effect without names, texts, numbers of jobs and the time of day."""

    def left(at: float | None) -> float | None:
        return None if at is None else at - now

    match effect:
        case JobChanged(job, before, at, cause):
            own: tuple[Any, ...] = (called(job.id, names), before, job.state, job.detached, job.charged)
            return *own, job.reason_code, left(job.cache_expires_at), left(at), cause
        case SessionChanged(s, before, at, cause):
            own = (called(s.id, names), before, s.state, s.accepting, s.window, s.ttl_left)
            clocks = tuple(map(left, (s.ends_at, s.ttl_at, s.unused_at, s.hold_since, s.running_since)))
            return *own, *clocks, left(at), cause
        case Charge():
            who = tuple(called(x or "", names) for x in (effect.user, effect.job_id, effect.session_id))
            return effect.kind, *who, left(effect.start), left(effect.end)
        case ReservationChanged(window, state, at):
            return called(window.project, names), state, left(window.start), left(window.idle_since), left(at)
        case Start() | Stop():
            return type(effect).__name__, called(effect.job_id, names)
        case Rejected():
            return "rejected", effect.code
        case _:
            raise AssertionError(effect)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("menu", "until", "mode", "profile"), WORLDS)
def test_worlds_of_one_form_answer_alike(
    menu: str, until: int, mode: ReservationMode, profile: Profile
) -> None:
    compared = 0
    for one, other in twins(SmallModel(float(until), menu, mode, profile=profile), WALKS, EVERY):
        assert answers(one) == answers(other), f"{one.path!r} and {other.path!r}"
        compared += 1
    assert compared > 20
    print(f"\n{compared:,} pairs of worlds of one form answered alike")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("menu", "until", "mode"), WHOLE_WORLDS if NIGHTLY else WHOLE_WORLDS[:1])
def test_all_worlds_of_one_form_answer_alike_in_whole_worlds(
    menu: str, until: int, mode: ReservationMode
) -> None:
    """With every pair compared, the states are proved to be as good as the world itself."""
    compared = 0
    for one, other in all_twins(SmallModel(float(until), menu, mode)):
        assert answers(one) == answers(other), f"{one.path!r} and {other.path!r}"
        compared += 1
    assert compared > 50
    print(f"\n{compared:,} pairs of worlds of one form answered alike: all that there are")


@pytest.mark.parametrize("forgotten", [(4,), (0, 1), (5, -1, 0)])
def test_a_form_that_forgets_something_is_found_out(forgotten: tuple[int, ...]) -> None:
    """Who runs; the sessions of the first; whose the window is."""
    start = Forgetful(forgotten, 2.0, "open first plain book close end time")
    assert any(answers(one) != answers(other) for one, other in twins(start, 200, 1))


class Forgetful(SmallModel):
    """A world whose form lacks one thing: the test above would notice."""

    def __init__(self, part: tuple[int, ...], *more: Any) -> None:
        self.part = part
        super().__init__(*more)

    def canonical(self) -> tuple[tuple[Any, ...], str]:
        form, names = super().canonical()
        return without(form, self.part), names


def without(form: Any, part: tuple[int, ...]) -> Any:
    """The form with one entry of it blank; -1 is each entry, on that level."""
    if not part:
        return None
    if not isinstance(form, tuple) or (part[0] >= len(form)):
        return form
    at, *rest = part
    return tuple(without(x, tuple(rest)) if at in (-1, i) else x for i, x in enumerate(form))

"""The event log: every event can be written and read; a replay tells where the core differs."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec
import pytest

from sojourn.core import PROFILES, Lane, Mode
from sojourn.core import events as ev
from sojourn.core.effects import Effect
from sojourn.core.fair_share.shares import EVEN, ProjectShare, Shares
from sojourn.journal import Restored, decode, decode_event, encode_event, replay
from sojourn.journal import encoding as format_of

SHARES = Shares({"a": 2.0}, {"p": ProjectShare("a", 3.0, 4.5)}, {("p", "u"): 0.5})
KINDS = typing.get_args(ev.Event)


def example(kind: Any) -> Any:
    """Some value of a field's type, which is not its default."""
    if kind is Shares:
        return SHARES
    if typing.get_origin(kind) is types.UnionType:
        return example(next(k for k in typing.get_args(kind) if k is not type(None)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[-1]
    return {str: 'äé"\n', int: 7, float: 1_750_000_000.1234567, bool: True}[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_every_event_survives_the_log(kind: Any) -> None:
    hints = typing.get_type_hints(kind)
    event = kind(**{field.name: example(hints[field.name]) for field in dataclasses.fields(kind)})
    assert decode_event(kind.__name__, encode_event(event)) == event


def test_no_event_of_the_core_is_missing() -> None:
    classes = {c for c in vars(ev).values() if dataclasses.is_dataclass(c) and c.__module__ == ev.__name__}
    assert classes == set(KINDS) == set(format_of.EVENTS.values())
    assert {k.__name__ for k in KINDS} == set(format_of.EVENTS)


def test_every_effect_has_a_line_for_people() -> None:
    lane = Lane("dev", PROFILES["ibm2023"])
    told = [line for _, _, effects in story(lane) for line in format_of.decisions(effects)]
    assert len({line.split()[0] for line in told}) >= 5
    assert len(typing.get_args(Effect)) == 8, "a new effect needs a line in sojourn.journal.encoding"


def story(lane: Lane) -> Iterator[tuple[float, ev.Event, list[Effect]]]:
    """A session with two jobs, a cancel, a refusal and an end by its ttl."""
    steps: list[tuple[float, ev.Event]] = [
        (0.0, ev.DeviceReady()),
        (1.0, ev.SessionOpened("s", "u", "p", Mode.DEDICATED, 600.0)),
        (2.0, ev.JobAccepted("a", 1, "u", "p", "sampler", "s")),
        (2.1, ev.JobPrepared("a")),
        (3.0, ev.JobAccepted("b", 2, "u", "p", "sampler", "s")),
        (3.3, ev.JobPrepared("b")),
        (4.0, ev.JobAccepted("c", 3, "v", "q", "sampler")),
        (4.1, ev.JobPrepared("c")),
        (5.0, ev.RunEnded("a", 1, ev.Outcome.COMPLETED)),
        (6.0, ev.JobCancelled("b")),
        (6.2, ev.RunEnded("b", 1, ev.Outcome.STOPPED)),
        (7.0, ev.JobCancelled("b")),
        (8.0, ev.SharesChanged(SHARES)),
        (306.0, ev.Tick()),
        (310.0, ev.RunEnded("c", 1, ev.Outcome.COMPLETED)),
    ]
    for at, event in steps:
        yield at, event, lane.handle(event, at)


def restored(**more: Any) -> bytes:
    empty: dict[str, Any] = {"jobs": [], "sessions": [], "windows": [], "halt": None, "charges": []}
    state = Restored(PROFILES["ibm2023"], format_of.SharesText.of(EVEN), **(empty | more))
    body = msgspec.Raw(format_of.encode_restored(state))
    return format_of.encode_line(format_of.Line("dev", 0.0, "Restored", body))


def _began(lane: Lane) -> Restored:
    return Restored(lane.profile, format_of.SharesText.of(EVEN), [], [], [], None, [])


def line(at: float, event: ev.Event, effects: list[Effect]) -> bytes:
    return format_of.encode_line(
        format_of.Line(
            "dev",
            at,
            type(event).__name__,
            msgspec.Raw(encode_event(event)),
            format_of.decisions(effects),
            format_of.digest(effects),
        )
    )


def log() -> list[bytes]:
    return [restored(), *(line(*step) for step in story(Lane("dev", PROFILES["ibm2023"])))]


def test_the_core_takes_the_decisions_that_it_took() -> None:
    report = replay(log())
    assert report.difference is None
    assert (report.events, report.lives, report.devices) == (15, 1, {"dev"})
    assert report.decisions > 15


BEFORE_ESTIMATES = (
    "71857576257465c7 db73c94857f9481d 432d485ef6a6c7c1 109ab5a8980bd0da 30a4db0794ef29f1 af11d413a73bfc4f "
    "50c1673ad752bd93 d2609ebcc24f0e37 9f6981d5d47983d4 33b849d2e6c1b33d 71857576257465c7 c71275a62f951a67 "
    "71857576257465c7 0deac815a893a515 427e1b787c18203b"
)
"""The digests of the story when jobs and their events had neither `estimate` nor `stated` (D22)."""


def test_d22_a_log_of_before_the_estimates_is_replayed_as_it_was() -> None:
    """Fields that came later are not in its events, its profile or its digests."""
    lines = log()
    for gone in (
        b',"stated":true',
        b',"estimate":null',
        b',"estimate_factor":0.0',
        b',"estimate_floor":300.0',
    ):
        assert any(gone in line for line in lines)
        lines = [line.replace(gone, b"") for line in lines]
    older = zip(lines[1:], BEFORE_ESTIMATES.split(), strict=True)
    lines[1:] = [re.sub(rb'"digest":"\w+"', b'"digest":"%b"' % d.encode(), line) for line, d in older]
    report = replay(lines)
    assert report.difference is None
    assert report.events == 15


def test_a_log_with_the_former_name_of_a_profile_is_replayed_as_it_was() -> None:
    lines = log()
    lines[0] = lines[0].replace(b'"name":"ibm2023"', b'"name":"seed"')
    assert format_of.decode(lines[0]).what.profile == dataclasses.replace(PROFILES["ibm2023"], name="seed")
    report = replay(lines)
    assert report.difference is None
    assert report.events == 15


def test_a_log_replays_across_an_upgrade_that_renames_the_profile() -> None:
    lane = Lane("dev", PROFILES["ibm2023"])
    accepted = ev.JobAccepted("a", 1, "u", "p", "sampler")
    lines = [
        restored().replace(b'"name":"ibm2023"', b'"name":"seed"'),
        line(1.0, accepted, lane.handle(accepted, 1.0)),
        restored(jobs=[lane.state.jobs["a"]]),
    ]
    report = replay(lines)
    assert (report.difference, report.lives) == (None, 2)


def test_d22_a_limit_that_follows_from_another_estimate_is_a_difference() -> None:
    lane = Lane("dev", dataclasses.replace(PROFILES["ibm2023"], estimate_factor=2.0))
    profile = format_of.encode_line(
        format_of.Line("dev", 0.0, "Restored", msgspec.Raw(format_of.encode_restored(_began(lane))))
    )
    steps: list[tuple[float, ev.Event]] = [
        (1.0, ev.JobAccepted("a", 1, "u", "p", "sampler")),
        (2.0, ev.JobPrepared("a", 400.0)),
    ]
    lines = [profile, *(line(at, event, lane.handle(event, at)) for at, event in steps)]
    assert replay(lines).difference is None
    lines[2] = lines[2].replace(b'"estimate":400.0', b'"estimate":401.0')
    found = replay(lines).difference
    assert found is not None
    assert found.number == 3


def test_a_log_replays_across_an_upgrade_from_a_version_that_did_not_tell_estimates() -> None:
    """Its events have none, and the rows that the new version reads back have one."""
    lane = Lane("dev", PROFILES["ibm2023"])
    steps: list[tuple[float, ev.Event]] = [
        (1.0, ev.JobAccepted("a", 1, "u", "p", "sampler")),
        (2.0, ev.JobPrepared("a")),
    ]
    lines = [restored(), *(line(at, event, lane.handle(event, at)) for at, event in steps)]
    job = lane.jobs["a"]
    for estimate, attempt, differs in ((0.25, job.attempt, False), (0.25, job.attempt + 1, True)):
        read_back = dataclasses.replace(job, estimate=estimate, attempt=attempt)
        assert (replay([*lines, restored(jobs=[read_back])]).difference is not None) == differs


def test_a_different_policy_shows_at_the_first_event_that_it_decides_differently() -> None:
    lines = log()
    lines[0] = lines[0].replace(b'"interactive_ttl":300.0', b'"interactive_ttl":200.0')
    found = replay(lines).difference
    assert found is not None
    assert (found.number, found.device, found.at) == (3, "dev", 1.0)
    assert found.now[-1] == "the same decisions, with other numbers in them"


def test_a_decision_that_differs_is_shown_beside_the_old_one() -> None:
    lines = log()
    del lines[11]  # the cancelled run has never ended, so the cancel of an ended job comes in its place
    found = replay(lines).difference
    assert found is not None
    assert (found.number, found.event) == (14, "Tick()")
    assert set(found.then) - set(found.now) == {"job c queued > running: selected", "start c attempt 1"}


def test_a_restart_that_lost_something_is_a_difference() -> None:
    found = replay([*log()[:6], restored()]).difference
    assert found is not None
    assert found.event == "Restored"
    assert found.then == ("nothing more",)
    assert any("id='s'" in entity for entity in found.now)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([b"no log"], "line 1: it is no line of an event log"),
        ([b'{"device":"d","at":0,"kind":"Tick","body":{}}'], "line 1: the log does not say how"),
        ([b'{"device":"d","at":0,"kind":"Earthquake","body":{}}'], "there is no event 'Earthquake'"),
        ([b'{"device":"d","at":0,"kind":"JobPrepared","body":{"job_id":7}}'], "Expected `str`"),
    ],
)
def test_what_is_no_log_is_refused_with_the_line(lines: list[bytes], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replay(lines)


def test_a_line_tells_what_happened() -> None:
    happened = decode(line(5.0, ev.JobCancelled("j", "an operator"), []))
    assert (happened.device, happened.at, happened.what) == ("dev", 5.0, ev.JobCancelled("j", "an operator"))

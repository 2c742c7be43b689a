"""The feed tells everybody who waits, of each commit, those of the job first."""

from __future__ import annotations

from sojourn.service.lanes.feed import Feed


class Waiting:
    def __init__(self, said: list[str], name: str) -> None:
        self._said, self._name = said, name

    def wake(self) -> None:
        self._said.append(self._name)


def test_a_commit_wakes_those_who_wait_for_what_has_changed_and_tells_all_who_follow() -> None:
    said: list[str] = []
    feed = Feed()
    feed.publish([Waiting(said, "first")])
    for name in ("a", "b"):
        feed.follow(lambda name=name: said.append(name))  # type: ignore[misc]
    feed.publish([Waiting(said, "second"), Waiting(said, "third")])
    feed.publish()
    assert said == ["first", "second", "third", "a", "b", "a", "b"]

"""R54 over a restart: which submits were answered is known after a kill, and is not believed in doubt.

The whole kind: every way in which what a process noted may be incomplete means "answered", because a submit
that is wrongly taken for a repetition is lost, and one that is wrongly taken for a new job only runs twice.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sojourn.service.jobs import answered
from sojourn.service.jobs.answered import AnsweredSubmits


def noted(folder: Path, *ids: str, keep: float = 300.0, boot: str = "boot-1") -> AnsweredSubmits:
    """A process that noted these and was killed."""
    found = AnsweredSubmits(folder, keep, lambda: 1000.0, boot)
    found.start(())
    for job_id in ids:
        found.note(job_id)
    return found


def read(folder: Path, keep: float = 300.0, boot: str = "boot-1") -> frozenset[str] | None:
    found = AnsweredSubmits(folder, keep, lambda: 1000.0, boot).read()
    return None if found is None else found.ids


def test_what_a_killed_process_noted_is_known(tmp_path: Path) -> None:
    noted(tmp_path, "a", "b")
    assert read(tmp_path) == frozenset({"a", "b"})


def test_what_earlier_processes_noted_is_carried_on(tmp_path: Path) -> None:
    noted(tmp_path, "a", "b")
    second = AnsweredSubmits(tmp_path, 300.0, lambda: 1000.0, "boot-1")
    assert second.read() == (frozenset({"a", "b"}), 0.0)
    second.start(["b"])
    second.note("c")
    assert read(tmp_path) == frozenset({"b", "c"})


def test_before_the_first_start_nothing_is_known(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_after_a_crash_of_the_machine_nothing_is_known(tmp_path: Path) -> None:
    noted(tmp_path, "a")
    assert read(tmp_path, boot="boot-2") is None


def test_where_runs_of_the_machine_cannot_be_told_apart_nothing_is_known(tmp_path: Path) -> None:
    noted(tmp_path, "a", boot="")
    assert read(tmp_path, boot="") is None


def test_with_another_window_nothing_is_known(tmp_path: Path) -> None:
    """Shorter ones have forgotten what a longer one asks for."""
    noted(tmp_path, "a", keep=300.0)
    assert read(tmp_path, keep=3000.0) is None


@pytest.mark.parametrize(
    "damage", [b"", b"boot-1", b"\xff\xfe", b"other 300 0.0\na\n", b"boot-1 300\na\n", b"boot-1 300 x\na\n"]
)
def test_a_damaged_file_says_nothing(tmp_path: Path, damage: bytes) -> None:
    noted(tmp_path, "a")
    (tmp_path / "answered").write_bytes(damage)
    assert read(tmp_path) is None


def test_the_files_stay_small_and_know_the_whole_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    found = noted(tmp_path)
    for number in range(10):
        found.note(f"job-{number}")
        now[0] += 200.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answered", "answered.old"]
    known = read(tmp_path)
    assert known is not None
    assert {"job-8", "job-9"} <= known  # those of the last 300 s
    assert len(known) < 6


def fill_the_disk(under: AnsweredSubmits) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs a device that is always full")
    assert under._file is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, under._file.fileno())
    os.close(full)


def test_a_disk_that_takes_no_more_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    found = noted(tmp_path, "a")
    fill_the_disk(found)
    found.note("b")
    found.note("c")
    assert read(tmp_path) is None


def test_when_the_disk_has_room_again_the_files_know_what_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over a rotation: of what was accepted before that moment they say nothing."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    found = AnsweredSubmits(tmp_path, 300.0, lambda: now[0] + 7e8, "boot-1")
    found.start(())
    fill_the_disk(found)
    found.note("lost with the disk")
    now[0] = 1060.0
    found.note("the first after it")
    found.note("a")
    assert found.read() == (frozenset({"a"}), 7e8 + 1060.0)
    now[0] = 1500.0
    found.note("b")
    assert found.read() == (frozenset({"a", "b"}), 7e8 + 1060.0)


def test_the_run_of_this_machine_has_a_name() -> None:
    if not Path("/proc/sys/kernel/random/boot_id").exists():
        pytest.skip("Linux only")
    assert answered.boot_id() == answered.boot_id() != ""

"""`sojourn drivers check` finds what is wrong with a driver, whatever the driver does to its process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

ALL = {
    "import",
    "construct",
    "unknown option",
    "wrong values",
    "target",
    "description",
    "memory",
    "conformance",
    "outcomes",
    "seed",
    "jobs",
    "stability",
    "calibration",
    "conditions",
    "time",
}


def sojourn(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sojourn", "drivers", *arguments], capture_output=True, text=True, check=False
    )


def checked(driver: str, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by their checks."""
    ran = sojourn("check", driver, *arguments, "--json")
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.returncode, {each["check"]: each for each in json.loads(ran.stdout)["findings"]}


def failed(found: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, each in found.items() if each["verdict"] == "fail"}


def test_a_driver_of_ours_passes_every_check() -> None:
    status, found = checked("aer", "--option", "qubits=3", "--option", "method=statevector")
    assert set(found) == ALL
    assert failed(found) == set(), found
    assert status == 0
    assert all(each["promise"] and each["evidence"] for each in found.values())


def test_a_calibration_that_holds_is_told_from_one_that_is_not_there() -> None:
    status, found = checked("fake", "-o", "backend=FakeManilaV2")
    assert (status, failed(found)) == (0, set()), found
    assert "new ones" in found["calibration"]["evidence"][0]


def test_a_driver_that_kills_its_process_is_told_and_checked_no_further() -> None:
    status, found = checked("bad", "--option", "fault=construct segfault")
    assert status == 1
    assert found["import"]["verdict"] in ("pass", "warn")
    assert "(SIGSEGV)" in found["construct"]["evidence"][0]
    assert failed(found) == {"construct"}
    assert found["jobs"]["evidence"] == ["not made, as the driver fails 'construct'"]


def test_a_check_that_hangs_is_stopped_and_the_next_one_is_made() -> None:
    limits = ("--timeout", "15", "--only", "description", "--only", "target")
    ran = sojourn("check", "bad", "--option", "fault=describe hang", *limits)
    assert ran.returncode == 1
    assert "took more than 15 s and was stopped" in ran.stdout
    assert "fails 1 of 2 checks: description" in ran.stderr


def test_carelessness_is_told_by_name() -> None:
    status, found = checked("careless", "--option", "fault=nothing")
    assert status == 1
    assert failed(found) == {"unknown option", "wrong values"}
    assert "'no_such_option' is taken without a word" in found["unknown option"]["evidence"][0]


def test_a_target_that_changes_and_a_seed_without_effect_are_told() -> None:
    _, found = checked("restless")
    assert {"seed", "stability"} <= failed(found)
    assert "target is another one after a run" in found["stability"]["evidence"][0]


def test_an_import_that_is_slow_or_starts_threads_is_a_warning() -> None:
    status, found = checked("slow")
    assert (status, found["import"]["verdict"]) == (0, "warn")
    assert any("vendor-telemetry" in sentence for sentence in found["import"]["evidence"])
    assert any("its import takes" in sentence for sentence in found["import"]["evidence"])


def test_an_import_that_ends_the_interpreter_is_told_with_its_last_words() -> None:
    status, found = checked("dying")
    assert status == 1
    assert "ends the interpreter (exit status 5): no licence found" in found["import"]["evidence"][0]


def test_the_table_ends_with_the_evidence_of_what_failed() -> None:
    ran = sojourn("check", "careless")
    assert ran.returncode == 1
    assert ran.stdout.startswith("careless: bad_drivers:Careless (bad-drivers 1.0), Python ")
    assert "unknown option (an option that it does not have is refused by name):" in ran.stdout
    assert "sojourn: the driver 'careless' fails 1 of 15 checks: unknown option" in ran.stderr


def test_the_list_has_the_drivers_with_their_packages() -> None:
    ran = sojourn("list")
    assert ran.returncode == 0
    assert any(line.split()[:3] == ["careless", "bad-drivers", "1.0"] for line in ran.stdout.splitlines()), (
        ran.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("check", "nothing"), 1, "there is no driver 'nothing'; installed are aer, backend, bad, careless"),
        (("check", "aer", "--option", "qubits"), 2, "it must be KEY=VALUE, such as qubits=5"),
        (("check", "aer", "--only", "looks"), 2, "--only: there is no check 'looks'; there are import"),
        (("check", "aer", "--python", "/nonexistent"), 1, "/nonexistent cannot be started"),
        (("list", "--python", "/bin/false"), 1, "/bin/false has no worker of this release"),
        (("make-env", "../x"), 1, "cannot be the name of an environment"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments: tuple[str, ...], status: int, words: str) -> None:
    ran = sojourn(*arguments)
    assert ran.returncode == status
    assert words in ran.stderr
    assert len(ran.stderr.splitlines()) == 1

"""The command line of operators: device states, calibrations, reservations, against a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sojourn.embedded import Embedded
from tests.acceptance.cli.test_cli_server import data, sojourn

BROKEN = {"name": "far", "driver": "aer", "options": {"qubits": 2, "device": "TPU"}}
MOCK = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK]) as running:
        yield running


def test_a_check_of_a_device_that_cannot_be_loaded_says_why_and_does_not_wait() -> None:
    with Embedded(devices=[MOCK, BROKEN], wait="alive") as server:
        done = sojourn(server, "devices", "check", "far")
        assert done.returncode == 1
        why = "option 'device' of driver 'aer' is 'TPU'; allowed is CPU or GPU"
        assert " ".join(done.stderr.split()).count(why) == 1, done.stderr
        assert why in " ".join(sojourn(server, "devices").stdout.split())
        assert data(server, "jobs", "list")["jobs"][0]["state"] == "queued"


def test_pause_drain_maintain_and_resume_say_what_they_did_and_devices_shows_it(server: Embedded) -> None:
    for verb, words in (("pause", "paused"), ("drain", "being drained"), ("maintain", "in maintenance")):
        done = sojourn(server, "devices", verb, "bench", "--message", "new pump", "--until", "+2h")
        assert done.returncode == 0, done.stderr
        assert f"bench is {words} (by operator, since " in done.stdout
        assert done.stdout.endswith("): new pump\n")
        listed = sojourn(server, "devices").stdout
        assert done.stdout in listed
    assert sojourn(server, "devices", "resume", "bench").stdout == "bench is online\n"
    assert data(server, "devices", "pause", "bench")["state"] == "paused"
    assert data(server, "devices", "resume", "bench")["state"] == "online"
    refused = sojourn(server, "devices", "pause", "nope")
    assert refused.returncode == 1
    assert "bench" in refused.stderr


def test_a_calibration_is_queued_and_listed(server: Embedded) -> None:
    done = sojourn(server, "devices", "calibrate", "bench", "-m", "weekly")
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[5].rstrip(",")
    story = data(server, "jobs", "show", job)
    assert (story["program"], story["user"], story["caller"]) == ("calibrate", "system", "operator: weekly")
    sojourn(server, "devices", "pause", "bench")
    sojourn(server, "devices", "calibrate", "bench")
    twice = sojourn(server, "devices", "calibrate", "bench")
    sojourn(server, "devices", "resume", "bench")
    assert twice.returncode == 1
    assert "under way already" in twice.stderr
    listed = sojourn(server, "devices", "calibrations", "bench").stdout
    assert "cal-1" in listed
    assert data(server, "devices", "calibrations", "bench")["device"] == "bench"


def test_a_check_waits_for_its_report_and_shows_it(server: Embedded) -> None:
    done = sojourn(server, "devices", "check", "bench", "-m", "after the move")
    assert done.returncode == 0, done.stderr
    assert "bench: conforms (" in done.stdout
    assert "order of bits" in done.stdout
    report = data(server, "devices", "check", "bench")
    assert report["passed"] is True
    assert report["summary"].startswith("conforms (")
    shown = data(server, "devices", "show", "bench")
    assert shown["check_summary"] == report["summary"]
    carl = server.user("caroline", "elsewhere").api_key
    refused = sojourn(server, "devices", "check", "bench", "--url", server.url, "--token", carl)
    assert refused.returncode == 1


def test_a_reservation_from_the_booking_to_its_end(server: Embedded) -> None:
    booked = sojourn(
        server, "reservations", "add", "bench", "-P", "local", "--start", "in 2h", "--for", "1h 30m"
    )
    assert booked.returncode == 0, booked.stderr
    (reservation,) = booked.stdout.split()
    assert "bench is reserved for local (dedicated)" in booked.stderr
    listed = sojourn(server, "reservations", "list", "bench").stdout
    assert reservation in listed
    assert "local" in listed
    (found,) = json.loads(sojourn(server, "reservations", "list", "--json").stdout)["reservations"]
    assert found["id"] == reservation
    assert (found["mode"], found["after_window"], found["state"]) == ("dedicated", "fail", "booked")
    assert "dedicated" in sojourn(server, "reservations", "show", reservation).stdout
    key = (server.data / "local.key").read_text().strip()
    theirs = sojourn(server, "reservations", "list", "--url", server.url, "--token", key).stdout
    assert reservation in theirs, "members see their own project's"
    carl = server.user("carl", "elsewhere").api_key
    others = sojourn(server, "reservations", "list", "--url", server.url, "--token", carl).stdout
    assert "busy" in others
    assert reservation not in others
    planned = ("reservations", "add", "bench", "-P", "local", "--for", "30m", "--dry-run", "--start")
    free, taken = sojourn(server, *planned, "+5h"), sojourn(server, *planned, "+3h")
    assert (free.returncode, taken.returncode) == (0, 1)
    assert "it would be made" in free.stdout
    assert "by project local: 1h 30m of 1d 16h within any 7d 00h, 2h 00m with this one" in free.stdout
    assert "in its way  local" in taken.stdout
    assert "cannot overlap" in taken.stdout
    plan = json.loads(sojourn(server, *planned, "+5h", "--json").stdout)
    assert (plan["refused"], plan["conflicts"]) == (None, [])
    assert len(json.loads(sojourn(server, "reservations", "list", "--json").stdout)["reservations"]) == 1
    overlap = sojourn(server, "reservations", "add", "bench", "--start", "+3h", "--end", "+4h")
    assert overlap.returncode == 1
    assert "cannot overlap" in overlap.stderr
    forbidden = sojourn(
        server, "reservations", "add", "bench", "--for", "1h", "--url", server.url, "--token", key
    )
    assert forbidden.returncode == 1
    assert "admins" in forbidden.stderr
    assert "one of the two" in sojourn(server, "reservations", "add", "bench").stderr
    gone = sojourn(server, "reservations", "cancel", reservation)
    assert gone.stdout == f"{reservation} is cancelled\n"
    assert json.loads(sojourn(server, "reservations", "list", "--json").stdout)["reservations"] == []
    assert "cancelled" in sojourn(server, "reservations", "list", "--ended").stdout


def test_a_403_says_whose_key_helps(server: Embedded) -> None:
    key = server.user("dora", "doras").api_key
    me = ("--url", server.url, "--token", key)
    for command in (
        ("reservations", "add", "bench", "--for", "1h"),
        ("reservations", "add", "bench", "-P", "local", "--for", "1h"),
    ):
        refused = sojourn(server, *command, *me)
        assert refused.returncode == 1
        assert "The key of an admin of the project or of an operator is needed" in refused.stderr
    assert "operator's key is needed" not in refused.stderr
    refused = sojourn(server, "usage", "--user", "operator", *me)
    assert "An operator's key shows the usage of everybody" in refused.stderr
    refused = sojourn(server, "devices", "pause", "bench", *me)
    assert "An operator's key is needed; it is in" in refused.stderr


def test_names_in_a_pipe_are_whole_whatever_the_terminal_has(server: Embedded) -> None:
    user, project = "u" * 64, "p" * 64
    server.user(user, project)
    assert project in sojourn(server, "projects", "list").stdout  # with COLUMNS=80
    assert f"{user}  {project}" in sojourn(server, "users", "list").stdout

"""`sojourn top`, driven by keys without a terminal, against a running server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from sojourn.cli.commands.top.view import Ask, Top
from sojourn.client import Client
from sojourn.embedded import Embedded
from tests.acceptance.cli.test_cli_server import data, sojourn, waiting_in_a_session

MOCK = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK]) as running:
        yield running


Drive = Callable[[Top, Pilot[None]], Awaitable[None]]


def watch(server: Embedded, drive: Drive, *, key: str | None = None, every: float = 0.2) -> None:
    async def run() -> None:
        app = Top(Client(server.url, key or server.operator_key), every=every)
        async with app.run_test(size=(150, 40), notifications=True) as pilot:
            await drive(app, pilot)

    asyncio.run(run())


async def until(pilot: Pilot[None], condition: Callable[[], bool], what: str) -> None:
    """The server and the view bring it about."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"it never came about: {what}"
        await pilot.pause(0.05)


def rows(app: Top, name: str) -> list[list[str]]:
    table = app.screen_stack[0].query_one(f"#{name}", DataTable)
    return [[cell.plain for cell in table.get_row_at(row)] for row in range(table.row_count)]


def head(app: Top) -> str:
    return str(app.screen_stack[0].query_one("#head", Static).visual)


def said(app: Top) -> str:
    return " ".join(notification.message for notification in app._notifications)


async def choose(pilot: Pilot[None], name: str) -> None:
    """Go to a table by the keyboard."""
    for _ in range(4):
        if pilot.app.focused is not None and pilot.app.focused.id == name:
            return
        await pilot.press("tab")
    raise AssertionError(f"Tab does not lead to {name}")


async def press_and_answer(app: Top, pilot: Pilot[None], key: str, answer: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, Ask), f"{key} asks")
    await pilot.press(answer)
    await until(pilot, lambda: not isinstance(app.screen, Ask), "the question goes away")


def test_it_shows_the_devices_the_queue_and_the_sessions(server: Embedded) -> None:
    session, job = waiting_in_a_session(server)

    async def drive(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: bool(rows(app, "jobs")), "the job is shown")
        assert [row[:2] for row in rows(app, "devices")] == [["bench", "paused"]]
        ((before, shown, state, *_),) = rows(app, "jobs")
        assert (before, shown, state) == ("0", job, "queued")
        assert [row[:2] for row in rows(app, "sessions")] == [[session, "open"]]
        assert server.url in head(app)
        sojourn(server, "devices", "resume", "bench")
        await until(pilot, lambda: rows(app, "jobs") == [], "the job has run")
        await until(pilot, lambda: rows(app, "sessions")[0][1] == "active", "the session has the device")
        sojourn(server, "sessions", "close", session)
        await until(pilot, lambda: rows(app, "sessions") == [], "the session has ended")

    watch(server, drive)


def test_the_clocks_of_a_session_count_down_between_two_answers(server: Embedded) -> None:
    session, _ = waiting_in_a_session(server)
    sojourn(server, "devices", "resume", "bench")
    while data(server, "sessions", "show", session)["idle_ttl"] is None:
        pass

    async def drive(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: bool(rows(app, "sessions")), "the session is shown")
        ((*_, left, idle),) = rows(app, "sessions")
        await until(
            pilot,
            lambda: rows(app, "sessions")[0][-2] != left and rows(app, "sessions")[0][-1] != idle,
            "both clocks go on without another answer",
        )

    watch(server, drive, every=3600.0)
    sojourn(server, "sessions", "close", session)


def test_keys_pause_resume_cancel_and_close_after_one_question(server: Embedded) -> None:
    async def drive(app: Top, pilot: Pilot[None]) -> None:
        def device() -> str:
            return rows(app, "devices")[0][1] if rows(app, "devices") else ""

        await until(pilot, lambda: device() == "ready", "the device is shown")
        await choose(pilot, "devices")
        await press_and_answer(app, pilot, "p", "n")
        await press_and_answer(app, pilot, "p", "escape")
        assert data(server, "devices", "show", "bench")["state"] == "online"
        await press_and_answer(app, pilot, "p", "y")
        await until(pilot, lambda: device() == "paused", "the device is paused")
        _, job = waiting_in_a_session(server)
        await until(pilot, lambda: bool(rows(app, "jobs")), "the job is shown")
        await choose(pilot, "jobs")
        await press_and_answer(app, pilot, "c", "y")
        await until(pilot, lambda: rows(app, "jobs") == [], "the job is cancelled")
        assert data(server, "jobs", "show", job)["state"] == "cancelled"
        other, queued = waiting_in_a_session(server)
        await until(pilot, lambda: other in [row[0] for row in rows(app, "sessions")], "it is shown")
        await choose(pilot, "sessions")
        while rows(app, "sessions")[app.focused.cursor_row][0] != other:  # type: ignore[union-attr]
            await pilot.press("down")
        await press_and_answer(app, pilot, "x", "y")
        await until(pilot, lambda: other not in [row[0] for row in rows(app, "sessions")], "it is closed")
        assert data(server, "jobs", "show", queued)["state"] == "failed"
        await choose(pilot, "devices")
        await press_and_answer(app, pilot, "p", "y")
        await until(pilot, lambda: device() == "ready", "the device is online again")

    watch(server, drive)


def test_a_key_for_another_table_acts_on_nothing(server: Embedded) -> None:
    _, job = waiting_in_a_session(server)

    async def drive(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: bool(rows(app, "jobs")), "the job is shown")
        await choose(pilot, "devices")
        for key in ("c", "x"):
            await pilot.press(key)
        assert not isinstance(app.screen, Ask)
        assert "Tab goes to its table" in said(app)

    watch(server, drive)
    assert data(server, "jobs", "show", job)["state"] == "queued"
    sojourn(server, "devices", "resume", "bench")


def test_a_user_sees_what_is_theirs_and_what_is_refused_is_said(server: Embedded) -> None:
    _, others = waiting_in_a_session(server)
    key = server.user("hugo", "optics").api_key

    async def drive(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: bool(rows(app, "devices")), "the device is shown")
        assert rows(app, "jobs") == []
        await choose(pilot, "devices")
        await press_and_answer(app, pilot, "p", "y")
        await until(pilot, lambda: "not an operator" in said(app), "the refusal is shown")

    watch(server, drive, key=key)
    assert data(server, "jobs", "show", others)["state"] == "queued"
    sojourn(server, "devices", "resume", "bench")


def test_a_server_that_does_not_answer_is_said_to_and_what_was_there_stays() -> None:
    with Embedded(devices=[MOCK]) as gone:

        async def drive(app: Top, pilot: Pilot[None]) -> None:
            await until(pilot, lambda: bool(rows(app, "devices")), "the device is shown")
            gone.stop()
            await until(pilot, lambda: "no server answers" in head(app), "it is said")
            assert " old" in head(app)
            assert [row[0] for row in rows(app, "devices")] == ["bench"]
            await pilot.press("q")

        watch(gone, drive)


def test_what_users_have_written_is_shown_as_it_is(server: Embedded) -> None:
    """Kind: markup and escapes in texts of others; they reach the view by the message of a device."""
    text = "[bold red]boo[/] \x1b[31m [@click=app.quit]here[/]"

    async def drive(app: Top, pilot: Pilot[None]) -> None:
        app._say(text)
        app.push_screen(Ask(text))
        await pilot.pause()
        shown = str(app.screen.query(Static).first().visual)
        assert "[bold red]boo[/] \\x1b[31m" in shown

    watch(server, drive)


def test_without_a_terminal_it_says_what_to_use_and_prints_json_on_request(server: Embedded) -> None:
    refused = sojourn(server, "top")
    assert refused.returncode == 1
    assert "needs a terminal" in refused.stderr
    shown = json.loads(sojourn(server, "top", "--json").stdout)
    assert set(shown) == {"devices", "jobs", "count", "sessions"}
    assert [device["name"] for device in shown["devices"]] == ["bench"]


def test_without_the_extra_it_says_how_to_install_it(server: Embedded) -> None:
    program = (
        "import sys; sys.modules['textual'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'textual' else find(name, *a)\n"
        "from sojourn.cli.main import main; main(sys.argv[1:])"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    done = subprocess.run(
        [sys.executable, "-c", program, "top", "--data", str(server.data)],
        capture_output=True,
        text=True,
        env=clean,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'sojourn[tui]'" in done.stderr

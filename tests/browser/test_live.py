"""Pages follow what happens: soon, over a restart of the server, and with what is expected."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from sojourn.client import Client
from sojourn.dashboard.looking import OFTEN, SLOW
from sojourn.embedded import Embedded
from tests.browser.conftest import DEVICES
from tests.browser.people import CUT, LIVE, sign_in, submit
from tests.harness.labs import Lab, free_port
from tests.harness.processes import parents

SOON = 1000 * (SLOW - 5.0)
"""Milliseconds; a page that is told of something shows it within them, one that looks by itself later."""
PATIENCE = 60.0
ZONE = "Asia/Tokyo"


def streams(server: Embedded) -> int:
    """The event streams that the server has open."""
    headers = {"authorization": f"Bearer {server.operator_key}"}
    text = httpx.get(f"{server.url}/metrics", headers=headers, trust_env=False, timeout=30).text
    (line,) = [line for line in text.splitlines() if line.startswith("sojourn_event_streams ")]
    return int(float(line.split()[1]))


def until(is_so: Callable[[], bool]) -> None:
    """The server and the dashboard are processes of their own: one can only look again."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_page_shows_what_happens_before_it_would_look_by_itself(
    page: Any, server: Embedded, dashboard: str
) -> None:
    assert SLOW > OFTEN
    ann = server.user("ann", "chem")
    sign_in(page, dashboard, ann.api_key, "/jobs")
    page.get_by_text(LIVE).wait_for()
    page.get_by_text("No jobs yet").wait_for()
    job = submit(server, ann, "quick")
    row = page.get_by_role("row", name=job)
    row.wait_for(timeout=SOON)
    row.get_by_text("completed").wait_for(timeout=SOON)


def test_all_pages_of_a_user_have_one_stream_and_it_ends_with_the_last(
    browser: Any, server: Embedded, dashboard: str
) -> None:
    until(lambda: streams(server) == 0)  # those of the pages before
    bob = server.user("bob", "bio")
    context = browser.new_context()
    first, second = context.new_page(), context.new_page()
    sign_in(first, dashboard, bob.api_key, "/jobs")
    first.get_by_text(LIVE).wait_for()
    second.goto(f"{dashboard}/devices/quick")
    second.get_by_text(LIVE).wait_for()
    until(lambda: streams(server) == 1)
    first.close()
    second.reload()
    second.get_by_text(LIVE).wait_for()
    until(lambda: streams(server) == 1)
    context.close()
    until(lambda: streams(server) == 0)


def test_all_pages_of_who_signs_out_show_nothing_more_and_the_stream_ends(
    browser: Any, server: Embedded, dashboard: str
) -> None:
    until(lambda: streams(server) == 0)
    max_ = server.user("max", "opt")
    job = submit(server, max_, "quick")
    context, elsewhere = browser.new_context(), browser.new_context()
    first, second, other = context.new_page(), context.new_page(), elsewhere.new_page()
    sign_in(first, dashboard, max_.api_key, "/jobs")
    second.goto(f"{dashboard}/jobs/{job}")
    sign_in(other, dashboard, max_.api_key, f"/jobs/{job}")
    for page in (first, second, other):
        page.get_by_text(job).first.wait_for()
        page.get_by_text(LIVE).wait_for()
    first.get_by_role("button", name="Sign out").click()
    for page in (first, second):
        page.get_by_label("API key").wait_for(timeout=SOON)
        assert job not in page.content()
    second.go_back()
    second.get_by_label("API key").wait_for()
    assert other.get_by_text(LIVE).is_visible(), "another visit of the same key goes on"
    assert streams(server) == 1
    other.get_by_role("button", name="Sign out").click()
    until(lambda: streams(server) == 0)
    sign_in(second, dashboard, max_.api_key, f"/jobs/{job}")
    context.close()
    elsewhere.close()


def test_a_page_shows_nothing_more_when_its_key_is_revoked(
    page: Any, server: Embedded, dashboard: str
) -> None:
    lea = server.user("lea", "opt")
    job = submit(server, lea, "quick")
    sign_in(page, dashboard, lea.api_key, f"/jobs/{job}")
    page.get_by_text(LIVE).wait_for()
    Client(server.url, server.operator_key).post("/users/lea/revoke")
    page.get_by_label("API key").wait_for(timeout=SOON)
    assert job not in page.content()


def test_what_is_expected_of_a_waiting_job_is_on_its_page_in_the_list_and_in_the_timeline(
    browser: Any, server: Embedded, dashboard: str
) -> None:
    eve = server.user("eve", "opt")
    submit(server, eve, "slow")
    waiting = submit(server, eve, "slow")
    context = browser.new_context(timezone_id=ZONE)
    page = context.new_page()
    sign_in(page, dashboard, eve.api_key, f"/jobs/{waiting}")
    page.get_by_text("Why it waits: 1 job is before it").wait_for()
    page.get_by_text("in 8 of 10 cases between").first.wait_for()
    page.goto(f"{dashboard}/devices/slow")
    row = page.get_by_role("row", name=waiting)
    expected = row.locator("time[data-show=clock]").first
    expected.wait_for()
    at = datetime.fromisoformat(expected.get_attribute("datetime"))
    assert f"{at.astimezone(ZoneInfo(ZONE)):%H:%M}" in expected.inner_text()
    assert expected.get_attribute("title").endswith("UTC")
    until(lambda: hovered(page, f"job: {waiting}"))
    context.close()


def hovered(page: Any, text: str) -> bool:
    """Whether something in the row of the jobs says this when the mouse is over it."""
    box = page.get_by_role("img", name="Timeline of the device").bounding_box()
    for x in range(int(box["width"]) - 20, 80, -3):
        page.mouse.move(box["x"] + x, box["y"] + 130)
        if page.get_by_text(text).is_visible():
            return True
    return False


class Fixed(Lab):
    """The dashboard has the same address after a restart as well."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, DEVICES, dashboard=True)
        self._settings["DASHBOARD"] |= {"port": free_port()}


@pytest.fixture
def lab(browser: Any, tmp_path: Path) -> Iterator[Fixed]:
    with Fixed(tmp_path) as running:
        yield running


def tree(root: int) -> list[int]:
    """The process and all that it has started, and they have."""
    found, of = [root], parents()
    for pid in found:
        found += [child for child, parent in of.items() if parent == pid]
    return found


@pytest.mark.timeout(300)
def test_pages_are_live_again_by_themselves_after_all_processes_were_killed_and_show_the_new_state(
    page: Any, lab: Fixed
) -> None:
    dashboard = lab.pages().rstrip("/")
    joe = lab.user("joe", "qml")
    running, waiting = submit(lab, joe, "slow"), submit(lab, joe, "slow")
    sign_in(page, dashboard, joe.api_key, "/jobs")
    second = page.context.new_page()
    second.goto(f"{dashboard}/jobs/{waiting}")
    second.get_by_text("Why it waits").first.wait_for()
    for each in (page, second):
        each.get_by_text(LIVE).wait_for()
    killed = tree(lab.pid)
    assert len(killed) > 3, "the server, its workers and the dashboard"
    for pid in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    lab.kill()
    page.get_by_text(CUT).locator("visible=true").wait_for()
    lab.start()
    # While nobody looks at the pages: they are on their way back.
    mine = Client(lab.url, joe.api_key)
    mine.post(f"/jobs/{running}/cancel")
    late = submit(lab, joe, "slow")
    page.get_by_role("row", name=late).wait_for(timeout=90_000)
    page.get_by_role("row", name=running).get_by_text("cancelled").first.wait_for()
    second.get_by_role("cell", name="running", exact=True).wait_for(timeout=90_000)
    for each, path in ((page, "/jobs"), (second, f"/jobs/{waiting}")):
        each.get_by_text(LIVE).wait_for()
        assert each.url == f"{dashboard}{path}", "nobody had to sign in again"
    mine.post(f"/jobs/{waiting}/cancel")
    second.get_by_text("cancelled").first.wait_for(timeout=SOON)
    page.get_by_role("row", name=waiting).get_by_text("cancelled").first.wait_for(timeout=SOON)

"""What people do with the dashboard: sign in, look, cancel, pause. A real server, a real browser."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from sojourn.client import Client
from sojourn.dashboard.charts.week import COLUMN, HEIGHT, HOUR, LEFT, TOP, WIDTH
from sojourn.embedded import Embedded
from tests.browser.people import CUT, LIVE, sign_in, submit
from tests.harness.processes import command, parents


def test_the_server_leads_to_the_dashboard(page: Any, server: Embedded, dashboard: str) -> None:
    page.goto(server.url)
    page.get_by_label("API key").wait_for()
    assert page.url.startswith(f"{dashboard}/sign-in")


def test_the_printed_link_signs_in_once(page: Any, browser: Any, link: str) -> None:
    page.goto(link)
    page.get_by_role("heading", name="Devices").wait_for()
    page.get_by_role("link", name="slow").wait_for()
    cookie = next(c for c in page.context.cookies() if c["name"] == "sojourn_dashboard")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    second = browser.new_context().new_page()
    second.goto(link)
    assert "has been used" in second.get_by_role("alert").inner_text()
    second.context.close()


def test_a_wrong_key_is_told_and_opens_nothing(page: Any, dashboard: str) -> None:
    page.goto(f"{dashboard}/jobs")
    page.get_by_label("API key").fill("sjn_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    page.goto(f"{dashboard}/jobs")
    assert "/sign-in" in page.url


def test_a_job_is_seen_with_its_history_and_cancelled(page: Any, server: Embedded, dashboard: str) -> None:
    ann = server.user("ann", "chem")
    running = submit(server, ann, "slow")
    waiting = submit(server, ann, "slow")
    sign_in(page, dashboard, ann.api_key, "/devices/slow")
    page.get_by_role("img", name="Timeline of the device").wait_for()
    page.get_by_role("link", name=waiting).click()
    page.get_by_text("Why it waits").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("cancelled").first.wait_for()
    mine = Client(server.url, ann.api_key)
    assert mine.get(f"/jobs/{waiting}")["state"] == "cancelled"
    mine.post(f"/jobs/{running}/cancel")


def test_a_job_is_run_again_as_a_new_one_after_a_question(
    page: Any, server: Embedded, dashboard: str
) -> None:
    ivy = server.user("ivy", "chem")
    first = submit(server, ivy, "quick")
    sign_in(page, dashboard, ivy.api_key, f"/jobs/{first}")
    page.get_by_text(f'service.job("{first}")').first.wait_for()
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("button", name="Yes").click()
    page.wait_for_url(lambda url: "/jobs/" in url and first not in url)
    second = page.url.rpartition("/")[2]
    page.get_by_role("heading", name=second).wait_for()
    page.get_by_text("completed").first.wait_for()
    page.get_by_role("heading", name="What was asked").wait_for()
    page.get_by_text("shots").first.wait_for()
    assert Client(server.url, ivy.api_key).get("/jobs")["count"] == 2


def test_an_operator_does_not_run_the_job_of_another_again(
    page: Any, server: Embedded, dashboard: str
) -> None:
    job = submit(server, server.user("uli", "chem"), "quick")
    sign_in(page, dashboard, server.operator_key, f"/jobs/{job}")
    page.get_by_role("heading", name=job).wait_for()
    page.get_by_text("completed").first.wait_for()
    assert page.get_by_role("button", name="Run again").count() == 0


def test_users_do_not_see_each_other(page: Any, server: Embedded, dashboard: str) -> None:
    eve, bob = server.user("eve", "spies"), server.user("bob", "bio")
    job = submit(server, bob, "quick")
    sign_in(page, dashboard, eve.api_key, f"/jobs/{job}")
    page.get_by_role("alert").wait_for()
    assert "not found" in page.get_by_role("alert").inner_text()
    page.goto(f"{dashboard}/jobs")
    page.get_by_text("No jobs yet").wait_for()
    assert job not in page.content()
    assert page.get_by_role("button", name="Pause").count() == 0


def test_an_operator_pauses_a_device(page: Any, server: Embedded, dashboard: str) -> None:
    sign_in(page, dashboard, server.operator_key, "/devices/quick")
    page.get_by_label("Message for the users").fill("new wiring")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("new wiring").first.wait_for()
    assert server.get("/devices/quick")["state"] == "paused"
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("online").first.wait_for()
    assert server.get("/devices/quick")["state"] == "online"


def test_a_time_is_reserved_by_dragging_over_the_week_and_what_is_in_the_way_is_said(
    page: Any, server: Embedded, dashboard: str
) -> None:
    sign_in(page, dashboard, server.operator_key, "/calendar")
    page.get_by_role("img", name="Reservations of quick").wait_for()
    page.get_by_role("button", name="Week after").click()

    def drag(day: int, first: float, last: float) -> None:
        page.evaluate("window.scrollTo(0, 0)")  # the form, which was used, is below
        box = page.locator("svg.choice").bounding_box()
        x = box["x"] + box["width"] * (LEFT + (day + 0.5) * COLUMN) / WIDTH
        low, high = (box["y"] + box["height"] * (TOP + hour * HOUR) / HEIGHT for hour in (first, last))
        page.mouse.move(x, low)
        page.mouse.down()
        page.mouse.move(x, (low + high) / 2)
        page.mouse.move(x, high)
        page.mouse.up()

    drag(2, 6.0, 7.5)
    page.get_by_text("not saved yet").wait_for()
    assert page.get_by_label("For").input_value() == "90m"
    said = page.get_by_text("not saved yet").inner_text()
    assert "0 s of 1 d 16 h reserved within 7 d 0 h, 1 h 30 min with this one; 1 d 14 h left" in said
    page.get_by_role("button", name="Reserve", exact=True).click()
    page.get_by_text("is reserved from").first.wait_for()
    (made,) = server.get("/reservations")["reservations"]
    start, end = (datetime.fromisoformat(made[name]) for name in ("start", "end"))
    assert (start.weekday(), end - start) == (2, timedelta(minutes=90))
    drag(2, 7.0, 8.0)
    page.get_by_text("Taken by").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("No reservations").wait_for()


def test_signing_out_ends_the_visit(page: Any, server: Embedded, dashboard: str) -> None:
    sign_in(page, dashboard, server.local_key)
    cookies = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    page.context.add_cookies(cookies)
    page.goto(f"{dashboard}/jobs")
    assert "/sign-in" in page.url


def test_a_form_of_another_site_is_refused(server: Embedded, dashboard: str) -> None:
    reply = httpx.post(
        f"{dashboard}/sign-in",
        content=f"key={server.local_key}",
        headers={"origin": "http://evil.example", "content-type": "application/x-www-form-urlencoded"},
        trust_env=False,
        timeout=30,
    )
    assert reply.status_code == 403
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, server: Embedded, dashboard: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra `browser`")
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    sign_in(page, dashboard, server.operator_key)
    found = []
    for path in ("/", "/devices/quick", "/jobs", "/sessions", "/calendar", "/usage", "/operators"):
        page.goto(dashboard + path)
        page.get_by_role("heading", level=1).wait_for()
        page.wait_for_load_state("networkidle")
        for violation in axe.Axe().run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:120] for node in violation["nodes"][:3]]
                found.append((path, violation["id"], nodes))
    context.close()
    assert found == []


def test_a_page_says_that_the_server_is_away_and_recovers(
    page: Any, server: Embedded, dashboard: str
) -> None:
    sign_in(page, dashboard, server.local_key)
    page.get_by_text(LIVE).wait_for()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        page.get_by_text("The server does not answer").wait_for(timeout=90_000)
        page.get_by_text(CUT).first.wait_for()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    page.get_by_text("The server does not answer").wait_for(state="hidden", timeout=90_000)
    page.get_by_text(LIVE).wait_for()


def process_of_the_dashboard(server: Embedded) -> int:
    children = [pid for pid, parent in parents().items() if parent == server.pid]
    (found,) = [pid for pid in children if b"sojourn.dashboard" in command(pid)]
    return found


def test_a_page_comes_back_signed_in_when_the_dashboard_was_killed(
    page: Any, server: Embedded, dashboard: str
) -> None:
    sign_in(page, dashboard, server.local_key, "/jobs")
    page.evaluate("window.before = true")
    os.kill(process_of_the_dashboard(server), signal.SIGKILL)
    page.wait_for_function("window.before === undefined", timeout=90_000)
    page.get_by_role("heading", name="Jobs", level=1).wait_for()
    assert page.url == f"{dashboard}/jobs"

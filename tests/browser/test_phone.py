"""What is there to read works on a phone: no page is wider than its screen, and all can be reached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sojourn.client import Client
from sojourn.embedded import Embedded, Key
from tests.browser.people import LIVE, sign_in, submit
from tests.harness.programs import job_body

WIDTH, HEIGHT = 390, 844
SMALLEST = 12.0
"""Pixels of text."""
TOO_WIDE = """wide => [...document.querySelectorAll('body *')].filter(each => {
  const box = each.getBoundingClientRect();
  if (!box.width || !box.height || box.right <= wide + 1 || each.closest('.skip')) return false;
  for (let up = each.parentElement; up; up = up.parentElement)
    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(up).overflowX)
        && up.getBoundingClientRect().right <= wide + 1) return false;
  return true;
}).map(each => each.outerHTML.slice(0, 120))"""
"""What is beyond the screen and not within something that is moved sideways itself."""
TOO_SMALL = """least => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const holder = text.parentElement, size = parseFloat(getComputedStyle(holder).fontSize);
    if (text.data.trim() && holder.checkVisibility() && size < least) found.push([text.data.trim(), size]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def ann(server: Embedded) -> Key:
    return server.user("ann", "chem")


@pytest.fixture(scope="module")
def paths(server: Embedded, ann: Key) -> dict[str, str]:
    """The pages: of a device that is busy, of a job that waits for it, of a session with a job."""
    headers = {"authorization": f"apikey {ann.api_key}"}
    body = {"mode": "dedicated", "backend": "quick"}
    opened = httpx.post(
        f"{server.url}/api/v1/sessions", json=body, headers=headers, trust_env=False, timeout=30
    )
    session = opened.json()["id"]
    within = job_body("quick", session_id=session)
    httpx.post(f"{server.url}/api/v1/jobs", content=within, headers=headers, trust_env=False, timeout=30)
    submit(server, ann, "slow")
    waiting = submit(server, ann, "slow")
    return {
        "devices": "/",
        "device": "/devices/slow",
        "jobs": "/jobs",
        "job": f"/jobs/{waiting}",
        "session": f"/sessions/{session}",
        "usage": "/usage",
    }


@pytest.fixture(scope="module")
def phone(browser: Any, server: Embedded, dashboard: str, ann: Key) -> Iterator[Any]:
    """A page of a phone on which ann has signed in."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, is_mobile=True, has_touch=True, device_scale_factor=2
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    sign_in(page, dashboard, ann.api_key)
    yield page
    context.close()
    mine = Client(server.url, ann.api_key)
    for job in mine.get("/jobs", pending="true")["jobs"]:
        mine.post(f"/jobs/{job['id']}/cancel")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("devices", "Calibrated"),
        ("device", "Expected start"),
        ("jobs", "Submitted"),
        ("job", "Why it waits"),
        ("session", "Held between jobs"),
        ("usage", "Nothing was used|Charges"),
    ],
)
def test_a_page_is_as_wide_as_the_screen_and_its_text_can_be_read(
    phone: Any, dashboard: str, paths: dict[str, str], name: str, says: str
) -> None:
    phone.goto(dashboard + paths[name])
    phone.get_by_text(re.compile(says)).first.wait_for()
    phone.get_by_text(LIVE).wait_for()
    phone.evaluate("document.fonts.ready.then(() => null)")
    assert phone.evaluate(TOO_WIDE, WIDTH) == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= WIDTH
    assert phone.evaluate("innerWidth") == WIDTH  # it grows with what is wider
    assert phone.evaluate(TOO_SMALL, SMALLEST) == []


def test_every_page_can_be_reached_with_a_finger(phone: Any, dashboard: str, paths: dict[str, str]) -> None:
    phone.goto(dashboard + paths["job"])
    for name in ("Jobs", "Sessions", "Calendar", "Usage", "Devices"):
        link = phone.get_by_role("navigation", name="Pages").get_by_role("link", name=name)
        box = link.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= WIDTH
        assert box["height"] >= 24  # WCAG 2.2, target size
        link.tap()
        phone.get_by_role("heading", name=name, level=1).wait_for()


def test_a_wide_table_is_moved_within_its_frame(phone: Any, dashboard: str, paths: dict[str, str]) -> None:
    phone.goto(dashboard + paths["jobs"])
    frame = phone.locator(".panel:has(table)").first
    frame.wait_for()
    assert frame.evaluate("each => each.scrollWidth > each.clientWidth")
    assert frame.evaluate("each => { each.scrollLeft = 60; return each.scrollLeft }") == 60

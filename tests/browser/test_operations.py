"""A session that runs and loses its device, and what operators do with users: watched in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sojourn.client import Client
from sojourn.embedded import Embedded, Key
from tests.browser.conftest import DEVICES
from tests.browser.people import LIVE, sign_in
from tests.harness.programs import job_body

HELD = {"interactive_ttl": 5.0}


@pytest.fixture(scope="module")
def server(browser: Any) -> Iterator[Embedded]:
    with Embedded(devices=DEVICES, dashboard=True, policy=HELD) as running:
        yield running


def dialect(server: Embedded, key: Key) -> httpx.Client:
    headers = {"authorization": f"apikey {key.api_key}"}
    return httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, trust_env=False, timeout=60)


def opened(http: httpx.Client, device: str) -> str:
    return str(http.post("/sessions", json={"backend": device}).raise_for_status().json()["id"])


def add(http: httpx.Client, device: str, session: str) -> str:
    body = job_body(device, session_id=session)
    return str(http.post("/jobs", content=body).raise_for_status().json()["id"])


def test_a_session_is_watched_while_it_runs_and_loses_its_device(
    page: Any, server: Embedded, dashboard: str
) -> None:
    ann = server.user("ann", "chem")
    with dialect(server, ann) as http:
        session = opened(http, "quick")
        sign_in(page, dashboard, ann.api_key, f"/sessions/{session}")
        page.get_by_text(LIVE).wait_for()
        page.get_by_text("The session has no jobs yet.").wait_for()
        job = add(http, "quick", session)
    page.get_by_text("active", exact=True).first.wait_for()
    page.get_by_text("Loses the device in").wait_for()
    page.get_by_role("row", name=job).get_by_text("completed").wait_for()
    page.get_by_text("inactive", exact=True).first.wait_for()
    page.get_by_role("img", name="Timeline of the session").wait_for()


def test_ending_a_session_says_what_it_does_to_the_queued_jobs(
    page: Any, server: Embedded, dashboard: str
) -> None:
    bob = server.user("bob", "bio")
    with dialect(server, bob) as http:
        session = opened(http, "slow")
        jobs = [add(http, "slow", session) for _ in range(3)]
    sign_in(page, dashboard, bob.api_key, f"/sessions/{session}")
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_text("2 queued jobs will still run").wait_for()
    page.get_by_role("button", name="No", exact=True).click()
    page.get_by_role("button", name="End now").click()
    page.get_by_text("2 queued jobs will not run").wait_for()
    page.get_by_role("button", name="Yes").click()
    page.get_by_role("row", name=jobs[1]).get_by_text("failed").wait_for()
    Client(server.url, bob.api_key).post(f"/jobs/{jobs[0]}/cancel")


def test_an_operator_looks_at_the_keys_of_a_user_and_revokes_one_and_then_the_user(
    page: Any, server: Embedded, dashboard: str
) -> None:
    eve = server.user("eve", "spies")
    hers = Client(server.url, eve.api_key)
    hers.post("/users/eve/keys", {"name": "laptop"})
    sign_in(page, dashboard, server.operator_key, "/operators")
    page.get_by_label("User").click()
    page.get_by_role("option", name="eve").click()
    page.get_by_role("cell", name="laptop", exact=True).wait_for()
    page.get_by_label("Key", exact=True).click()
    page.get_by_role("option", name="laptop").click()
    page.get_by_role("button", name="Revoke the key").click()
    page.get_by_role("button", name="Yes").click()
    page.get_by_role("cell", name="laptop", exact=True).wait_for(state="hidden")
    assert [key["name"] for key in hers.get("/users/eve/keys")["keys"]] == ["key-1"]
    page.get_by_role("button", name="Revoke the user").click()
    page.get_by_text("Revoke eve?").wait_for()
    page.get_by_role("button", name="Yes").click()
    page.get_by_role("cell", name="revoked", exact=True).wait_for()
    (found,) = [each for each in server.get("/users")["users"] if each["name"] == "eve"]
    assert found["revoked"]

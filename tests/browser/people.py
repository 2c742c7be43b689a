"""What a person does first: sign in, and submit a job."""

from __future__ import annotations

from typing import Any

import httpx

from sojourn.embedded import Embedded, Key
from tests.harness.programs import job_body

LIVE, CUT = "● live", "○ reconnecting"
"""What a page says of itself."""


def sign_in(page: Any, dashboard: str, key: str, where: str = "/") -> None:
    page.goto(dashboard + where)
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Pages").wait_for()


def submit(server: Embedded, key: Key, device: str) -> str:
    reply = httpx.post(
        f"{server.url}/api/v1/jobs",
        content=job_body(device),
        headers={"authorization": f"apikey {key.api_key}"},
        trust_env=False,
        timeout=30,
    )
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])

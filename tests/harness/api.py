"""Users of a live server and plain HTTP in their names; shared by the tests of this folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx

FINAL = ("Completed", "Failed", "Cancelled")
GRANT = "urn:ibm:params:oauth:grant-type:apikey"


@dataclass(frozen=True)
class User:
    """A user of the live server, and a plain HTTP client in that user's name."""

    name: str
    project: str
    crn: str
    key: str
    url: str

    def token(self) -> str:
        form = {"grant_type": GRANT, "apikey": self.key, "response_type": "cloud_iam"}
        return str(httpx.post(f"{self.url}/identity/token", data=form).json()["access_token"])

    def http(self, prefix: str = "/api/v1") -> httpx.Client:
        headers = {
            "authorization": f"Bearer {self.token()}",
            "service-crn": self.crn,
            "ibm-api-version": "2026-04-15",
        }
        return httpx.Client(base_url=f"{self.url}{prefix}", headers=headers, timeout=60)

    def way_a(self) -> dict[str, str]:
        """Environment of the client, as in way A of docs/connect.md."""
        return {
            "QISKIT_IBM_TOKEN": self.key,
            "QISKIT_IBM_URL": f"{self.url}/experimental/api/v1",
            "QISKIT_IBM_INSTANCE": self.crn,
            "IAM_URL": self.url,
            "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",
        }

    def way_d(self) -> dict[str, str]:
        return {
            "QISKIT_IBM_TOKEN": self.key,
            "QISKIT_IBM_URL": f"{self.url}/experimental/api/v1",
            "IAM_URL": self.url,
            "GLOBAL_SEARCH_URL": self.url,
            "GLOBAL_CATALOG_URL": f"{self.url}/catalog",
        }


class Live:
    """The running server."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.data = data
        self.operator_key = (data / "operator.key").read_text().strip()
        self._names = count(1)

    def operator(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.operator_key}"}
        return httpx.Client(base_url=f"{self.url}/sojourn/v1", headers=headers, timeout=60)

    def user(self, name: str | None = None, project: str | None = None) -> User:
        """A new user, in a new project unless one is named."""
        number = next(self._names)
        body = {"name": name or f"user-{number}", "project": project or f"project-{number}"}
        with self.operator() as http:
            made = http.post("/users", json=body)
        assert made.status_code == 201, made.text
        key = made.json()
        return User(key["name"], key["project"], key["instance"], key["api_key"], self.url)


def complaint(reply: httpx.Response, status: int) -> str:
    """The message of an error reply, after a check of its shape."""
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert body["errors"] == [body["error"]]
    assert isinstance(body["error"]["code"], int)
    message = body["error"]["message"]
    assert isinstance(message, str)
    assert message
    return message


def submit(http: httpx.Client, params: str, device: str = "bench", **more: Any) -> str:
    head = json.dumps({"program_id": "sampler", "backend": device, "log_level": "WARNING", **more})
    reply = http.post("/jobs", content=f'{head[:-1]},"params":{params}}}')
    assert reply.status_code == 200, reply.text
    assert reply.json()["backend"] == device
    return str(reply.json()["id"])


def wait(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """Polls as a client does; the server holds the polls, so this does not spin."""
    for _ in range(200):
        job: dict[str, Any] = http.get(f"/jobs/{job_id}", params={"exclude_params": "true"}).json()
        if job["state"]["status"] in FINAL:
            return job
    raise AssertionError(job)

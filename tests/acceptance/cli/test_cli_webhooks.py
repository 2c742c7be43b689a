"""`sojourn webhooks …` against a running server. Nothing is delivered here: nobody makes a reservation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sojourn.embedded import Embedded
from tests.acceptance.cli.test_cli_server import data, sojourn

MOCK = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}
URL = "https://receiver.invalid/hook"


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK]) as running:
        yield running


def listed(server: Embedded, project: str = "chem") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(server, "webhooks", "list", project)["webhooks"]
    return found


def test_a_webhook_is_added_changed_replayed_and_removed(server: Embedded) -> None:
    server.user("ada", "chem")
    done = sojourn(server, "webhooks", "add", "chem", URL, "--kind", "reservation")
    assert done.returncode == 0, done.stderr
    told = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert told["url"] == URL
    assert told["secret"].startswith("whsec_")
    name = told["webhook"]
    (hook,) = listed(server)
    assert (hook["id"], hook["kinds"], hook["enabled"], hook["by"]) == (
        name,
        ["reservation"],
        True,
        "operator",
    )
    assert "secret" not in hook
    shown = sojourn(server, "webhooks", "list", "chem").stdout
    assert URL in shown
    assert told["secret"] not in shown
    changed = sojourn(server, "webhooks", "set", "chem", name, "--to", f"{URL}2", "--new-secret")
    assert "secret  whsec_" in changed.stdout
    sojourn(server, "webhooks", "disable", "chem", name)
    (hook,) = listed(server)
    assert (hook["url"], hook["enabled"], hook["disabled"]) == (f"{URL}2", False, "Disabled by operator")
    refused = sojourn(server, "webhooks", "replay", "chem", name, "--after", "0")
    assert refused.returncode == 1
    assert "disabled" in refused.stderr
    assert sojourn(server, "webhooks", "enable", "chem", name).returncode == 0
    replayed = json.loads(
        sojourn(server, "webhooks", "replay", "chem", name, "--after", "0", "--json").stdout
    )
    assert (replayed["enabled"], replayed["last_event_id"]) == (True, 0)
    assert sojourn(server, "webhooks", "remove", "chem", name).stdout == f"{name} is removed\n"
    assert listed(server) == []


def test_what_cannot_be_a_receiver_is_refused_with_a_sentence(server: Embedded) -> None:
    server.user("bob", "physics")
    own = sojourn(server, "webhooks", "add", "physics", f"{server.url}/sojourn/v1/devices/bench/pause")
    assert own.returncode == 1
    assert "not a public address" in own.stderr
    nobody = sojourn(server, "webhooks", "remove", "physics", "w1")
    assert "no webhook 'w1'" in nobody.stderr
    both = sojourn(server, "webhooks", "set", "physics", "w1", "--kind", "job", "--every-kind")
    assert both.returncode == 2

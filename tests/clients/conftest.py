"""A server for all clients, and the word about those that were left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sojourn.embedded import Embedded, Key
from tests.clients import environments

DEVICES = [
    {"name": "ibm_torino", "driver": "fake", "options": {"backend": "FakeTorino"}},
    {"name": "ibm_manila", "driver": "fake", "options": {"backend": "FakeManilaV2"}},
]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("server"), devices=DEVICES) as running:
        yield running


@pytest.fixture
def key(server: Embedded, request: pytest.FixtureRequest) -> Key:
    """That of a user of this test's own, in a project of its own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-40:].strip("-")
    return server.user(name, name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = [client for client in environments.PINNED if not environments.built(client)]
    if absent:
        terminalreporter.section("clients that were left out")
        terminalreporter.line(f"{', '.join(absent)}; `make clients` builds their environments, once.")

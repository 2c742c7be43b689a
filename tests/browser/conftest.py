"""A browser, and a server with the dashboard. Skipped where one of them cannot be had, with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from sojourn.embedded import Embedded

DEVICES = [
    {"name": "quick", "driver": "mock", "options": {"qubits": 5}},
    {"name": "slow", "driver": "mock", "options": {"qubits": 5, "seconds": 3600.0}},
]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
PATIENCE = 30.0


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    pytest.importorskip("nicegui", reason="needs the extra `dashboard`")
    path = _chromium()
    if path is None:
        pytest.skip("needs chromium, a package of the distribution")
    with playwright.sync_playwright() as running:
        made = running.chromium.launch(executable_path=path, args=list(FLAGS))
        yield made
        made.close()


@pytest.fixture(scope="module")
def server(browser: Any) -> Iterator[Embedded]:
    with Embedded(devices=DEVICES, dashboard=True) as running:
        yield running


@pytest.fixture(scope="module")
def dashboard(server: Embedded) -> str:
    return server.pages().rstrip("/")


@pytest.fixture(scope="module")
def link(server: Embedded) -> str:
    return server.pages(link=True)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()

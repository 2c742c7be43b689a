"""A server with all devices, and the word about those that were left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sojourn.embedded import Embedded
from tests.backends import environments


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """For a test that has asked for the interpreter of its device before."""
    devices = [environments.device(name) for name in environments.NAMES if environments.built(name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)  # the workers would find this environment by it
        with Embedded(tmp_path_factory.mktemp("server"), devices=devices, patience=120) as running:
            yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = [name for name in environments.NAMES if not environments.built(name)]
    if absent:
        terminalreporter.section("backends that were left out")
        terminalreporter.line(f"{', '.join(absent)}; `make backends` builds their environments, once.")

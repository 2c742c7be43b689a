"""The test-kit of drivers in the environments of the vendors: with their versions of Qiskit and Aer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sojourn.cli.drivers.conduct import Report, _examine
from sojourn.worker.protocol.types import DeviceSpec
from tests.backends import environments
from tests.backends.environments import NAMES


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)


def examined(driver: str, options: Mapping[str, Any], python: str | Path) -> Report:
    spec = DeviceSpec("checked", driver, options, python=str(python), lazy=True)
    return asyncio.run(_examine(spec, (), 60.0, lambda _: None))


@pytest.mark.parametrize("name", NAMES)
def test_the_device_passes_the_test_kit(name: str) -> None:
    device = environments.device(name)
    report = examined("backend", device["options"], device["python"])
    assert [each for each in report.findings if each.verdict == "fail"] == []


def test_the_simulators_of_sojourn_pass_it_with_the_earliest_aer() -> None:
    python = environments.interpreter("iqm")
    assert environments.version("iqm", "qiskit-aer").startswith("0.17.")
    report = examined("aer", {"qubits": 3}, python)
    assert [each for each in report.findings if each.verdict == "fail"] == []

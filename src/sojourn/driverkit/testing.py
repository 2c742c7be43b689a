"""The checks as tests of pytest, for a package that has a driver:

    from sojourn.driverkit.testing import DriverTests

    class TestLab(DriverTests):
        driver = "lab"  # the entry point, or the class
        options = {"qubits": 5}

Each check is a test. They run in the process of the tests, so that a debugger can follow them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from sojourn.devices.driver import Driver
from sojourn.driverkit.checks import CHECKS, examine, find
from sojourn.driverkit.subject import Subject


class DriverTests:
    """`driver` is the name of its entry point, or its class; `options` are those of a device."""

    driver: ClassVar[str | type[Driver]]
    options: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture(scope="class")
    def subject(self) -> Subject:
        """The driver, made once for all tests of the class."""
        return Subject(type(self).driver, type(self).options)

    @pytest.mark.parametrize("check", [check.name for check in CHECKS])
    def test_driver(self, check: str, subject: Subject) -> None:
        found = examine(find(check), subject)
        if found.verdict == "skip":
            pytest.skip("; ".join(found.evidence))
        assert found.verdict != "fail", str(found)

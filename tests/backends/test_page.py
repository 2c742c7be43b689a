"""What docs/vendors.md shows is what the tests run."""

from __future__ import annotations

import re

import pytest

from tests.backends.environments import CONFIGURATION, HERE, NAMES, PACKAGES, pinned, version

PAGE = (HERE.parents[1] / "docs" / "vendors.md").read_text(encoding="utf-8")
PACKAGE = {
    "aqt": "qiskit-aqt-provider",
    "braket": "qiskit-braket-provider",
    "ddsim": "mqt-ddsim",
    "iqm": "iqm-client",
}


def test_the_configuration_of_each_device_is_that_of_its_test() -> None:
    shown = re.findall(r"(?ms)^```toml\n(.*?)^```$", PAGE)
    tested = [path.read_text(encoding="utf-8") for path in CONFIGURATION.glob("*.toml")]
    assert sorted(shown) == sorted(tested)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_the_versions_that_are_tested(name: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    for package in (PACKAGE[name], "qiskit"):
        assert f" {version(name, package)} " in row


def test_every_device_has_a_list_of_packages_with_their_versions() -> None:
    assert sorted(path.stem for path in PACKAGES.glob("*.txt")) == NAMES == sorted(PACKAGE)
    for name in NAMES:
        assert [line for line in pinned(name) if not re.fullmatch(r"[\w.-]+==[\w.+]+", line)] == []

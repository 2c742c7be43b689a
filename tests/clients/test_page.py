"""What docs/clients.md shows is what the tests run."""

from __future__ import annotations

import re
import textwrap

import pytest

from tests.clients.environments import CONSTRAINTS, NEWEST, PINNED, PROGRAMS, ROOT

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


def shown(language: str) -> list[str]:
    found = re.findall(rf"(?ms)^ *```{language}\n(.*?)^ *```$", PAGE)
    return [textwrap.dedent(text).strip() for text in found]


def connecting(program: str) -> str:
    """The lines of a program that connect it."""
    text = (PROGRAMS / program).read_text(encoding="utf-8")
    return text.split("# connect\n")[1].split("# connected\n")[0].strip()


def test_the_lines_that_connect_each_client_are_those_of_its_program() -> None:
    assert shown("python") == [connecting(name) for name in ("v2.py", "of_2023.py", "through_qrmi.py")]


def test_every_client_with_an_environment_is_on_the_page() -> None:
    table = PAGE.split("\n## ")[0]
    for client in (NEWEST, *PINNED):
        assert ("QRMI" if client == "qrmi" else client) in table


def test_the_newest_client_is_the_one_that_the_server_was_tested_with() -> None:
    assert f"qiskit-ibm-runtime=={NEWEST}." in (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("client", PINNED)
def test_every_package_of_an_environment_has_its_version(client: str) -> None:
    lines = (CONSTRAINTS / f"{client}.txt").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in packages if not re.fullmatch(r"[\w.-]+==[\w.+]+", line)] == []
    name = "qrmi" if client == "qrmi" else "qiskit-ibm-runtime"
    version = "" if client == "qrmi" else client
    assert any(line.startswith(f"{name}=={version}") for line in packages)

"""Nothing may be configurable or callable without documentation, and nothing documented that is not there."""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from sojourn.api.v1.jobs import JobState
from sojourn.api.v1.sessions import SessionState
from sojourn.cli.main import app
from sojourn.config import ConfigError, load, reference

DOCS = Path(__file__).parents[3] / "docs"
REQUIRED: dict[str, dict[str, object]] = {
    "accounts": {"name": "a"},
    "projects": {"name": "a"},
    "devices": {"name": "a", "driver": "mock"},
}
"""What a table of each list must state."""


class Parameter(Protocol):
    @property
    def opts(self) -> Sequence[str]: ...

    @property
    def secondary_opts(self) -> Sequence[str]: ...


class Command(Protocol):
    """What is needed of the class, which Typer has from one package or another."""

    @property
    def params(self) -> Sequence[Parameter]: ...


def commands() -> Iterator[tuple[str, list[str]]]:
    """(command line, its flags) of every command."""
    import typer

    def walk(command: Command, path: str) -> Iterator[tuple[str, list[str]]]:
        flags = [
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("--")
            and option not in ("--help", "--install-completion", "--show-completion")
        ]
        yield path, flags
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{path} {name}")

    yield from walk(typer.main.get_command(app), "sojourn")


def section_of_the_page(section: str) -> str:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    parts = re.split(r"^##+ ", page, flags=re.MULTILINE)
    (found,) = [part for part in parts if part.startswith((f"`[{section}]`", f"`[[{section}]]`"))]
    return found


def row_of_the_page(section: str, name: str) -> str:
    rows = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1, f"{name} needs one row in its table in docs/configuration.md"
    return rows[0]


@pytest.mark.parametrize(("key", "default", "text"), reference(), ids=lambda value: str(value)[:40])
def test_every_setting_is_documented_with_its_default(key: str, default: str, text: str) -> None:
    section, name = key.rsplit(".", 1)
    row = row_of_the_page(section_of_the_page(section), name)
    assert text, f"{key} needs a description"
    if default not in ("", "None", "{}"):
        shown = row.split("|")[2].strip().strip('`"').removeprefix("./")
        number = shown.replace(" ", "")
        assert shown in (default, default.lower()) or float(number) == float(default), (
            f"{key}: the page says {shown}, it is {default}"
        )


@pytest.mark.parametrize("key", [key for key, _, _ in reference()])
def test_zero_is_refused_with_what_is_allowed_or_its_meaning_is_documented(key: str) -> None:
    section, name = key.rsplit(".", 1)

    def load_with(value: object) -> None:
        table = REQUIRED.get(section, {}) | {name: value}
        outer, _, inner = section.partition(".")
        load(overrides={outer: [table] if outer in REQUIRED else {inner.lower(): table} if inner else table})

    def refusal(value: object) -> str | None:
        try:
            load_with(value)
        except ConfigError as error:
            return str(error)
        return None

    refused = refusal(0)
    if refused is not None:
        assert re.search(rf"\.{name} = 0: must be ", refused), refused
        return
    if refusal(True) is None:
        return  # a switch, for which 0 is false
    table = section_of_the_page(section)
    introduction, row = table.partition("\n|")[0], row_of_the_page(table, name)
    assert re.search(r"(?<![\d,.])0(?![\d,.-])", introduction + row), (
        f"the page does not say what {key} = 0 is"
    )


def test_no_setting_is_documented_that_does_not_exist() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    keys = {key for key, _, _ in reference()}
    for part in re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]:
        heading = re.match(r"`\[+([\w.]+)\]+`", part)
        if heading:
            for name in re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE):
                assert f"{heading[1]}.{name}" in keys


def test_the_examples_on_the_page_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        tomllib.loads(block)
        path = tmp_path / "sojourn.toml"
        path.write_text(block, encoding="utf-8")
        load(path)


@pytest.mark.parametrize(("command", "flags"), list(commands()), ids=[name for name, _ in commands()])
def test_every_command_and_flag_is_documented(command: str, flags: list[str]) -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    parts = re.split(r"^##+ ", page, flags=re.MULTILINE)
    own = [p for p in parts if p.startswith(f"`{command}`") or p.startswith(f"`{command} ")]
    assert own, f"docs/cli.md has no heading for `{command}`"
    shared = next(p for p in parts if p.startswith("Flags that most commands share"))
    for flag in flags:
        documented = f"`{flag}" in own[0] or f"{flag}" in own[0].splitlines()[0] or f"`{flag}" in shared
        assert documented, f"{flag} of `{command}` is not in docs/cli.md"


def test_every_state_of_a_job_and_a_session_is_documented() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for states in (JobState, SessionState):
        assert f'"state": "{"|".join(typing.get_args(states))}"' in page


def test_every_decision_is_listed_and_every_page_is_in_the_menu() -> None:
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    menu = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (DOCS / "decisions").glob("[0-9]*.md"):
        assert page.name in index, f"docs/decisions/index.md does not list {page.name}"
    for page in DOCS.rglob("*.md"):
        if page.name != "template.md":
            assert str(page.relative_to(DOCS)) in menu, f"mkdocs.yml does not list {page.relative_to(DOCS)}"

"""Nouns come first, a noun alone lists, and what was written in an old spelling goes on working."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import typer

from sojourn.cli.grammar import RENAMED, renamed, watched
from sojourn.cli.main import app, main

NOBODY = ("--url", "http://127.0.0.1:1", "--token", "k")
Captured = pytest.CaptureFixture[str]


def run(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.mark.parametrize(("old", "new"), RENAMED.items(), ids=" ".join)
def test_an_old_spelling_is_the_new_one_and_names_it_on_stderr(
    old: Sequence[str], new: Sequence[str], capsys: Captured
) -> None:
    assert run(*old, "--help") == 0
    before = capsys.readouterr()
    assert run(*new, "--help") == 0
    assert before.out == capsys.readouterr().out
    assert before.err == f"sojourn: `sojourn {' '.join(old)}` is now `sojourn {' '.join(new)}`\n"


@pytest.mark.parametrize(("old", "new"), RENAMED.items(), ids=" ".join)
def test_an_old_spelling_ends_as_the_new_one_does(
    old: Sequence[str], new: Sequence[str], capsys: Captured
) -> None:
    for arguments in (("x", *NOBODY), ("x", "y", "z"), ("--nonsense",)):
        code = run(*old, *arguments)
        before = capsys.readouterr()
        assert run(*new, *arguments) == code
        after = capsys.readouterr()
        assert before.out == after.out
        assert before.err.split("\n", 1)[1] == after.err
        assert code in (1, 2)


def test_the_old_command_for_accounts_lists_and_sets(capsys: Captured) -> None:
    for weight in (["--weight", "3"], ["--weight=3"]):
        assert renamed(["projects", "account", "uni", *weight]) == (
            ("projects", "account"),
            ("accounts", "set"),
        )
    assert renamed(["projects", "account", "uni"]) == (("projects", "account"), ("accounts", "list"))
    assert run("projects", "account", "uni", "--weight", "3", *NOBODY) == 1
    assert "`sojourn accounts set`" in capsys.readouterr().err


def test_a_new_spelling_is_not_taken_for_an_old_one() -> None:
    for words in (["devices", "pause"], ["users", "list", "key"], ["projects", "show", "account"], []):
        assert renamed(words) is None


def test_old_spellings_are_not_listed(capsys: Captured) -> None:
    assert run("--help") == 0
    listed = set(re.findall(r"^│ (\w+)", capsys.readouterr().out, flags=re.MULTILINE))
    assert "devices" in listed
    assert not listed & {old[0] for old in RENAMED if len(old) == 1}


@pytest.mark.parametrize(
    "noun", ["devices", "jobs", "sessions", "reservations", "leases", "users", "keys", "projects", "accounts"]
)
def test_a_noun_alone_or_with_a_flag_lists(noun: str, capsys: Captured) -> None:
    for flags in ((), NOBODY, ("--json", *NOBODY)):
        expected = run(noun, "list", *flags), capsys.readouterr()
        assert (run(noun, *flags), capsys.readouterr()) == expected
    assert run(noun, "-h") == 0
    assert f"sojourn {noun} [OPTIONS] COMMAND" in capsys.readouterr().out


def test_flags_of_a_list_are_not_given_to_another_command(capsys: Captured) -> None:
    """They were read and forgotten: `sojourn jobs --url A cancel ID` asked another server."""
    assert run("jobs", *NOBODY, "cancel", "x") == 2
    assert "cancel" in capsys.readouterr().err


def test_a_group_without_a_list_shows_its_help(capsys: Captured) -> None:
    for noun in ("journal", "database"):
        assert run(noun) == 2
        shown = capsys.readouterr()
        assert f"sojourn {noun} [OPTIONS] COMMAND" in shown.out + shown.err


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([], []),
        (["--watch"], ["--watch=2"]),
        (["--watch", "5"], ["--watch", "5"]),
        (["--watch", ".5", "x"], ["--watch", ".5", "x"]),
        (["--watch", "--json"], ["--watch=2", "--json"]),
        (["--watch", "ibm_fez"], ["--watch=2", "ibm_fez"]),
        (["--watch=7"], ["--watch=7"]),
    ],
)
def test_the_value_of_watch_may_be_left_out(given: list[str], read: list[str]) -> None:
    assert watched(given) == read


def test_watch_refuses_what_is_not_a_time(capsys: Captured) -> None:
    for value in ("0", "-1", "soon", "nan"):
        assert run("devices", f"--watch={value}", *NOBODY) == 2, value
        assert "--watch" in capsys.readouterr().err


def test_a_watched_list_ends_with_1_when_no_server_answers(capsys: Captured) -> None:
    for flags in ((), ("--json",)):
        assert run("jobs", "--watch", *flags, *NOBODY) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "no server answers" in shown.err


def test_every_list_has_json_and_those_that_change_have_watch() -> None:
    def flags(*words: str) -> set[str]:
        command = typer.main.get_command(app)
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]
        return {flag for parameter in command.params for flag in parameter.opts}

    changing = [
        ("devices", "list"),
        ("jobs", "list"),
        ("sessions", "list"),
        ("reservations", "list"),
        ("leases", "list"),
        ("usage",),
    ]
    for words in changing:
        assert {"--json", "--watch"} <= flags(*words), words
    for noun in ("users", "keys", "projects", "accounts"):
        assert "--json" in flags(noun, "list")
    for words in (("audit",), ("policy",), ("devices", "calibrations"), ("jobs", "history"), ("jobs", "why")):
        assert "--json" in flags(*words)

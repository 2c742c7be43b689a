"""A backend is made by configuration alone: calls, arguments, methods, and secrets that stand elsewhere."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sojourn.devices.backend.construct import NotMade, made


def test_a_callable_is_called_with_its_arguments() -> None:
    assert made("datetime:timedelta", [1], {"hours": 2}) == timedelta(days=1, hours=2)
    assert made("builtins:dict.fromkeys", [["a"], 1]) == {"a": 1}


def test_methods_are_called_one_after_the_other() -> None:
    methods = [{"name": "replace", "arguments": ["a", "b"]}, {"name": "upper"}]
    assert made("builtins:str", ["aa"], methods=methods) == "BB"


def test_a_member_that_is_no_method_is_taken_as_it_stands() -> None:
    methods: list[dict[str, Any]] = [{"name": "imag"}, {"name": "is_integer"}]
    assert made("builtins:complex", [1, 2], methods=methods) is True


def test_an_argument_may_be_a_call_itself() -> None:
    inner = {"call": "datetime:timedelta", "keywords": {"hours": 1}, "methods": [{"name": "total_seconds"}]}
    assert made("builtins:round", [inner]) == 3600


def test_a_secret_stands_in_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_TOKEN", "tok")
    (tmp_path / "token").write_text("secret\nand a note\n")
    assert made("builtins:str", [{"env": "VENDOR_TOKEN"}]) == "tok"
    assert made("builtins:str", [{"file": str(tmp_path / "token")}]) == "secret"


def test_any_other_table_is_a_table() -> None:
    assert made("builtins:dict", [{"env": "x", "more": 1}]) == {"env": "x", "more": 1}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nothing",), "must be of the form module:callable"),
        ((":x",), "must be of the form"),
        (("no_such_module:x",), "no_such_module cannot be imported: ModuleNotFoundError"),
        (("math:no.such",), "math has no 'no.such'"),
        (("math:pi",), "math:pi is a float, which cannot be called"),
        (("math:sqrt", [-1]), "math:sqrt failed: ValueError"),
        (("builtins:str", ["a"], {}, [{"name": "shout"}]), "a str has no member 'shout'"),
        (
            ("builtins:complex", [1], {}, [{"name": "imag", "arguments": [1]}]),
            "imag is a float, which takes no",
        ),
        (("builtins:str", ["a"], {}, ["upper"]), "must be a table with the name of a method"),
        (("builtins:str", ["a"], {}, [{"name": "upper", "times": 2}]), "it may have name, arguments"),
        (("builtins:str", [{"env": "NOT_SET_ANYWHERE"}]), "no environment variable 'NOT_SET_ANYWHERE'"),
        (("builtins:str", [{"file": "/no/such/file"}]), "the file cannot be read"),
        (("builtins:str", [{"call": "math:pi"}]), "which cannot be called"),
        (("builtins:str", [{"call": "builtins:str", "args": []}]), "it may have call, arguments"),
        (("builtins:str", [{"call": "builtins:str", "arguments": "a"}]), "it must be a list"),
        (("builtins:str", [{"call": "builtins:str", "keywords": ["a"]}]), "it must be a table"),
    ],
)
def test_what_cannot_be_made_says_which_part_of_it_and_why(arguments: tuple[Any, ...], why: str) -> None:
    with pytest.raises(NotMade, match=why):
        made(*arguments)


def test_calls_are_not_nested_without_end() -> None:
    inner: dict[str, Any] = {"call": "builtins:dict"}
    for _ in range(20):
        inner = {"call": "builtins:dict", "arguments": [inner]}
    with pytest.raises(NotMade, match="nested more than"):
        made("builtins:dict", [inner])

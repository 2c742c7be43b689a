"""Formats configuration errors: the key, the value, what is allowed, and where the value came from."""

from __future__ import annotations

import difflib
import os
import types
from collections.abc import Iterable
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from sojourn.config.values import PATTERNS

PREFIX = "SOJOURN_"


class ConfigError(Exception):
    """The configuration cannot be used. One line per error: the key, the value, what is allowed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown `word`: the nearest known one, and all that are allowed."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} Allowed: {', '.join(names)}"


def keys_at(root: type[BaseModel], location: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that are allowed in the table at `location` in `root`; () where any are."""
    model = root
    named = location[:1] == ("profiles",)
    for index, part in enumerate(location):
        if isinstance(part, int) or (named and index == 1):
            continue
        if part not in model.model_fields:
            return ()
        inner = _model_in(model.model_fields[part].annotation)
        if inner is None:
            return ()
        model = inner
    return tuple(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) is None:
        return None
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def sentence(error: Any, root: type[BaseModel]) -> str:
    """One error that pydantic found in a `root`, as `key = value: what is allowed`."""
    location: tuple[str | int, ...] = tuple(part for part in error["loc"] if part != "[key]")
    key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key{did_you_mean(str(location[-1]), keys_at(root, location[:-1]))}"
    if error["type"] == "missing":
        return f"{key}: must be set"
    if not location:
        return str(error["msg"]).removeprefix("Value error, ")
    source = _variable_of(location)
    return f"{key} = {error['input']!r}: {_allowed(error)}" + (f" (from {source})" if source else "")


def _allowed(error: Any) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "literal_error" | "enum":
            return f"must be {context['expected']}"
        case "string_pattern_mismatch":
            return f"must be {PATTERNS[context['pattern']]}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:.15g}"
        case "greater_than":
            return f"must be more than {context['gt']:.15g}"
        case "less_than_equal":
            return f"must be at most {context['le']:.15g}"
        case "float_parsing" | "float_type" | "finite_number":
            return "must be a number"
        case "model_type" | "dict_type":
            return "must be a table"
        case "list_type":  # the lists at the top; other lists have a sentence of their own
            return "must be a list of tables"
        case "string_type" | "path_type":
            return "must be a string"
        case "string_too_short":
            return "must not be empty"
        case "bool_type" | "bool_parsing":
            return "must be true or false"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def _variable_of(location: tuple[str | int, ...]) -> str | None:
    name = PREFIX + "__".join(str(part) for part in location if not isinstance(part, int)).upper()
    present = {variable.upper(): variable for variable in os.environ}
    return present.get(name)

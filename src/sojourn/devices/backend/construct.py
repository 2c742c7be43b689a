"""Makes an object of what a configuration says: a callable, its arguments, and members of what it gives.

A value is taken as it stands, unless it is a table with one of these keys:

==========  ===================================================================================
`call`      ``module:callable``, with `arguments`, `keywords` and `methods`: what the call gives
`env`       the value of that environment variable
`file`      the first line of that file
==========  ===================================================================================

So that a secret need not stand in the configuration. Imports nothing of Qiskit.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KEYS = ("call", "arguments", "keywords", "methods")
_DEEPEST = 8


class NotMade(Exception):
    """The object cannot be made; the message says what of the configuration is at fault and why."""


def made(
    factory: str,
    arguments: Sequence[Any] = (),
    keywords: Mapping[str, Any] | None = None,
    methods: Sequence[Any] = (),
    where: str = "factory",
    depth: int = 0,
) -> Any:
    """What `factory` (``module:callable``, with dots after the colon for a member) gives, and then each of
    the `methods`, tables with `name`, `arguments` and `keywords`, one after the other. A member that is no
    method is taken as it stands. Raises `NotMade`."""
    if depth > _DEEPEST:
        raise NotMade(f"{where}: calls are nested more than {_DEEPEST} deep")
    found = _called(_named(factory, where), factory, *_values(arguments, keywords or {}, where, depth))
    for number, method in enumerate(methods):
        at = f"{where}.methods[{number}]"
        if not isinstance(method, Mapping) or not isinstance(method.get("name"), str):
            raise NotMade(f"{at} is {method!r}; it must be a table with the name of a method")
        unknown = sorted(set(method) - {"name", "arguments", "keywords"})
        if unknown:
            raise NotMade(f"{at} has {', '.join(unknown)}; it may have name, arguments and keywords")
        member = _member(found, method["name"], at)
        given = _values(_list(method, "arguments", at), _table(method, "keywords", at), at, depth)
        if callable(member):
            found = _called(member, f"{factory} … {method['name']}", *given)
        elif any(given):
            raise NotMade(f"{at}: {method['name']} is a {type(member).__name__}, which takes no arguments")
        else:
            found = member
    return found


def _member(found: Any, name: str, where: str) -> Any:
    """Its method or property of that name."""
    try:
        return getattr(found, name)
    except AttributeError:
        raise NotMade(f"{where}: a {type(found).__name__} has no member {name!r}") from None
    except Exception as error:
        raise NotMade(f"{where}: {name} failed: {_words(error)}") from error


def _named(factory: str, where: str) -> Any:
    module, _, path = factory.partition(":")
    if not module or not path:
        raise NotMade(f"{where} is {factory!r}; it must be of the form module:callable")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        raise NotMade(f"{where}: {module} cannot be imported: {_words(error)}") from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise NotMade(f"{where}: {module} has no {path!r}") from None
    if not callable(found):
        raise NotMade(f"{where}: {factory} is a {type(found).__name__}, which cannot be called")
    return found


def _called(call: Any, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    try:
        return call(*arguments, **keywords)
    except Exception as error:
        raise NotMade(f"{name} failed: {_words(error)}") from error


def _values(
    arguments: Sequence[Any], keywords: Mapping[str, Any], where: str, depth: int
) -> tuple[list[Any], dict[str, Any]]:
    return (
        [_value(each, f"{where}.arguments[{n}]", depth) for n, each in enumerate(arguments)],
        {name: _value(each, f"{where}.keywords.{name}", depth) for name, each in keywords.items()},
    )


def _value(given: Any, where: str, depth: int) -> Any:
    if not isinstance(given, Mapping):
        return given
    if "call" in given:
        unknown = sorted(set(given) - set(KEYS))
        if unknown or not isinstance(given["call"], str):
            raise NotMade(f"{where} is {given!r}; it may have {', '.join(KEYS)}, and call is module:callable")
        lists = [_list(given, key, where) for key in ("arguments", "methods")]
        return made(given["call"], lists[0], _table(given, "keywords", where), lists[1], where, depth + 1)
    if set(given) == {"env"}:
        try:
            return os.environ[str(given["env"])]
        except KeyError:
            raise NotMade(f"{where}: there is no environment variable {given['env']!r}") from None
    if set(given) == {"file"}:
        try:
            return Path(str(given["file"])).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotMade(f"{where}: the file cannot be read: {_words(error)}") from None
    return given


def _list(given: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
    found = given.get(key, ())
    if not isinstance(found, list | tuple):
        raise NotMade(f"{where}.{key} is {found!r}; it must be a list")
    return found


def _table(given: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = given.get(key, {})
    if not isinstance(found, Mapping):
        raise NotMade(f"{where}.{key} is {found!r}; it must be a table")
    return found


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"

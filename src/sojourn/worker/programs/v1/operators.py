"""Reads the observables of V1 jobs: operators that the client writes down with the settings of their classes.

Only the settings of Pauli operators are read, as plain data; no class is looked up and nothing is
constructed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from sojourn.worker.codec import decode
from sojourn.worker.codec.decode import LARGEST, PAULIS, Budget
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

MAX_TERMS = 100_000
_ROUNDING = 1e-12  # what an imaginary part may be, beside its real part
_KINDS = ("SparsePauliOp", "PauliList", "Pauli")


def read(text: msgspec.Raw, where: str, budget: Budget) -> Mapping[str, float]:
    """Coefficients by Pauli label, all of one length; terms of the same label are added up. Raises
    `JobRefused`."""
    labels, coefficients = _parts(decode.read_any(text, where), where, budget)
    if not labels:
        raise JobRefused(f"{where}: an observable without terms")
    if len(labels) > MAX_TERMS:
        raise JobRefused(f"{where}: the observable has {len(labels)} terms; the limit is {MAX_TERMS}")
    if len(coefficients) != len(labels):
        raise JobRefused(f"{where}: {len(labels)} Pauli labels and {len(coefficients)} coefficients")
    made: dict[str, float] = {}
    for label, coefficient in zip(labels, coefficients.tolist(), strict=True):
        if not isinstance(label, str) or not label or not PAULIS.issuperset(label):
            raise JobRefused(f"{where}: {quoted(label)} is not a Pauli label; the letters are I, X, Y and Z")
        value = complex(coefficient)
        if not abs(value) <= LARGEST or abs(value.imag) > _ROUNDING * max(abs(value.real), 1.0):
            raise JobRefused(
                f"{where}: the coefficient of {label[:40]!r} is {value}; coefficients must be finite and real"
            )
        made[label] = made.get(label, 0.0) + value.real
    if len({len(label) for label in made}) != 1:
        raise JobRefused(f"{where}: Pauli labels of different lengths")
    if not sum(map(abs, made.values())) <= LARGEST:
        raise JobRefused(f"{where}: the coefficients add up to more than {LARGEST:.3g}")
    return made


def _parts(value: Any, where: str, budget: Budget) -> tuple[list[Any], Any]:
    """Labels and an array of coefficients."""
    if isinstance(value, str):
        return [value], np.ones(1)
    if not isinstance(value, dict) or value.get("__type__") != "settings":
        raise JobRefused(f"{where} must be an operator as the client writes it, not {quoted(value)}")
    kind, settings = value.get("__class__"), value.get("__value__")
    if kind not in _KINDS or not isinstance(settings, dict):
        raise JobRefused(
            f"{where} is of the class {quoted(kind)}; observables are of {', '.join(_KINDS[:-1])} or "
            f"{_KINDS[-1]} "
            "(a SparsePauliOp can be made of any operator)"
        )
    data = settings.get("data")
    if kind == "Pauli":
        return [data], np.ones(1)
    if kind == "PauliList":
        if not isinstance(data, list):
            raise JobRefused(f"{where}: a PauliList is a list of labels, not {quoted(data)}")
        return data, np.ones(len(data))
    labels, _ = _parts(data, f"{where}.data", budget)
    return labels, _coefficients(settings.get("coeffs"), f"{where}.coeffs", budget)


def _coefficients(value: Any, where: str, budget: Budget) -> Any:
    if isinstance(value, dict) and value.get("__type__") == "ndarray":
        value = value.get("__value__")
    if isinstance(value, str):
        found = decode.read_npy(decode.inflate(value, where, budget), where)
    elif isinstance(value, list):
        found = np.array([_number(part, where) for part in value])
    else:
        raise JobRefused(f"{where} must be an array of numbers, not {quoted(value)}")
    if found.ndim != 1:
        raise JobRefused(f"{where} has the shape {list(found.shape)}; it must be a list of numbers")
    return found


def _number(value: Any, where: str) -> complex:
    if isinstance(value, dict) and value.get("__type__") == "complex":
        parts = value.get("__value__")
        if isinstance(parts, list) and len(parts) == 2 and all(type(part) in (int, float) for part in parts):
            return complex(*parts)
    elif type(value) in (int, float):
        return complex(value)
    raise JobRefused(f"{where} has {quoted(value)}, which is not a number")

"""What a driver of others says of its device is plain JSON, or is refused with the place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sojourn.devices.aer.ideal import AerDriver
from sojourn.devices.driver import DriverError
from sojourn.worker.descriptions import check, check_foreign
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.types import Description


def described(properties: Any = None, **configuration: Any) -> Description:
    return Description(2, configuration, properties, "1.0")


def test_plain_values_and_those_of_numpy_pass() -> None:
    check(described({"qubits": [[{"value": np.float64(0.5)}]]}, gates=[{"p": None}], n=np.arange(3)))


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (described(gates=[{"p": 0.1}, {"p": math.inf}]), r"configuration\.gates\[1\]\.p is inf"),
        (described({"qubits": [[np.float64("nan")]]}), r"properties\.qubits\[0\]\[0\] is nan"),
        (described(map={0: 1}), r"configuration\.map has the key 0, which is not text"),
        (described(blob=b"abc"), r"configuration\.blob is of 3 bytes, which are not text"),
        (described(tags={1j}), "the description cannot be sent"),
        (described(gates=[math.nan] * 5), r"\[\d\] is nan.*, and 2 more$"),
    ],
)
def test_what_json_has_no_form_for_is_refused_with_its_place(description: Description, words: str) -> None:
    with pytest.raises(DriverError, match=words):
        check(description)


def test_nesting_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(DriverError, match="the description"):
        check(described(gates=deep))


def test_its_size_is_bounded_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_DESCRIPTION", 1000)
    with pytest.raises(DriverError, match="bytes; the limit is 1000"):
        check(described(text="x" * 1000))
    with pytest.raises(messages.ProtocolError, match="a description of 1001 bytes; the limit is 1000"):
        messages.decode_description(b"x" * 1001)


def test_the_simulators_of_our_own_are_not_looked_at_each_time() -> None:
    check_foreign(AerDriver("d", {}), described(gates=[math.nan]))

    class Others(AerDriver):
        """Of another module."""

    with pytest.raises(DriverError, match="is nan"):
        check_foreign(Others("d", {}), described(gates=[math.nan]))

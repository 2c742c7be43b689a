"""Results are drawn as the client's own encoder writes them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit_ibm_runtime import RuntimeEncoder

from sojourn.dashboard.charts.extrapolation import MOST_VALUES
from sojourn.dashboard.charts.results import charts

FACTORS, POINTS = [1, 3, 5], [0, 1, 3, 5]


def extrapolated(values: int | None, **more: Any) -> list[tuple[str, dict[str, Any]]]:
    """A result of an estimator with two extrapolators, of which the second one gave the values."""
    shape = () if values is None else (values,)
    true = 1.0 + np.arange(max(1, values or 1)).reshape(shape)
    curves = np.stack(
        [np.multiply.outer(true, [0.7, 0.7, 0.5, 0.3]), np.multiply.outer(true, [1, 0.9, 0.7, 0.5])], -2
    )
    fields = {
        "evs": true,
        "stds": 0.1 * true,
        "evs_noise_factors": np.multiply.outer(true, [0.91, 0.69, 0.51]),
        "evs_extrapolated": curves,
    }
    zne = {"noise_factors": FACTORS, "extrapolated_noise_factors": POINTS}
    data = DataBin(shape=shape, **(fields | more))
    result = PrimitiveResult([PubResult(data)], {"resilience": {"zne": zne}})
    return list(charts(json.loads(json.dumps(result, cls=RuntimeEncoder))))


def test_an_extrapolation_is_drawn_from_what_was_measured_to_the_value_without_noise() -> None:
    (_, bars), (title, drawn) = extrapolated(None)
    assert [each["type"] for each in bars["series"]] == ["bar", "custom"]
    assert title == "Pub 0, extrapolation to no noise"
    measured, curve = drawn["series"]
    assert measured["data"] == [[1, 0.91], [3, 0.69], [5, 0.51]]
    assert curve["data"] == [[0, 1.0], [1, 0.9], [3, 0.7], [5, 0.5]]
    assert not drawn["legend"]["show"]


def test_the_first_of_many_values_are_drawn_and_named() -> None:
    _, (_, drawn) = extrapolated(30)
    assert len(drawn["series"]) == 2 * MOST_VALUES
    assert {each["name"] for each in drawn["series"]} == {f"value {n}" for n in range(MOST_VALUES)}
    assert drawn["series"][2]["data"] == [pytest.approx(each) for each in ([1, 1.82], [3, 1.38], [5, 1.02])]
    assert drawn["legend"]["show"]


@pytest.mark.parametrize("missing", ["evs_noise_factors", "evs_extrapolated"])
def test_shapes_that_do_not_fit_draw_the_values_alone(missing: str) -> None:
    assert [title for title, _ in extrapolated(2, **{missing: np.zeros(2)})] == ["Pub 0, expectation values"]

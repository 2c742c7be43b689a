"""The body of a submit: what is refused before the device is asked."""

from __future__ import annotations

import pytest

from sojourn.api.ibm.submit import parse
from sojourn.service.errors import BadRequest
from sojourn.worker.protocol.types import no_such_program


def test_a_log_level_is_a_word() -> None:
    with pytest.raises(BadRequest, match="limit is 20"):
        parse(b'{"program_id": "sampler", "log_level": "' + b"x" * 50_000 + b'"}')


@pytest.mark.parametrize("program", ["nope", "noise-learner-v3", "calibrate", "", "Sampler"])
def test_a_program_that_this_service_does_not_run_has_one_code_and_one_message(program: str) -> None:
    """The kind: any program but those that run here, whoever else runs it. A worker that is asked for one
    answers the same."""
    with pytest.raises(BadRequest) as caught:
        parse(b'{"program_id": "%s"}' % program.encode())
    assert caught.value.code == 1202
    assert f"There is no program {program!r} on this service" in caught.value.message
    assert "it runs sampler, estimator, executor" in caught.value.message
    asked = no_such_program(program)
    assert (asked.message, asked.code) == (caught.value.message, caught.value.code)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_named_where_the_body_is_no_json(number: str) -> None:
    """Python's encoder writes these; the client sends a precision of NaN so."""
    body = b'{"program_id": "estimator", "params": {"precision": %s}}' % number.encode()
    with pytest.raises(BadRequest, match=r"NaN and Infinity are not JSON: precision, .* must be finite"):
        parse(body)
    with pytest.raises(BadRequest) as caught:
        parse(b'{"program_id": ')
    assert "NaN" not in caught.value.message

"""The body of a submit: what is refused before the device is asked."""

from __future__ import annotations

import pytest

from sojourn.service.errors import BadRequest
from sojourn.service.submit import parse


def test_a_log_level_is_a_word() -> None:
    with pytest.raises(BadRequest, match="limit is 20"):
        parse(b'{"program_id": "sampler", "log_level": "' + b"x" * 100_000 + b'"}')


def test_an_unknown_program_is_refused_with_the_programs_that_the_devices_run() -> None:
    with pytest.raises(BadRequest) as caught:
        parse(b'{"program_id": "nope"}')
    assert caught.value.message == "There is no program 'nope'. The devices run sampler and estimator."


@pytest.mark.parametrize("program", ["executor", "noise-learner", "calibrate"])
def test_a_known_program_that_no_device_runs_is_left_to_the_device_to_refuse(program: str) -> None:
    assert parse(b'{"program_id": "%s"}' % program.encode()).program_id == program

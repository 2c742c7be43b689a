"""A configuration with former names works, and each start of the server logs them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from sojourn.core import PROFILES
from tests.harness.service import QUICK, ServiceHarness


@pytest.mark.parametrize(("profile", "per_start"), [("seed", 1), ("ibm2023", 0)])
def test_a_former_name_of_a_profile_is_logged_once_per_start(
    run_service: Callable[..., None], profile: str, per_start: int
) -> None:
    async def body(h: ServiceHarness) -> None:
        lanes = [desk.lane for desk in h.service.parts.lanes.dispatchers.values()]
        assert [lane.profile for lane in lanes] == [PROFILES["ibm2023"]] * len(lanes)

    with capture_logs() as lines:
        run_service(body, body, devices=(QUICK,), profile=profile)
    logged = [line for line in lines if line["event"] == "configuration.deprecated"]
    assert len(logged) == 2 * per_start
    for line in logged:
        assert line["log_level"] == "warning"
        assert line["what"].startswith(
            "policy.profile = 'seed': the profile 'seed' is now called 'ibm2023'; change"
        )

"""Two sizes of every proof: seconds in `make test`, and HYPOTHESIS_PROFILE=nightly for `make proofs`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Verbosity, settings

settings.register_profile(
    "quick", max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "nightly",
    max_examples=1500,
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.normal,
)
settings.load_profile("nightly" if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else "quick")

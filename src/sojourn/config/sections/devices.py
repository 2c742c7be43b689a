"""Owns `[[devices]]`, and which there are when none is named."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from sojourn.config.values import DeviceName, Factor, Memory, Schedule, Seconds, Section


class DeviceSettings(Section):
    """`[[devices]]`: one device. A time that is not set is the policy's."""

    name: DeviceName = Field(description="What programs call it: `a-z`, `0-9`, `_` and `-`.")
    driver: str = Field(
        min_length=1,
        description="`fake`, `aer`, `mock`, or another entry point of the group `sojourn.drivers`.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Given to the driver as they are, see the driver's own documentation.",
    )
    python: str | None = Field(
        default=None, description="Interpreter of its workers, when the driver lives in another environment."
    )
    memory_mb: Memory | None = Field(
        default=None,
        description="What one run on it may take, in MB of 2^20 bytes; 0 is no bound. A job that is known to "
        "need more is refused, one that turns out to need more fails with error 9703.",
    )
    profile: str | None = Field(
        default=None,
        description="The table of rules of this device; then the times of `[policy]` do not count for it.",
    )
    interactive_ttl: Seconds | None = Field(
        default=None, ge=0, description="As in `[policy]`, for this device."
    )
    batch_ttl: Seconds | None = Field(default=None, ge=0, description="As in `[policy]`, for this device.")
    max_time: Seconds | None = Field(default=None, gt=0, description="As in `[policy]`, for this device.")
    unused_expiry: Seconds | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )
    estimate_factor: Factor | None = Field(default=None, description="As in `[policy]`, for this device.")
    estimate_floor: Seconds | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )
    reservation_minimum: Seconds | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )
    reservation_allowance: Seconds | None = Field(
        default=None, gt=0, description="As in `[policy]`, for this device."
    )
    calibrate: Schedule | None = Field(
        default=None,
        description="When it is calibrated: a cron expression in UTC, such as `0 4 * * *` (R9, R11).",
    )


DEFAULT_DEVICES = (
    DeviceSettings(name="ibm_torino", driver="fake", options={"backend": "FakeTorino"}),
    DeviceSettings(name="ibm_fez", driver="fake", options={"backend": "FakeFez"}),
    DeviceSettings(name="aer", driver="aer", options={"qubits": 30}),
)

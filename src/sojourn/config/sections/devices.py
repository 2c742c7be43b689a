"""The section `[[devices]]`, and the devices of a server that configures none."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from sojourn.config.values import DeviceName, Factor, Memory, Schedule, Seconds, Section


class DeviceSettings(Section):
    """`[[devices]]`: one device. A number that is not set is the one of `[policy]`."""

    name: DeviceName = Field(description="Name of the device: 1 to 64 of `a-z`, `0-9`, `_` and `-`.")
    driver: str = Field(
        min_length=1,
        description="`fake`, `aer`, `mock`, `backend`, or another entry point of the group "
        "`sojourn.drivers`.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options that are passed to the driver; see its documentation.",
    )
    python: str | None = Field(
        default=None,
        description="Python interpreter of its workers, if the driver is installed in another environment.",
    )
    memory_mb: Memory | None = Field(
        default=None,
        description="Memory limit of one run, in MB of 2^20 bytes; 0 is no limit. A job that is known to "
        "need more is refused; one that turns out to need more fails with error 9703.",
    )
    profile: str | None = Field(
        default=None,
        description="Profile of this device. If set, the numbers of `[policy]` do not apply to it.",
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
        description="When the device is calibrated: a cron expression in UTC, such as `0 4 * * *` (R9, R11).",
    )


DEFAULT_DEVICES = (
    DeviceSettings(name="ibm_torino", driver="fake", options={"backend": "FakeTorino"}),
    DeviceSettings(name="ibm_fez", driver="fake", options={"backend": "FakeFez"}),
    DeviceSettings(name="aer", driver="aer", options={"qubits": 30}),
)

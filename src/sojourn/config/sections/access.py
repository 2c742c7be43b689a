"""The section `[access]`: API keys, failed logins, and the permissions of the data folder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sojourn.config.values import Number, Section, Whole


class AccessSettings(Section):
    """`[access]`: API keys, failed logins, and the permissions of the data folder."""

    keys_per_user: Whole = Field(
        default=50, ge=1, le=10_000, description="Maximum number of valid API keys per user."
    )
    wrong_keys: Whole = Field(
        default=60,
        ge=1,
        le=1_000_000,
        description="Requests with wrong credentials that one address can send at once; further ones are "
        "answered 429. Requests with valid credentials from the same address are not affected.",
    )
    wrong_keys_per_minute: Number = Field(
        default=30.0, ge=0.01, le=1e6, description="How many further such requests are allowed per minute."
    )
    data_folder: Literal["private", "group", "any"] = Field(
        default="private",
        description="Who besides the owner may have permissions on the data folder: nobody (`private`), its "
        "group (`group`), or anybody (`any`: permissions are not checked).",
    )
    confine_workers: bool = Field(
        default=True,
        description="Deny the workers, which run what users send, access to the data folder (Linux 5.13 or "
        "newer).",
    )

"""The section `[access]`: API keys, wrong credentials, and the rights of the data folder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sojourn.config.values import Number, Section, Whole


class AccessSettings(Section):
    """`[access]`: who gets in."""

    keys_per_user: Whole = Field(
        default=50, ge=1, le=10_000, description="API keys of one user that are in force at the same time."
    )
    wrong_keys: Whole = Field(
        default=60,
        ge=1,
        le=1_000_000,
        description="Requests with wrong credentials that may come from one address at once; more are "
        "answered 429. Requests with valid ones from there are not affected.",
    )
    wrong_keys_per_minute: Number = Field(
        default=30.0, ge=0.01, le=1e6, description="How many more come in with each minute."
    )
    data_folder: Literal["private", "group", "any"] = Field(
        default="private",
        description="Who else may have rights on the data folder: nobody (`private`), its group (`group`), "
        "or whoever has them (`any`): it is not checked.",
    )
    confine_workers: bool = Field(
        default=True,
        description="Put the data folder out of reach of the workers, which run what users send "
        "(Linux 5.13 or newer).",
    )

"""Owns who is entitled to how much: `[[accounts]]` and `[[projects]]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from sojourn.config.sections.limits import check_limits
from sojourn.config.values import SYSTEM, Number, Section, Tags, Title, UserNames, Weight


class AccountSettings(Section):
    """`[[accounts]]`: the top of the share tree (R48)."""

    name: Title = Field(description="What projects call it.")
    weight: Weight = Field(
        default=1.0,
        description="Its part of the devices against other accounts'; 0 is only when nobody waits.",
    )


class ProjectSettings(Section):
    """`[[projects]]`: what is stated here holds, no command changes it; the rest is as commands set it."""

    name: Title = Field(description="Name of the project; made when it does not exist.")
    account: Title = Field(default="default", description="The account that it belongs to.")
    weight: Weight = Field(default=1.0, description="Its part within the account; 0 as for an account.")
    allocation: Number | None = Field(
        default=None,
        ge=0,
        description="Device seconds that it may use in the fair-share window; then its jobs wait. 0 lets "
        "nothing leave the queue; None is no limit.",
    )
    plan: Literal["open", "premium"] = Field(
        default="premium", description="`open` may be refused sessions by the profile."
    )
    limits: dict[str, Number] = Field(
        default_factory=dict, description="Its own values for keys of `[limits]`."
    )
    tags: Tags = Field(
        default=(),
        description="Tags of the instance, in lower case, by which a program may choose it.",
    )
    users: dict[str, Weight] = Field(
        default_factory=dict, description="Weights of its users by name; 1 for who is not named."
    )
    admins: UserNames = Field(default=(), description="Users who may make reservations for it.")

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name == SYSTEM:
            raise ValueError(
                f"{name!r} is what the service's own jobs and their usage are shown under; choose another"
            )
        return name

    @model_validator(mode="after")
    def _limits_exist(self) -> ProjectSettings:
        check_limits(self.limits)
        return self

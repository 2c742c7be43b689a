"""The sections `[[accounts]]` and `[[projects]]`: shares, allocations, limits and members."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from sojourn.config.sections.limits import check_limits
from sojourn.config.values import SYSTEM, Number, Section, Tags, Title, UserNames, Weight


class AccountSettings(Section):
    """`[[accounts]]`: the top of the share tree (R48)."""

    name: Title = Field(description="Name of the account.")
    weight: Weight = Field(
        default=1.0,
        description="Share of the devices relative to other accounts. With 0 its jobs start only when no "
        "other job waits.",
    )


class ProjectSettings(Section):
    """`[[projects]]`: keys that are set here cannot be changed by commands; the others can."""

    name: Title = Field(description="Name of the project. It is created if it does not exist.")
    account: Title = Field(default="default", description="Account of the project.")
    weight: Weight = Field(default=1.0, description="Share within the account; 0 as for an account.")
    allocation: Number | None = Field(
        default=None,
        ge=0,
        description="Device seconds that it can use in the fair-share window; then its jobs wait. With 0 no "
        "job of it starts.",
    )
    plan: Literal["open", "premium"] = Field(
        default="premium",
        description="`open` or `premium`. A profile can refuse sessions to projects on the open plan.",
    )
    limits: dict[str, Number] = Field(
        default_factory=dict, description="Values of this project for keys of `[limits]`."
    )
    tags: Tags = Field(
        default=(),
        description="Tags of the instance, in lower case, by which a program can choose it.",
    )
    users: dict[str, Weight] = Field(
        default_factory=dict, description="Weights of its users by name; 1 for users that are not listed."
    )
    admins: UserNames = Field(
        default=(), description="Users who can make reservations for it and see the usage of its users."
    )

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name == SYSTEM:
            raise ValueError(
                "this name is reserved for the service's own jobs and their usage; choose another name"
            )
        return name

    @field_validator("limits")
    @classmethod
    def _limits_exist(cls, limits: dict[str, float]) -> dict[str, float]:
        check_limits(limits)
        return limits

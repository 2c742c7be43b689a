"""The section `[webhooks]`: where a project's events may be delivered, and how often that is tried."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import BeforeValidator, Field

from sojourn.config.values import Number, Section, Whole


def _networks(value: object) -> object:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError('must be a list of networks, such as ["10.0.0.0/8"]')
    for each in value:
        try:
            ip_network(each)
        except ValueError as error:
            raise ValueError(f'must be a list of networks, such as ["10.0.0.0/8"]: {error}') from None
    return tuple(value)


class WebhookSettings(Section):
    """`[webhooks]`: where a project's events may be delivered, and how often that is tried."""

    allow: Annotated[tuple[str, ...], BeforeValidator(_networks)] = Field(
        default=(),
        description="Networks to which events may be delivered although they are not public: loopback, "
        "link-local and private addresses are refused otherwise.",
    )
    per_project: Whole = Field(default=10, ge=0, le=1000, description="Webhooks of one project.")
    disable_after: Whole = Field(
        default=15,
        ge=1,
        le=100,
        description="Failed attempts in a row after which a webhook is disabled.",
    )
    timeout_seconds: Number = Field(
        default=10.0,
        ge=0.5,
        le=60,
        description="Time limit of one attempt, from the look-up of the name to the answer, in seconds.",
    )

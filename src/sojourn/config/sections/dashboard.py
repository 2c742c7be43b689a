"""The section `[dashboard]`: whether people get pages, and at which address."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sojourn.config.values import Section, Whole


class DashboardSettings(Section):
    """`[dashboard]`: the pages for people. They need the extra `dashboard`."""

    enabled: bool = Field(
        default=True,
        description="Whether `sojourn serve` starts the dashboard, where the extra `dashboard` is installed.",
    )
    host: str | None = Field(
        default=None, min_length=1, description="Address to listen on; default: that of `[server]`."
    )
    port: Whole = Field(default=8421, ge=0, le=65535, description="TCP port; 0 chooses a free one.")
    link: Literal["local", "operator"] = Field(
        default="local",
        description="Whom the link signs in, once, that is printed at the start: the user `local` or the "
        "first operator.",
    )
    url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+(/\S*)?$",
        max_length=400,
        description="Address at which people reach it, for example behind a reverse proxy; default: the "
        "host by which they have asked the server, with the port of the dashboard.",
    )

"""Our own API: usage, as sums of the ledger (R49)."""

import asyncio
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from sojourn.api.http.replies import encode, iso
from sojourn.api.http.values import epoch
from sojourn.api.v1.common import Callers
from sojourn.service.projects.usage import UsageQuery, UsageReport
from sojourn.service.service import Service
from sojourn.service.views import Principal, UsageView

PIECE = 1000
"""Rows that are written at a time: about a millisecond."""

Key = Literal["user", "project", "device", "kind", "session", "job", "day"]


class UsageLine(BaseModel):
    """`keys` has a value for each name in `by`; `entries` are rows of the ledger."""

    keys: dict[str, str | None]
    seconds: float
    entries: int


class Usage(BaseModel):
    """The first three are the caller's project in the fair-share window; the rest is what was asked for."""

    consumed_seconds: float
    limit_seconds: float | None
    limit_reached: bool
    start: str | None = Field(serialization_alias="from")
    end: str | None = Field(serialization_alias="to")
    by: list[Key]
    total_seconds: float
    rows: list[UsageLine]

    @classmethod
    def of(cls, now: UsageView, report: UsageReport) -> Self:
        """Without the rows."""
        return cls(
            consumed_seconds=now.consumed_seconds,
            limit_seconds=now.limit_seconds,
            limit_reached=now.limit_reached,
            start=iso(report.start),
            end=iso(report.end),
            by=list(report.by),  # type: ignore[arg-type]  # these are keys
            total_seconds=report.seconds,
            rows=[],
        )


async def written(usage: Usage, report: UsageReport) -> bytes:
    """The answer as JSON, written a piece at a time: the event loop goes on between them."""
    pieces = []
    for begin in range(0, len(report.rows), PIECE):
        lines = [
            {"keys": dict(zip(report.by, row.keys, strict=True)), "seconds": row.seconds, "entries": row.rows}
            for row in report.rows[begin : begin + PIECE]
        ]
        pieces.append(encode(lines)[1:-1])
        await asyncio.sleep(0)
    head = usage.model_dump_json(by_alias=True).removesuffix("]}")
    return b"%b%b]}" % (head.encode(), b",".join(pieces))


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    @routes.get("/usage", response_model=Usage)
    async def usage(
        who: Caller,
        start: Annotated[datetime | None, Query(alias="from")] = None,
        end: Annotated[datetime | None, Query(alias="to")] = None,
        by: Annotated[list[Key] | None, Query()] = None,
        user: str | None = None,
        project: str | None = None,
        device: str | None = None,
        kind: Literal["job", "held", "system", "reservation"] | None = None,
        session: str | None = None,
    ) -> Response:
        wanted = UsageQuery(
            start=epoch(start, "from"),
            end=epoch(end, "to"),
            by=tuple(by or ("user",)),
            user=user,
            project=project,
            device=device,
            kind=kind,
            session=session,
        )
        report = await service.usage.report(who, wanted)
        return Response(
            await written(Usage.of(service.usage.window(who), report), report), media_type="application/json"
        )

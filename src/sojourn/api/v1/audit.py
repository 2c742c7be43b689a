"""Our own API: the audit trail, for operators."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sojourn.api.http.replies import iso
from sojourn.api.http.values import epoch
from sojourn.api.v1.common import Callers, Time
from sojourn.service.accounts.permissions import Action
from sojourn.service.service import Service
from sojourn.service.views import Principal
from sojourn.store.audit import Entry

Text = Annotated[str | None, Query(max_length=200)]


class AuditEntry(BaseModel):
    """`by` is the name of who did it at that time; `detail` depends on the action and holds no secret. The
    request `request` came from `address`; both are null for what the server does by itself."""

    id: int
    at: Time | None
    by: str
    action: str
    subject: str
    detail: dict[str, Any]
    address: str | None
    request: str | None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            id=entry.id or 0,
            at=iso(entry.at),
            by=entry.by,
            action=entry.action,
            subject=entry.subject,
            detail=dict(entry.detail),
            address=entry.address,
            request=entry.request,
        )


class AuditTrail(BaseModel):
    """Newest first."""

    entries: list[AuditEntry]


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Operator = Annotated[Principal, Depends(callers.who_may(Action.SEE_AUDIT))]  # noqa: N806

    @routes.get("/audit")
    async def audit(
        _: Operator,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        by: Text = None,
        action: Text = None,
        subject: Text = None,
        address: Text = None,
        after: datetime | None = None,
        before_id: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    ) -> AuditTrail:
        found = await service.audit.find(
            by=by,
            action=action,
            subject=subject,
            address=address,
            after=epoch(after, "after"),
            before_id=before_id,
            limit=limit,
        )
        return AuditTrail(entries=[AuditEntry.of(entry) for entry in found])

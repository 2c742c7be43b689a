"""Usage of the caller's project, and the small endpoints that older clients ask for at start. Reads only."""

from __future__ import annotations

from typing import Any

from sojourn.api.http.endpoint import Request
from sojourn.api.http.replies import Reply, begun, iso, json_reply, tidy
from sojourn.api.http.values import shown
from sojourn.api.ibm.jobs import LARGEST_PAGE
from sojourn.api.ibm.plans import plan_id
from sojourn.api.ibm.sessions import crn
from sojourn.api.ibm.shapes import job_status
from sojourn.service.errors import BadRequest
from sojourn.service.views import JobFilter, JobView


async def usage(request: Request) -> Reply:
    """`usage_limit_seconds` is left out when there is none: the client warns about a limit it can see.

    Consumed is what counts in the fair-share window, so it falls again as time passes. It is given in whole
    seconds, as strictly typed clients ask for: one that has begun counts, so that what was used is never 0
    here. Whether the limit is reached is decided by the exact time.
    """
    used = request.service.usage.window(request.who)
    consumed = begun(used.consumed_seconds)
    body: dict[str, Any] = {
        "instance_id": crn(request),
        "plan_id": plan_id(request.service.accounts.project(request.who.project_id).plan),
        "usage_consumed_seconds": consumed,
        "usage_limit_reached": used.limit_reached,
    }
    if used.limit_seconds is not None:
        limit = begun(used.limit_seconds)
        body["usage_limit_seconds"] = body["usage_allocation_seconds"] = limit
        body["usage_remaining_seconds"] = max(0, limit - consumed)
    return json_reply(body)


async def instance(request: Request) -> Reply:
    """Asked once by clients 0.15 to 0.37, which stop on a 404."""
    return json_reply({"id": crn(request), "name": request.who.project, "qctrl_enabled": False})


_MODES = ("job", "session", "batch")


async def workloads(request: Request) -> Reply:
    """The newest workloads: jobs outside of sessions, and sessions and batches, each as one line.

    A subset: filters `mode`, `backend`, `tags`, `created_after`, `created_before`, `sort`, `limit`, and one
    page, without a cursor to the next.
    """
    query = request.query
    mode = query.text("mode")
    if mode is not None and mode not in _MODES:
        raise BadRequest(f"Query parameter mode={shown(mode)} must be one of {', '.join(_MODES)}.")
    sort = query.text("sort") or "-createdAt"
    if sort not in ("createdAt", "-createdAt"):
        raise BadRequest(f"Query parameter sort={shown(sort)} must be createdAt or -createdAt.")
    limit = min(query.integer("limit", 10, low=1), LARGEST_PAGE)
    device, tags = query.text("backend"), query.many("tags")
    after, before = query.time("created_after"), query.time("created_before")
    lines: list[tuple[float, dict[str, Any]]] = []
    if mode in (None, "job"):
        wanted = JobFilter(
            limit=LARGEST_PAGE,
            device=device,
            tags=tags,
            created_after=after,
            created_before=before,
            ascending=sort == "createdAt",
            include_mocks=bool(query.flag("include_mocks", False)),
        )
        page = await request.service.jobs.find(request.who, wanted)
        lines += [(view.created, _job_line(view)) for view in page.jobs if view.session_id is None]
    if mode != "job" and not tags:
        for session in await request.service.sessions.find(request.who, LARGEST_PAGE):
            kind = "batch" if session.mode == "batch" else "session"
            outside = (after is not None and session.created < after) or (
                before is not None and session.created > before
            )
            if outside or mode not in (None, kind) or device not in (None, session.device):
                continue
            line = {
                "id": session.id,
                "mode": kind,
                "status": session.state,
                "backend": session.device,
                "created_at": iso(session.created),
                "ended_at": iso(session.closed),
                "user_id": session.user,
                "accepting_jobs": session.accepting_jobs,
                "usage_seconds": tidy(session.elapsed),
            }
            lines.append((session.created, line))
    lines.sort(key=lambda line: line[0], reverse=sort == "-createdAt")
    chosen = [line for _, line in lines[:limit]]
    return json_reply({"workloads": chosen, "total_count": len(lines), "limit": limit})


def _job_line(view: JobView) -> dict[str, Any]:
    return {
        "id": view.id,
        "mode": "job",
        "status": job_status(view),
        "backend": view.device,
        "created_at": iso(view.created),
        "ended_at": iso(view.finished),
        "user_id": view.user,
        "program": view.program_id,
        "tags": view.tags,
        "usage_seconds": tidy(view.quantum_seconds),
    }

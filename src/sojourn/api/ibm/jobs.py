"""The client's job endpoints: from HTTP to the service and back. Decides nothing about jobs."""

from __future__ import annotations

from sojourn.api.http.endpoint import Request, call_of
from sojourn.api.http.replies import NO_CONTENT, Reply, json_reply, text_reply, without_none
from sojourn.api.http.values import Query, json_object, shown
from sojourn.api.ibm import submit as submitting
from sojourn.api.ibm.shapes import job_bytes, job_metrics, job_object, job_status
from sojourn.service.errors import BadRequest, Expired, NotFound
from sojourn.service.jobs.texts import Large
from sojourn.service.requests.parts import in_parts
from sojourn.service.views import JobFilter

LARGEST_PAGE = 200
_SMALL_BODY = 100_000
_DIRECTION = {"ASC": True, "DESC": False}


async def submit(request: Request) -> Reply:
    body = await request.body()
    call = call_of(request)
    key = request.header(b"idempotency-key")
    job = await submitting.submit(request.service, request.who, body, call=call, idempotency_key=key)
    return json_reply(
        without_none(
            {
                "id": job.id,
                "backend": job.device,
                "status": job_status(job),
                "session_id": job.session_id,
                "private": job.private,
                "warnings": job.warnings or None,
            }
        )
    )


async def job(request: Request) -> Reply:
    """A poll, which the service may hold until there is news, see docs/decisions/0013."""
    job_id = request.path["job_id"]
    bare = request.query.flag("exclude_params", False)
    view = await request.service.jobs.poll(request.who, job_id)
    params: bytes | Large | None = None
    if not bare:
        try:
            params = await request.service.jobs.params(request.who, job_id)
        except Expired:
            pass  # the job is there, its inputs are not any more
        except NotFound:
            if not view.private:
                raise
    if isinstance(params, Large):
        return Reply(job_bytes(view, b"")[:-1], text=params, tail=b"}")
    return Reply(job_bytes(view, params))


async def jobs(request: Request) -> Reply:
    wanted = job_filter(request.query)
    page = await request.service.jobs.find(request.who, wanted)
    return json_reply(
        {
            "jobs": await in_parts(job_object, page.jobs),
            "count": page.count,
            "limit": wanted.limit,
            "offset": wanted.offset,
        }
    )


def job_filter(query: Query) -> JobFilter:
    """The filters of GET /jobs. A `limit` above 200 counts as 200; the client then asks for the rest."""
    after, before = query.time("created_after"), query.time("created_before")
    if after is not None and before is not None and after > before:
        raise BadRequest(
            f"created_after={query.text('created_after')} is later than "
            f"created_before={query.text('created_before')}, so no job can match. Swap them."
        )
    return JobFilter(
        limit=min(query.integer("limit", 10, low=1), LARGEST_PAGE),
        offset=query.integer("offset", query.integer("skip", 0, low=0), low=0),
        device=query.text("backend"),
        pending=query.flag("pending"),
        program_id=query.text("program"),
        tags=query.many("tags"),
        session_id=query.text("session_id"),
        created_after=after,
        created_before=before,
        ascending=query.choice("sort", _DIRECTION, False),
        include_mocks=bool(query.flag("include_mocks", False)),
    )


async def results(request: Request) -> Reply:
    """Always text/plain: clients in both languages read the text and decode it themselves."""
    return text_reply(await request.service.jobs.result(request.who, request.path["job_id"]))


async def results_head(request: Request) -> Reply:
    """As GET, but a private job's result is left to the GET that shows it (R56)."""
    return text_reply(await request.service.jobs.result(request.who, request.path["job_id"], take=False))


async def interim_results(request: Request) -> Reply:
    """Asked for by older clients: there are none, which is an empty text as in the service of their time."""
    await request.service.jobs.get(request.who, request.path["job_id"])
    return text_reply("")


async def logs(request: Request) -> Reply:
    return text_reply(await request.service.jobs.logs(request.who, request.path["job_id"]))


async def metrics(request: Request) -> Reply:
    return json_reply(job_metrics(await request.service.jobs.waiting(request.who, request.path["job_id"])))


async def cancel(request: Request) -> Reply:
    await request.service.jobs.cancel(request.who, request.path["job_id"])
    return NO_CONTENT


async def delete(request: Request) -> Reply:
    await request.service.jobs.delete(request.who, request.path["job_id"])
    return NO_CONTENT


async def tags(request: Request) -> Reply:
    """Replaces the tags; the client takes nothing but 204 for a success."""
    body = json_object(await request.body(_SMALL_BODY), 'the tags, {"tags": ["a", "b"]},')
    given = body.get("tags")
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        raise BadRequest(f"Field 'tags' is {shown(given)}; it must be a list of strings.")
    await request.service.jobs.set_tags(request.who, request.path["job_id"], given)
    return NO_CONTENT

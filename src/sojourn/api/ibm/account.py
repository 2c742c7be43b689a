"""What the client asks of the cloud around the service: tokens, instances, plans. Decides nothing on jobs.

The client finds these by IAM_URL, GLOBAL_SEARCH_URL and GLOBAL_CATALOG_URL (ways A and D of docs/connect.md).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from sojourn.api.endpoint import Request
from sojourn.api.ibm.usage import PLAN
from sojourn.api.query import json_object, shown
from sojourn.api.wire import Reply, json_reply
from sojourn.service.errors import BadRequest, NotAuthenticated, NotFound
from sojourn.service.views import ProjectView

API_KEY_GRANT = "urn:ibm:params:oauth:grant-type:apikey"
_SMALL_BODY = 100_000
_SERVICE = "quantum-computing"


async def token(request: Request) -> Reply:
    """POST /identity/token, a form with `grant_type` and `apikey`.

    A key that nobody knows is answered 200, with a token that grants nothing (see sojourn.api.auth).
    """
    raw = await request.body(_SMALL_BODY)
    try:
        form = dict(
            parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
        )
    except ValueError:
        form = {}
    grant = form.get("grant_type")
    if grant != API_KEY_GRANT:
        raise BadRequest(
            f"Form field 'grant_type' is {shown(grant)}; the only one here is {API_KEY_GRANT!r}. "
            "Send grant_type and apikey as application/x-www-form-urlencoded."
        )
    if "apikey" not in form:
        raise BadRequest("Form field 'apikey' is missing. Send the API key that `sojourn users add` printed.")
    return Reply(json_reply(request.api.gate.exchange(form["apikey"])).body, headers=_NOT_STORED)


_NOT_STORED = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))


async def search(request: Request) -> Reply:
    """POST /v3/resources/search: the caller's instances, in pages of `limit` with a `search_cursor`.

    A token that grants nothing is refused here, and the client stops at once: "check … a valid API token".
    """
    projects = _projects(request)
    body = json_object(raw, "the search") if (raw := await request.body(_SMALL_BODY)).strip() else {}
    limit = request.query.integer("limit", 10, low=1, high=1000)
    cursor = body.get("search_cursor")
    start = 0
    if cursor is not None:
        if not isinstance(cursor, str) or not cursor.isascii() or not cursor.isdigit() or len(cursor) > 9:
            raise BadRequest(
                f"Field 'search_cursor' is {shown(cursor)}; send the one of the page before, "
                "or none for the first page."
            )
        start = int(cursor)
    page = projects[start : start + limit]
    found: dict[str, Any] = {"items": [_item(project) for project in page], "limit": limit}
    if start + limit < len(projects):
        found["search_cursor"] = str(start + limit)
    return json_reply(found)


def _item(project: ProjectView) -> dict[str, Any]:
    # Without `doc.extensions` the client takes an instance for one that has no devices.
    return {
        "crn": project.crn,
        "name": project.name,
        "service_name": _SERVICE,
        "service_plan_unique_id": PLAN,
        "region": project.crn.split(":")[5] if project.crn.count(":") >= 6 else "",
        "type": "resource-instance",
        "tags": [],
        "doc": {"extensions": {"allocation": "all devices"}, "state": "active"},
    }


async def plan(request: Request) -> Reply:
    """GET /catalog/{id}: name and pricing type of the plan. The client puts free instances first."""
    request.api.gate.user(request.headers)
    wanted = request.path.get("plan", PLAN)
    if wanted != PLAN:
        raise NotFound(f"There is no plan {shown(wanted)}. There is one: {PLAN!r}.")
    return json_reply(
        {
            "id": PLAN,
            "name": "sojourn",
            "kind": "plan",
            "active": True,
            "disabled": False,
            "overview_ui": {"en": {"display_name": "Sojourn", "description": "Self-hosted quantum compute"}},
            "metadata": {"pricing": {"type": "free"}},
        }
    )


async def resource_instances(request: Request) -> Reply:
    """GET /v2/resource_instances?name=: the caller's instances, all or those of one name."""
    name = request.query.text("name")
    found = [project for project in _projects(request) if name in (None, project.name)]
    resources = [
        {"id": p.crn, "guid": p.id, "crn": p.crn, "name": p.name, "state": "active", "resource_plan_id": PLAN}
        for p in found
    ]
    return json_reply({"rows_count": len(resources), "next_url": None, "resources": resources})


def _projects(request: Request) -> list[ProjectView]:
    user_id = request.api.gate.user(request.headers)
    accounts = request.service.accounts
    accounts.principal(user_id, None)  # a revoked user's token ends here
    projects: list[ProjectView] = accounts.projects_of(user_id)
    if not projects:
        raise NotAuthenticated(
            "This user belongs to no project. An operator adds one with `sojourn users add`."
        )
    return projects

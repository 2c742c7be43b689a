"""What the client asks of the cloud around the service: tokens, instances, plans. Decides nothing on jobs.

The client finds these by IAM_URL, GLOBAL_SEARCH_URL and GLOBAL_CATALOG_URL (ways A and D of docs/connect.md).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from sojourn import crn
from sojourn.api.http.endpoint import Request
from sojourn.api.http.replies import Reply, iso, json_reply
from sojourn.api.http.values import json_object, shown
from sojourn.api.ibm import plans
from sojourn.service.errors import BadRequest, NotAuthenticated, NotFound
from sojourn.service.views import ProjectView

API_KEY_GRANT = "urn:ibm:params:oauth:grant-type:apikey"
_SMALL_BODY = 100_000
_SERVICE = "quantum-computing"


async def token(request: Request) -> Reply:
    """POST /identity/token, a form with `grant_type` and `apikey`.

    A key that nobody knows is answered 200, with a token that grants nothing (see sojourn.api.http.auth).
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
    made = request.api.authenticator.exchange(form["apikey"], request.address)
    return Reply(json_reply(made).body, headers=_NOT_STORED)


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
        "service_plan_unique_id": plans.plan_id(project.plan),
        "region": crn.parts(project.crn).region,
        "type": "resource-instance",
        "tags": list(project.tags),
        "doc": {"extensions": {"allocation": "all devices"}, "state": "active"},
    }


async def plan(request: Request) -> Reply:
    """GET /catalog/{id}: name and pricing type of a plan."""
    request.api.authenticator.user(request.headers, request.address)
    wanted = request.path.get("plan") or request.scope["path"].rsplit("/", 1)[-1]
    if wanted not in plans.BY_ID:
        raise NotFound(f"There is no plan {shown(wanted)}. Plans: {', '.join(plans.BY_ID)}.")
    return json_reply(plans.entry(wanted))


_FILTERS = (
    "guid",
    "name",
    "resource_id",
    "resource_plan_id",
    "type",
    "sub_type",
    "state",
    "resource_group_id",
)


async def resource_instances(request: Request) -> Reply:
    """GET /v2/resource_instances: the caller's instances that match the query, in pages of `limit`."""
    query = request.query
    wanted = {field: value for field in _FILTERS if (value := query.text(field)) is not None}
    found = [_resource(project) for project in _projects(request)]
    found = [each for each in found if all(each[field] == value for field, value in wanted.items())]
    limit, start = query.integer("limit", 100, low=1), query.integer("start", 0, low=0)
    end = start + limit
    more = urlencode({**wanted, "limit": limit, "start": end})
    return json_reply(
        {
            "rows_count": len(found[start:end]),
            "next_url": f"/v2/resource_instances?{more}" if end < len(found) else None,
            "resources": found[start:end],
        }
    )


async def resource_instance(request: Request) -> Reply:
    """GET /v2/resource_instances/{id}: one of the caller's instances, by its CRN or its GUID."""
    # A CRN has a slash, which the client sends as %2F; a proxy on the way may have written that as %252F.
    wanted = unquote(request.path["instance"])
    projects = _projects(request)
    for project in projects:
        if wanted in (project.crn, project.id):
            return json_reply(_resource(project))
    known = ", ".join(f"{project.name} ({project.crn})" for project in projects)
    raise NotFound(f"There is no instance {shown(wanted)} of this user. Instances: {known}.")


def _resource(project: ProjectView) -> dict[str, Any]:
    """A project as the resource controller shows an instance; null is what this service does not have."""
    return {
        "id": project.crn,
        "guid": project.id,
        "crn": project.crn,
        "url": f"/v2/resource_instances/{project.id}",
        "name": project.name,
        "state": "active",
        "type": "service_instance",
        "sub_type": None,
        "region_id": crn.parts(project.crn).region,
        "account_id": crn.parts(project.crn).account,
        "resource_id": _SERVICE,
        "resource_plan_id": plans.plan_id(project.plan),
        "resource_group_id": None,
        "target_crn": None,
        "created_at": iso(project.created),
        "created_by": None,
        "updated_at": None,
        "deleted_at": None,
        "parameters": {},
        "locked": False,
        "allow_cleanup": False,
    }


def _projects(request: Request) -> list[ProjectView]:
    caller = request.api.authenticator.caller(request.headers, request.address)
    accounts = request.service.accounts
    accounts.check_user(caller.user_id)  # a revoked user's token ends here
    # A client without an instance takes the first one that has the device.
    projects: list[ProjectView] = accounts.projects_of(caller.user_id, caller.key)
    if not projects:
        raise NotAuthenticated(
            "This user belongs to no project. An operator adds one with `sojourn users add`."
        )
    return projects

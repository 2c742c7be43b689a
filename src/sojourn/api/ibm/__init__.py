"""The dialect of qiskit-ibm-runtime: which path is answered by which handler, and nothing else."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from sojourn.api.http.endpoint import Api, Endpoint, Handler
from sojourn.api.ibm import account, backends, jobs, plans, sessions, usage

PREFIXES = ("/experimental/api/v1", "/api/v1")
"""The client leaves a URL alone only if "experimental" is in it; QRMI and older clients use the plain one."""

# The most frequent paths first: routes are tried in order.
POLL_COST = 0.1
"""Of a request: a client that waits asks up to ten times a second, and most of these polls are held."""

_DIALECT: dict[str, dict[str, Handler]] = {
    "/jobs/{job_id}": {"GET": jobs.job, "DELETE": jobs.delete},
    "/jobs": {"POST": jobs.submit, "GET": jobs.jobs},
    "/jobs/{job_id}/results": {"GET": jobs.results, "HEAD": jobs.results_head},
    "/jobs/{job_id}/interim_results": {"GET": jobs.interim_results},
    "/instances/usage": {"GET": usage.usage},
    "/backends/{name}/status": {"GET": backends.status},
    "/jobs/{job_id}/cancel": {"POST": jobs.cancel},
    "/jobs/{job_id}/logs": {"GET": jobs.logs},
    "/jobs/{job_id}/metrics": {"GET": jobs.metrics},
    "/jobs/{job_id}/tags": {"PUT": jobs.tags},
    "/sessions": {"POST": sessions.create, "GET": sessions.sessions},
    "/sessions/{session_id}": {"GET": sessions.details, "PATCH": sessions.update},
    "/sessions/{session_id}/close": {"DELETE": sessions.close},
    "/backends": {"GET": backends.backends},
    "/backends/{name}/configuration": {"GET": backends.configuration},
    "/backends/{name}/properties": {"GET": backends.properties},
    "/backends/{name}/defaults": {"GET": backends.defaults},
    "/usage": {"GET": usage.usage},
    "/instance": {"GET": usage.instance},
    "/workloads": {"GET": usage.workloads},
}

_ACCOUNT: dict[str, dict[str, Handler]] = {
    "/identity/token": {"POST": account.token},
    "/v3/resources/search": {"POST": account.search},
    "/v2/resource_instances": {"GET": account.resource_instances},
    "/v2/resource_instances/{instance:path}": {"GET": account.resource_instance},
    "/catalog/{plan}": {"GET": account.plan},
    # Where the catalog is when the client reaches us through a proxy setting (way F), by the host's name.
    **{f"/api/v1/{identity}": {"GET": account.plan} for identity in plans.BY_ID},
}


def routes(api: Api) -> list[BaseRoute]:
    found: list[BaseRoute] = []
    for path, handlers in _DIALECT.items():
        poll = path == "/jobs/{job_id}"  # which may be held
        endpoint = Endpoint(api, handlers, cost=POLL_COST if poll else 1.0, turns=not poll)
        found += [Route(f"{prefix}{path}", endpoint) for prefix in PREFIXES]
    for path, handlers in _ACCOUNT.items():
        found.append(Route(path, Endpoint(api, handlers, authenticated=False)))
    return found

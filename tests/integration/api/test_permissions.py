"""Every route of both APIs, with every role and somebody else's objects, against the table of permissions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from sojourn.api import health, ibm, metrics
from sojourn.api.app import create_app
from sojourn.api.http.endpoint import Api, Endpoint
from sojourn.api.v1 import PREFIX
from sojourn.api.v1.app import create_v1
from sojourn.config import (
    DeviceSettings,
    LimitsSettings,
    PolicySettings,
    ServerSettings,
    Settings,
    WebhookSettings,
)
from sojourn.service.accounts.permissions import MAY, Action, Role
from sojourn.service.projects.projects import MemberChange, ProjectChange
from sojourn.service.service import Service
from tests.harness.programs import job_body

_R = Role
HELD: dict[str, set[Role]] = {
    "nobody": {_R.ANYBODY},
    "eve": {_R.ANYBODY, _R.USER},  # in another project
    "mia": {_R.ANYBODY, _R.USER, _R.MEMBER},
    "max": {_R.ANYBODY, _R.USER, _R.MEMBER, _R.ADMIN},
    "ann": {_R.ANYBODY, _R.USER, _R.MEMBER, _R.OWNER},
    "op": {_R.ANYBODY, _R.USER, _R.OPERATOR},  # in another project
}
GRANT = "urn:ibm:params:oauth:grant-type:apikey"


@dataclass(frozen=True)
class Case:
    """`json` is the body and `query` the query string; names in braces are filled in as in the path. `listed`
    is the object of ann that a list shows to whom may see it, while everybody else gets the rest."""

    action: Action
    json: Any = None
    query: str = ""
    listed: str = ""
    form: dict[str, str] = field(default_factory=dict)


_A = Action
_JOB_IN_SESSION = {"program": "sampler", "session": "{session_id}", "params": {}}
_PAST = "?last_event_id=0&follow=false"
RECEIVER = "http://127.0.0.1:9/"  # nobody listens there
V1: dict[tuple[str, str], list[Case]] = {
    ("GET", "/version"): [Case(_A.SEE_SERVER)],
    ("GET", "/openapi.json"): [Case(_A.SEE_SERVER)],
    ("GET", "/me"): [Case(_A.SEE_SELF)],
    ("GET", "/instances"): [Case(_A.SEE_SELF)],
    ("GET", "/devices"): [Case(_A.SEE_DEVICES), Case(_A.SEE_JOB, listed="running_id")],
    ("GET", "/devices/{name}"): [Case(_A.SEE_DEVICES)],
    **{
        ("POST", f"/devices/{{name}}/{what}"): [Case(_A.OPERATE_DEVICES)]
        for what in ("pause", "drain", "maintain", "resume", "calibrate", "check")
    },
    ("GET", "/devices/{name}/calibrations"): [Case(_A.SEE_DEVICES)],
    ("GET", "/devices/{name}/timeline"): [
        Case(_A.SEE_DEVICES),
        Case(_A.SEE_JOB, listed="running_id"),
    ],
    ("GET", "/devices/{name}/checks"): [Case(_A.OPERATE_DEVICES)],
    ("POST", "/forecast"): [Case(_A.FORECAST, {"duration": "30s", "device": "spare"})],
    ("GET", "/reservations"): [Case(_A.SEE_BOOKED), Case(_A.SEE_RESERVATION, listed="reservation_id")],
    ("POST", "/reservations"): [
        Case(_A.RESERVE, {"device": "spare", "project": "chem", "start": "{later}", "duration": "20m"}),
        Case(
            _A.RESERVE,
            {"device": "spare", "project": "chem", "start": "{later}", "duration": "20m"},
            query="?dry_run=true",
        ),
        Case(_A.RESERVE_MORE, {"device": "spare", "project": "chem", "start": "{later}", "duration": "9h"}),
    ],
    ("GET", "/reservations/{reservation_id}"): [Case(_A.SEE_RESERVATION)],
    ("POST", "/reservations/{reservation_id}/cancel"): [Case(_A.RESERVE)],
    ("GET", "/leases"): [Case(_A.SEE_LEASE, listed="lease")],
    ("POST", "/leases"): [Case(_A.LEASE, {"device": "leased", "name": "{new}", "user": "ann"})],
    ("POST", "/leases/{device}/{lease}/end"): [Case(_A.LEASE)],
    ("GET", "/jobs"): [
        Case(_A.SEE_JOB, query="?limit=200", listed="job_id"),
        Case(_A.COUNT_SESSION, query="?session={session_id}"),
    ],
    ("POST", "/jobs"): [Case(_A.SUBMIT_TO_SESSION, _JOB_IN_SESSION)],
    ("GET", "/jobs/{job_id}"): [Case(_A.SEE_JOB)],
    ("GET", "/jobs/{job_id}/why"): [Case(_A.SEE_JOB)],
    ("GET", "/jobs/{job_id}/history"): [Case(_A.SEE_JOB)],
    ("GET", "/jobs/{job_id}/story"): [Case(_A.SEE_JOB)],
    ("POST", "/jobs/{job_id}/cancel"): [Case(_A.CHANGE_JOB)],
    ("POST", "/jobs/{job_id}/rerun"): [Case(_A.RERUN)],
    ("GET", "/sessions"): [Case(_A.SEE_SESSION, query="?limit=200", listed="session_id")],
    ("GET", "/sessions/{session_id}"): [Case(_A.SEE_SESSION)],
    ("POST", "/sessions/{session_id}/close"): [Case(_A.END_SESSION)],
    ("POST", "/sessions/{session_id}/drain"): [Case(_A.END_SESSION)],
    ("GET", "/events"): [
        Case(_A.SEE_DEVICES, query=f"{_PAST}&kind=device"),
        Case(_A.SEE_JOB, query=_PAST, listed="job_id"),
        Case(_A.SEE_SESSION, query=_PAST, listed="session_id"),
        Case(_A.SEE_RESERVATION, query=_PAST, listed="reservation_id"),
        Case(_A.SEE_JOB, query=f"{_PAST}&job={{job_id}}"),
        Case(_A.SEE_SESSION, query=f"{_PAST}&session={{session_id}}"),
    ],
    ("GET", "/users"): [Case(_A.MANAGE_USERS)],
    ("POST", "/users"): [Case(_A.MANAGE_USERS, {"name": "{new}", "project": "chem"})],
    ("POST", "/users/{name}/revoke"): [Case(_A.MANAGE_USERS)],
    ("DELETE", "/users/{name}"): [Case(_A.MANAGE_USERS)],
    ("POST", "/users/{name}/restore"): [Case(_A.MANAGE_USERS)],
    ("POST", "/projects/{project}/members/{name}/remove"): [Case(_A.MANAGE_USERS)],
    ("DELETE", "/projects/{project}/members/{name}"): [Case(_A.MANAGE_USERS)],
    ("GET", "/users/{name}/keys"): [Case(_A.MANAGE_KEYS)],
    ("POST", "/users/{name}/keys"): [Case(_A.MANAGE_KEYS, {})],
    ("POST", "/users/{name}/keys/{key}/revoke"): [Case(_A.MANAGE_KEYS)],
    ("DELETE", "/users/{name}/keys/{key}"): [Case(_A.MANAGE_KEYS)],
    ("POST", "/users/{name}/keys/{key}/rotate"): [Case(_A.MANAGE_KEYS)],
    ("GET", "/audit"): [Case(_A.SEE_AUDIT)],
    ("GET", "/projects"): [
        Case(_A.SEE_PROJECT, listed="project_id"),
        Case(_A.SEE_MEMBERS, listed="fellow"),
    ],
    ("POST", "/projects"): [Case(_A.MANAGE_PROJECTS, {"name": "{new}"})],
    ("GET", "/projects/{name}"): [Case(_A.SEE_PROJECT)],
    ("PATCH", "/projects/{name}"): [Case(_A.MANAGE_PROJECTS, {"weight": 2.0})],
    ("GET", "/projects/{name}/webhooks"): [Case(_A.MANAGE_WEBHOOKS)],
    ("POST", "/projects/{name}/webhooks"): [Case(_A.MANAGE_WEBHOOKS, {"url": RECEIVER})],
    ("PATCH", "/projects/{name}/webhooks/{webhook_id}"): [Case(_A.MANAGE_WEBHOOKS, {"enabled": True})],
    ("POST", "/projects/{name}/webhooks/{webhook_id}/replay"): [Case(_A.MANAGE_WEBHOOKS, {"after": 0})],
    ("DELETE", "/projects/{name}/webhooks/{webhook_id}"): [Case(_A.MANAGE_WEBHOOKS)],
    ("GET", "/accounts"): [Case(_A.MANAGE_PROJECTS)],
    ("PUT", "/accounts/{name}"): [Case(_A.MANAGE_PROJECTS, {"weight": 2.0})],
    ("GET", "/usage"): [
        Case(_A.SEE_USAGE, query="?project=chem"),
        Case(_A.SEE_USAGE_BY_USER, query="?user=ann"),
        Case(_A.COUNT_SESSION, query="?session={session_id}"),
    ],
}
DIALECT: dict[tuple[str, str], list[Case]] = {
    ("GET", "/jobs/{job_id}"): [Case(_A.SEE_JOB)],
    ("DELETE", "/jobs/{job_id}"): [Case(_A.CHANGE_JOB)],
    ("POST", "/jobs"): [
        Case(_A.SUBMIT_TO_SESSION, {"program_id": "sampler", "session_id": "{session_id}", "params": {}})
    ],
    ("GET", "/jobs"): [Case(_A.SEE_JOB, query="?limit=200", listed="job_id")],
    **{
        ("GET", f"/jobs/{{job_id}}/{what}"): [Case(_A.SEE_JOB)]
        for what in ("results", "interim_results", "logs", "metrics")
    },
    ("POST", "/jobs/{job_id}/cancel"): [Case(_A.CHANGE_JOB)],
    ("PUT", "/jobs/{job_id}/tags"): [Case(_A.CHANGE_JOB, {"tags": ["x"]})],
    ("POST", "/sessions"): [Case(_A.SUBMIT, {"backend": "spare"})],
    ("GET", "/sessions"): [Case(_A.SEE_SESSION, query="?limit=200", listed="session_id")],
    ("GET", "/sessions/{session_id}"): [Case(_A.SEE_SESSION)],
    ("PATCH", "/sessions/{session_id}"): [Case(_A.END_SESSION, {"accepting_jobs": False})],
    ("DELETE", "/sessions/{session_id}/close"): [Case(_A.END_SESSION)],
    ("GET", "/backends"): [Case(_A.SEE_DEVICES)],
    **{
        ("GET", f"/backends/{{name}}/{what}"): [Case(_A.SEE_DEVICES)]
        for what in ("status", "configuration", "properties", "defaults")
    },
    ("GET", "/instances/usage"): [Case(_A.SEE_SELF)],
    ("GET", "/usage"): [Case(_A.SEE_SELF)],
    ("GET", "/instance"): [Case(_A.SEE_SELF)],
    ("GET", "/workloads"): [Case(_A.SEE_JOB, query="?limit=200", listed="job_id")],
}
ACCOUNT: dict[tuple[str, str], list[Case]] = {
    ("POST", "/identity/token"): [Case(_A.GET_TOKEN, form={"grant_type": GRANT, "apikey": "sjn_x"})],
    ("POST", "/v3/resources/search"): [Case(_A.SEE_PROJECT, listed="project_id")],
    ("GET", "/v2/resource_instances"): [Case(_A.SEE_PROJECT, listed="project_id")],
    ("GET", "/v2/resource_instances/{instance:path}"): [Case(_A.SEE_PROJECT)],
    ("GET", "/catalog/{plan}"): [Case(_A.SEE_SELF)],
    **{("GET", f"/api/v1/{plan}"): [Case(_A.SEE_SELF)] for plan in ibm.plans.BY_ID},
    ("GET", "/healthz"): [Case(_A.SEE_SERVER)],
    ("GET", "/readyz"): [Case(_A.SEE_SERVER)],
}
MONITORING: dict[tuple[str, str], list[Case]] = {("GET", "/metrics"): [Case(_A.SEE_METRICS)]}


class World:
    """A service with a caller of each role, and objects of ann in the project chem."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.app = create_app(service, service.settings)
        self._numbers = count(1)
        self.keys: dict[str, str] = {}
        self._running = ""

    async def people(self) -> None:
        for name, project in {"eve": "bio", "mia": "chem", "max": "chem", "ann": "chem"}.items():
            self.keys[name] = (await self.service.users.add(name, project)).api_key
        self.keys["op"] = (await self.service.users.add("op", "ops", True)).api_key
        accounts = self.service.accounts
        who = accounts.principal(accounts.by_key(self.keys["op"]) or "", None)
        admin = ProjectChange(members={"max": MemberChange(None, True)})
        await self.service.projects.change(who, "chem", admin)
        self._running = await self.job()

    async def ask(self, caller: str, method: str, path: str, **how: Any) -> httpx.Response:
        key = self.keys.get(caller)
        headers = {"authorization": f"apikey {key}"} if key else {}
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sojourn", timeout=60) as http:
            return await http.request(method, path, headers=headers, **how)

    async def job(self) -> str:
        reply = await self.ask("ann", "POST", "/api/v1/jobs", content=job_body("slow"))
        return str(reply.json()["id"])

    async def value(self, name: str, path: str, action: Action) -> str:
        """A fresh object of ann for a name in braces, as requests change or end it."""
        number = next(self._numbers)
        match name:
            case "job_id":
                return await self.job()
            case "running_id":
                return self._running
            case "session_id":
                opened = await self.ask("ann", "POST", "/api/v1/sessions", json={"backend": "slow"})
                return str(opened.json()["id"])
            case "reservation_id":
                body = {"device": "far", "project": "chem", "start": f"+{number}h", "duration": "20m"}
                made = await self.ask("op", "POST", f"{PREFIX}/reservations", json=body)
                assert made.status_code == 201, made.text
                return str(made.json()["id"])
            case "device":
                return "leased"
            case "lease":
                body = {"device": "leased", "name": "of-ann", "user": "ann"}
                await self.ask("op", "POST", f"{PREFIX}/leases", json=body)  # or it is there already
                return "of-ann"
            case "webhook_id":
                hooks = f"{PREFIX}/projects/chem/webhooks"
                return str((await self.ask("op", "POST", hooks, json={"url": RECEIVER})).json()["id"])
            case "later":
                return f"+{number * 10 + 1000}h" if action is Action.RESERVE_MORE else f"+{number}h"
            case "key":
                made = await self.ask("ann", "POST", f"{PREFIX}/users/ann/keys", json={"name": f"k{number}"})
                return str(made.json()["key"]["name"])
            case "new":
                return f"new-{number}"
            case "name" if action is Action.MANAGE_USERS:
                victim = f"victim-{number}"
                await self.service.users.add(victim, "chem")
                if path.endswith("/restore"):
                    await self.ask("op", "POST", f"{PREFIX}/users/{victim}/revoke")
                return victim
            case "name" if action is Action.MANAGE_KEYS:
                return "ann"
            case "fellow":
                return '"max"'  # whom ann and mia do not see, though they share a project
            case "name" if path.endswith("/timeline"):
                return "slow"  # where ann's job runs
            case "name" if path.startswith(("/devices", "/backends")):
                return "spare"
            case "project_id" | "instance:path":
                return next(p.id for p in self.service.accounts.projects() if p.name == "chem")
            case "plan":
                return next(iter(ibm.plans.BY_ID))
        return "chem"  # a project or account

    async def filled(self, text: str, path: str, case: Case) -> str:
        while "{" in text and "}" in text:
            name = text[text.index("{") + 1 : text.index("}")]
            text = text.replace(f"{{{name}}}", await self.value(name, path, case.action), 1)
        return text


def api_of(service: Service) -> Api:
    return Api(service, service.settings)


def own_routes(api: Api) -> set[tuple[str, str]]:
    routes = [route for route in create_v1(api).routes if isinstance(route, Route)]
    return {(method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}


def raw_routes(api: Api) -> set[tuple[str, str]]:
    found = set()
    for route in (*ibm.routes(api), *health.routes(api), *metrics.routes(api)):
        assert isinstance(route, Route)
        assert isinstance(route.endpoint, Endpoint)
        found |= {(method, route.path) for method in route.endpoint.methods - {"HEAD"}}
    return found


async def walk(world: World, prefix: str, routes: dict[tuple[str, str], list[Case]], own: bool) -> list[str]:
    """Where the answers differ from the table."""
    wrong = []
    for (method, path), cases in routes.items():
        for case in cases:
            for caller, roles in HELD.items():
                held = roles if own else roles - {Role.OPERATOR}
                if case.action is Action.SUBMIT and caller != "nobody":
                    held = held | {Role.MEMBER}  # of the project in which the caller acts
                allowed = bool(MAY[case.action] & held)
                how: dict[str, Any] = {"data": case.form} if case.form else {}
                if case.json is not None:
                    filled = json.dumps(case.json)
                    for name in ("session_id", "later", "new"):
                        if f"{{{name}}}" in filled:
                            value = await world.value(name, path, case.action)
                            filled = filled.replace(f"{{{name}}}", value)
                    how = {"json": json.loads(filled)}
                listed = await world.value(case.listed, path, case.action) if case.listed else ""
                url = await world.filled(prefix + path + case.query, path, case)
                reply = await world.ask(caller, method, url, **how)
                status = reply.status_code
                if caller == "nobody" and not allowed:
                    good = status == 401
                elif listed:
                    good = status == 200 and (listed in reply.text) == allowed
                elif allowed:
                    good = status < 500 and status not in (401, 403, 404)
                else:
                    good = status in (403, 404) or (case.action is Action.RESERVE_MORE and status == 400)
                if not good:
                    wrong.append(f"{caller} {method} {url} {case.action.name}: {status} {reply.text[:200]}")
    return wrong


Run = Callable[[Callable[[World], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    slow = {"qubits": 5, "seconds": 3600.0}
    settings = Settings(
        server=ServerSettings(data=tmp_path, preparers=1),
        policy=PolicySettings(poll_hold=0, admission_hold=60.0),
        limits=LimitsSettings(
            request_rate=0,
            sessions_per_user=0,
            pending_per_user=0,
            pending_per_project=0,
            pending_per_device=0,
        ),
        webhooks=WebhookSettings(allow=("127.0.0.0/8",), per_project=1000),
        devices=(
            *(DeviceSettings(name=n, driver="mock", options=slow) for n in ("slow", "spare", "far")),
            DeviceSettings(name="leased", driver="mock", options=slow, external_queue="Slurm"),
        ),
    )

    async def within(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        service = Service(settings)
        await service.start()
        try:
            world = World(service)
            await world.people()
            await body(world)
        finally:
            await service.stop()

    return lambda body: asyncio.run(within(body))


def test_every_route_has_an_entry_and_no_entry_is_without_a_route(run: Run) -> None:
    async def inside(world: World) -> None:
        api = api_of(world.service)
        raw = {(method, prefix + path) for prefix in ibm.PREFIXES for method, path in DIALECT} | set(ACCOUNT)
        raw |= set(MONITORING)
        assert raw_routes(api) == raw
        assert own_routes(api) == set(V1)
        tested = {
            case.action
            for table in (V1, DIALECT, ACCOUNT, MONITORING)
            for cases in table.values()
            for case in cases
        }
        assert tested == set(Action)

    run(inside)


def test_our_own_api_keeps_to_the_table(run: Run) -> None:
    async def inside(world: World) -> None:
        assert await walk(world, PREFIX, V1, own=True) == []
        assert await walk(world, "", MONITORING, own=True) == []

    run(inside)


def test_the_clients_dialect_keeps_to_the_table_and_knows_no_operators(run: Run) -> None:
    async def inside(world: World) -> None:
        assert await walk(world, ibm.PREFIXES[0], DIALECT, own=False) == []
        assert await walk(world, "", ACCOUNT, own=False) == []

    run(inside)

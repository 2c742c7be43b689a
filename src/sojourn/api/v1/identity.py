"""Our own API: the version of the server, and who the caller is."""

import platform
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

import sojourn
from sojourn.api.v1.common import Callers
from sojourn.service.service import Service
from sojourn.service.views import Principal


class Version(BaseModel):
    name: str
    version: str
    python: str


class Me(BaseModel):
    user: str
    project: str
    instance: str
    operator: bool


class Instance(BaseModel):
    id: str
    name: str
    crn: str


class Instances(BaseModel):
    instances: list[Instance]


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    @routes.get("/version")
    async def version() -> Version:
        return Version(name="sojourn", version=sojourn.__version__, python=platform.python_version())

    @routes.get("/me")
    async def me(who: Caller) -> Me:
        crn = next((p.crn for p in service.accounts.projects_of(who.user_id) if p.id == who.project_id), "")
        return Me(user=who.user, project=who.project, instance=crn, operator=who.operator)

    @routes.get("/instances")
    async def instances(who: Caller) -> Instances:
        mine = service.accounts.projects_of(who.user_id)
        return Instances(instances=[Instance(id=p.id, name=p.name, crn=p.crn) for p in mine])

"""Our own API: projects and accounts, and what they are entitled to (R48, R50)."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.v1.common import Callers, Name
from sojourn.service.accounts.permissions import Action
from sojourn.service.projects.projects import MemberChange, ProjectChange, ProjectInfo
from sojourn.service.service import Service
from sojourn.service.views import Principal

_NAME = Field(min_length=1, max_length=64)
_OFTEN_WEIGHT = "Its part against its neighbours'; 0 is only when nobody else waits."


class Member(BaseModel):
    name: str
    weight: float
    admin: bool
    used_seconds: float
    pending: int


class Project(BaseModel):
    """`limits` are those that hold, `own_limits` names those that are its own; `configured` fields are stated
    by the configuration and cannot be changed here. `stored_mb` is what its jobs have stored. `members` are
    all for its admins and for operators."""

    name: str
    id: str
    instance: str
    account: str
    account_weight: float
    weight: float
    allocation: float | None
    plan: str
    tags: list[str]
    limits: dict[str, float]
    own_limits: list[str]
    used_seconds: float
    stored_mb: float
    exhausted: bool
    pending: int
    members: list[Member]
    configured: list[str]

    @classmethod
    def of(cls, info: ProjectInfo, stored: Mapping[str, int]) -> Self:
        project = info.project
        return cls(
            name=project.name,
            id=project.id,
            instance=project.crn,
            account=project.account,
            account_weight=info.account_weight,
            weight=project.weight,
            allocation=project.allocation,
            plan=project.plan,
            tags=list(project.tags),
            limits=info.limits.model_dump(exclude={"pending_per_device"}),
            own_limits=list(info.own_limits),
            used_seconds=info.used,
            stored_mb=stored.get(project.id, 0) / 1e6,
            exhausted=info.exhausted,
            pending=info.pending,
            members=[
                Member(name=m.name, weight=m.weight, admin=m.admin, used_seconds=m.used, pending=m.pending)
                for m in info.members
            ],
            configured=list(info.configured),
        )


class Projects(BaseModel):
    projects: list[Project]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ChangedMember(_Strict):
    weight: float | None = Field(default=None, description=_OFTEN_WEIGHT)
    admin: bool | None = Field(default=None, description="May make reservations for the project.")


class ChangedProject(_Strict):
    """What is left out stays as it is."""

    account: str | None = None
    weight: float | None = Field(default=None, description=_OFTEN_WEIGHT)
    allocation: float | None = Field(
        default=None, description="Device seconds in the fair-share window; null is no limit."
    )
    plan: Literal["open", "premium"] | None = None
    tags: list[str] | None = Field(
        default=None, description="All of its tags: they take the place of those that it has."
    )
    limits: dict[str, float | None] = Field(
        default_factory=dict, description="Its own values; null is the general one again."
    )
    members: dict[str, ChangedMember] = Field(default_factory=dict, description="By the user's name.")

    def change(self) -> ProjectChange:
        return ProjectChange(
            account=self.account,
            weight=self.weight,
            allocation=self.allocation,
            unlimited="allocation" in self.model_fields_set and self.allocation is None,
            plan=self.plan,
            limits=self.limits,
            tags=self.tags,
            members={name: MemberChange(m.weight, m.admin) for name, m in self.members.items()},
        )


class NewProject(ChangedProject):
    """`members` are refused with what to do: it has none yet."""

    name: str = _NAME


class Account(BaseModel):
    name: str
    weight: float


class Accounts(BaseModel):
    accounts: list[Account]


class ChangedAccount(_Strict):
    weight: float = Field(description=_OFTEN_WEIGHT)


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806
    Operator = Annotated[Principal, Depends(callers.who_may(Action.MANAGE_PROJECTS))]  # noqa: N806

    @routes.get("/projects")
    async def projects(who: Caller) -> Projects:
        stored = await service.storage.stored()
        return Projects(projects=[Project.of(info, stored) for info in service.projects.find(who)])

    @routes.post("/projects", status_code=201)
    async def add_project(who: Operator, new: NewProject) -> Project:
        return Project.of(await service.projects.create(who, new.name, new.change()), {})

    @routes.get("/projects/{name}")
    async def project(who: Caller, name: Name) -> Project:
        return Project.of(service.projects.get(who, name), await service.storage.stored())

    @routes.patch("/projects/{name}")
    async def change_project(who: Operator, name: Name, new: ChangedProject) -> Project:
        return Project.of(
            await service.projects.change(who, name, new.change()), await service.storage.stored()
        )

    @routes.get("/accounts")
    async def accounts(_: Operator) -> Accounts:
        found = service.projects.accounts()
        return Accounts(accounts=[Account(name=name, weight=weight) for name, weight in found.items()])

    @routes.put("/accounts/{name}")
    async def change_account(who: Operator, name: Name, new: ChangedAccount) -> Account:
        await service.projects.weigh(who, name, new.weight)
        return Account(name=name, weight=new.weight)

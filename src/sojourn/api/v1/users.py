"""Our own API: users and their memberships. The service decides who may do what."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Name, Time
from sojourn.service.accounts.permissions import Action
from sojourn.service.revocation import Remains
from sojourn.service.service import Service
from sojourn.service.views import NewKey, Principal, UserView

SHOWN_REMAINS = 20


class User(BaseModel):
    name: str
    projects: list[str]
    operator: bool
    revoked: bool
    created: Time | None
    crashes: int = Field(description="How often, in the last hour, a job of the user has ended its worker.")

    @classmethod
    def of(cls, view: UserView) -> Self:
        return cls(
            name=view.name,
            projects=list(view.projects),
            operator=view.operator,
            revoked=view.revoked,
            created=iso(view.created),
            crashes=view.crashes,
        )


class Users(BaseModel):
    users: list[User]


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=64, description="Unique on the server.")
    project: str = Field(min_length=1, max_length=64, description="Made when it does not exist.")
    operator: bool = Field(default=False, description="May manage users and see every project.")
    anew: bool = Field(
        default=False,
        description="Give the name of a revoked user to somebody else, who has nothing of that user's.",
    )


class FirstKey(BaseModel):
    """The only time that the API key is shown."""

    name: str
    project: str
    instance: str
    api_key: str

    @classmethod
    def of(cls, key: NewKey) -> Self:
        return cls(name=key.name, project=key.project, instance=key.instance, api_key=key.api_key)


class Ending(BaseModel):
    """What is to end with the key, or the membership."""

    model_config = ConfigDict(extra="forbid", strict=True)

    close_sessions: bool = Field(default=False, description="Hard: their queued jobs fail (R33).")
    cancel_jobs: bool = Field(default=False, description="Those that run as well (R53).")


class Remain(BaseModel):
    id: str
    device: str
    state: str


class Remaining(BaseModel):
    """`count` in all, and the oldest of them."""

    count: int
    oldest: list[Remain]

    @classmethod
    def of(cls, found: Iterable[Remain]) -> Self:
        every = list(found)
        return cls(count=len(every), oldest=every[:SHOWN_REMAINS])


class Revoked(BaseModel):
    """What the user has left that goes on: nothing of it ends by the revocation itself. `closed_sessions` and
    `cancelled_jobs` are how many this request has ended."""

    name: str
    revoked: bool = True
    sessions: Remaining
    jobs: Remaining
    reservations: Remaining
    closed_sessions: int
    cancelled_jobs: int

    @classmethod
    def of(cls, name: str, left: Remains, **more: Any) -> Self:
        return cls(
            name=name,
            **more,
            sessions=Remaining.of(
                Remain(id=r.session.id, device=r.device, state=r.session.state.value) for r in left.sessions
            ),
            jobs=Remaining.of(
                Remain(id=r.job.id, device=r.device, state=r.job.state.value) for r in left.jobs
            ),
            reservations=Remaining.of(
                Remain(id=window.id, device=device, state="open" if is_open else "booked")
                for device, window, is_open in left.reservations
            ),
            closed_sessions=left.closed,
            cancelled_jobs=left.cancelled,
        )


class Removed(Revoked):
    """The same of a user who was taken out of `project`, with what is left there."""

    project: str
    revoked: bool = False
    removed: bool = True

    @classmethod
    def of_member(cls, name: str, project: str, left: Remains) -> Self:
        return cls.of(name, left, project=project)


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Operator = Annotated[Principal, Depends(callers.who_may(Action.MANAGE_USERS))]  # noqa: N806

    @routes.get("/users")
    async def users(_: Operator) -> Users:
        return Users(users=[User.of(view) for view in service.users.all()])

    @routes.post("/users", status_code=201)
    async def add_user(who: Operator, new: NewUser) -> FirstKey:
        made = await service.users.add(new.name, new.project, new.operator, anew=new.anew, who=who)
        return FirstKey.of(made)

    @routes.post("/users/{name}/revoke")
    @routes.delete("/users/{name}")
    async def revoke(who: Operator, name: Name, ending: Ending | None = None) -> Revoked:
        wanted = ending or Ending()
        left = await service.revocation.revoke(
            name, close_sessions=wanted.close_sessions, cancel_jobs=wanted.cancel_jobs, who=who
        )
        return Revoked.of(name, left)

    @routes.post("/users/{name}/restore")
    async def restore(who: Operator, name: Name) -> FirstKey:
        return FirstKey.of(await service.users.restore(name, who=who))

    @routes.post("/projects/{project}/members/{name}/remove")
    @routes.delete("/projects/{project}/members/{name}")
    async def remove(who: Operator, project: Name, name: Name, ending: Ending | None = None) -> Removed:
        wanted = ending or Ending()
        left = await service.revocation.remove(
            name, project, close_sessions=wanted.close_sessions, cancel_jobs=wanted.cancel_jobs, who=who
        )
        return Removed.of_member(name, project, left)

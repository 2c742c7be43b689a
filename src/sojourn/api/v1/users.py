"""Users, their keys and their memberships in our own API. The service decides who may do what."""

from collections.abc import Callable
from typing import Annotated, Any, Self

from fastapi import Depends, FastAPI, Path
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1 import models
from sojourn.service import times
from sojourn.service.service import Service
from sojourn.service.users import KeyView, MadeKey
from sojourn.service.views import NewKey, Principal

Name = Annotated[str, Path(max_length=64)]
Text = Annotated[str, Field(max_length=400)]


class Key(BaseModel):
    """A key without its secret. `project` is where it acts when a request does not say, null is the user's
    first one; `used` is exact to ten minutes; `present` is the one that the request was made with."""

    name: str
    user: str
    project: str | None
    created: models.Time | None
    expires: models.Time | None
    expired: bool
    used: models.Time | None
    present: bool

    @classmethod
    def of(cls, view: KeyView) -> Self:
        return cls(
            name=view.name,
            user=view.user,
            project=view.project,
            created=iso(view.created),
            expires=iso(view.expires),
            expired=view.expired,
            used=iso(view.used),
            present=view.present,
        )


class Keys(BaseModel):
    """Oldest first."""

    keys: list[Key]


class MadeKeyAnswer(BaseModel):
    """The only time that the API key is shown. `old` is the key that it replaces, while that is in force."""

    key: Key
    api_key: str
    old: Key | None

    @classmethod
    def of(cls, made: MadeKey) -> Self:
        old = None if made.left is None else Key.of(made.left)
        return cls(key=Key.of(made.key), api_key=made.api_key, old=old)


class WantedKey(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(
        default=None, max_length=64, description="Unique among the user's; default key-N."
    )
    project: str | None = Field(
        default=None,
        max_length=64,
        description="Where it acts when a request does not say; default the first.",
    )
    expires: Text | None = Field(default=None, description="ISO 8601, or from now: `+90d`; null is never.")


class Rotation(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keep: Text | None = Field(
        default=None,
        description="How long the old key goes on working: `1h` (the default), `0` for not at all.",
    )
    expires: Text | None = Field(default=None, description="As for a new key; null is as the old one was to.")


def add_routes(
    app: FastAPI, service: Service, caller: Callable[..., Any], operator: Callable[..., Any]
) -> None:
    Caller = Annotated[Principal, Depends(caller)]  # noqa: N806
    Operator = Annotated[Principal, Depends(operator)]  # noqa: N806
    people = service.people

    def shown(key: NewKey) -> models.Key:
        return models.Key(name=key.name, project=key.project, instance=key.instance, api_key=key.api_key)

    def until(text: str | None) -> float | None:
        return None if text is None else times.instant(text, service.clock.date(), "expires")

    @app.get("/users")
    async def users(_: Operator) -> models.Users:
        return models.Users(users=[models.User.of(view) for view in people.users()])

    @app.post("/users", status_code=201)
    async def add_user(who: Operator, new: models.NewUser) -> models.Key:
        made = await people.add_user(new.name, new.project, new.operator, anew=new.anew, who=who)
        return shown(made)

    @app.post("/users/{name}/revoke")
    @app.delete("/users/{name}")
    async def revoke(who: Operator, name: Name, ending: models.Ending | None = None) -> models.Revoked:
        wanted = ending or models.Ending()
        left = await service.revoke_user(
            name, close_sessions=wanted.close_sessions, cancel_jobs=wanted.cancel_jobs, who=who
        )
        return models.Revoked.of(name, left)

    @app.post("/users/{name}/restore")
    async def restore(who: Operator, name: Name) -> models.Key:
        return shown(await people.restore_user(name, who=who))

    @app.post("/projects/{project}/members/{name}/remove")
    @app.delete("/projects/{project}/members/{name}")
    async def remove(
        who: Operator, project: Name, name: Name, ending: models.Ending | None = None
    ) -> models.Removed:
        wanted = ending or models.Ending()
        left = await service.remove_member(
            name, project, close_sessions=wanted.close_sessions, cancel_jobs=wanted.cancel_jobs, who=who
        )
        return models.Removed.of_member(name, project, left)

    @app.get("/users/{name}/keys")
    async def keys(who: Caller, name: Name) -> Keys:
        return Keys(keys=[Key.of(view) for view in people.keys(who, name)])

    @app.post("/users/{name}/keys", status_code=201)
    async def add_key(who: Caller, name: Name, wanted: WantedKey | None = None) -> MadeKeyAnswer:
        new = wanted or WantedKey()
        made = await people.add_key(who, name, name=new.name, project=new.project, expires=until(new.expires))
        return MadeKeyAnswer.of(made)

    @app.post("/users/{name}/keys/{key}/revoke")
    @app.delete("/users/{name}/keys/{key}")
    async def revoke_key(who: Caller, name: Name, key: Name) -> Key:
        return Key.of(await people.revoke_key(who, name, key))

    @app.post("/users/{name}/keys/{key}/rotate", status_code=201)
    async def rotate_key(who: Caller, name: Name, key: Name, wanted: Rotation | None = None) -> MadeKeyAnswer:
        how = wanted or Rotation()
        keep = None
        if how.keep is not None:
            keep = 0.0 if how.keep.strip() in ("0", "0s") else times.duration(how.keep, "keep")
        made = await people.rotate_key(who, name, key, keep=keep, expires=until(how.expires))
        return MadeKeyAnswer.of(made)

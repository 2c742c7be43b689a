"""Our own API: the API keys of users. The service decides whose keys the caller may manage."""

from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Name, Text, Time
from sojourn.service.accounts.users import KeyView, MadeKey
from sojourn.service.service import Service
from sojourn.service.timing import times
from sojourn.service.views import Principal


class Key(BaseModel):
    """A key without its secret. `project` is where it acts when a request does not say, null is the user's
    first one; `used` is exact to ten minutes; `present` is the one that the request was made with."""

    name: str
    user: str
    project: str | None
    created: Time | None
    expires: Time | None
    expired: bool
    used: Time | None
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


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    def until(text: str | None) -> float | None:
        return None if text is None else times.instant(text, service.clock.date(), "expires")

    @routes.get("/users/{name}/keys")
    async def keys(who: Caller, name: Name) -> Keys:
        return Keys(keys=[Key.of(view) for view in service.users.keys(who, name)])

    @routes.post("/users/{name}/keys", status_code=201)
    async def add_key(who: Caller, name: Name, wanted: WantedKey | None = None) -> MadeKeyAnswer:
        new = wanted or WantedKey()
        made = await service.users.add_key(
            who, name, name=new.name, project=new.project, expires=until(new.expires)
        )
        return MadeKeyAnswer.of(made)

    @routes.post("/users/{name}/keys/{key}/revoke")
    @routes.delete("/users/{name}/keys/{key}")
    async def revoke_key(who: Caller, name: Name, key: Name) -> Key:
        return Key.of(await service.users.revoke_key(who, name, key))

    @routes.post("/users/{name}/keys/{key}/rotate", status_code=201)
    async def rotate_key(who: Caller, name: Name, key: Name, wanted: Rotation | None = None) -> MadeKeyAnswer:
        how = wanted or Rotation()
        keep = None
        if how.keep is not None:
            keep = 0.0 if times.seconds(how.keep) == 0 else times.duration(how.keep, "keep")
        made = await service.users.rotate_key(who, name, key, keep=keep, expires=until(how.expires))
        return MadeKeyAnswer.of(made)

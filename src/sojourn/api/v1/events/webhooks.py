"""Our own API: the webhooks of a project. The service decides who may see and change them."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Id, Name, Time
from sojourn.service.service import Service
from sojourn.service.views import Principal
from sojourn.service.webhooks.webhooks import WebhookView
from sojourn.store.history import Kind

Url = Annotated[str, Field(min_length=1, max_length=2000)]
Kinds = Annotated[list[Kind], Field(max_length=len(Kind))]


class NewWebhook(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Url
    kinds: Kinds = Field(default=[], description="Only events of these kinds; none: all.")


class ChangedWebhook(BaseModel):
    """What is left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    kinds: Kinds | None = None
    enabled: bool | None = None
    new_secret: bool = False


class Replay(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=2**53)] = Field(
        description="The id of an event: everything behind it is delivered once more."
    )


class Webhook(BaseModel):
    """`disabled` says why nothing is delivered, `error` what the latest attempt has met. `last_event_id`:
    everything up to this event has been delivered, or was not to be."""

    id: str
    project: str
    url: str
    kinds: list[Kind]
    created: Time | None
    by: str
    enabled: bool
    disabled: str | None
    failures: int
    next_attempt: Time | None
    error: str | None
    last_event_id: int
    delivered: Time | None

    @classmethod
    def of(cls, view: WebhookView) -> Self:
        return cls.model_validate(_table(view))


class MadeWebhook(Webhook):
    """`secret` is shown only now."""

    secret: str | None

    @classmethod
    def of(cls, view: WebhookView) -> Self:
        return cls.model_validate({**_table(view), "secret": view.secret})


class Webhooks(BaseModel):
    """The oldest first."""

    webhooks: list[Webhook]


def _table(view: WebhookView) -> dict[str, Any]:
    return {
        "id": view.id,
        "project": view.project,
        "url": view.url,
        "kinds": view.kinds,
        "created": iso(view.created),
        "by": view.by,
        "enabled": view.disabled is None,
        "disabled": view.disabled,
        "failures": view.failures,
        "next_attempt": iso(view.next_attempt),
        "error": view.error,
        "last_event_id": view.last_event_id,
        "delivered": iso(view.delivered),
    }


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    @routes.get("/projects/{name}/webhooks")
    async def webhooks(who: Caller, name: Name) -> Webhooks:
        found = service.webhooks.of_project(who, name)
        return Webhooks(webhooks=[Webhook.of(view) for view in found])

    @routes.post("/projects/{name}/webhooks", status_code=201)
    async def add_webhook(who: Caller, name: Name, new: NewWebhook) -> MadeWebhook:
        return MadeWebhook.of(await service.webhooks.add(who, name, new.url, new.kinds))

    @routes.patch("/projects/{name}/webhooks/{webhook_id}")
    async def change_webhook(who: Caller, name: Name, webhook_id: Id, wanted: ChangedWebhook) -> MadeWebhook:
        changed = await service.webhooks.change(
            who,
            name,
            webhook_id,
            url=wanted.url,
            kinds=wanted.kinds,
            enabled=wanted.enabled,
            new_secret=wanted.new_secret,
        )
        return MadeWebhook.of(changed)

    @routes.post("/projects/{name}/webhooks/{webhook_id}/replay")
    async def replay_webhook(who: Caller, name: Name, webhook_id: Id, wanted: Replay) -> Webhook:
        return Webhook.of(await service.webhooks.replay(who, name, webhook_id, wanted.after))

    @routes.delete("/projects/{name}/webhooks/{webhook_id}")
    async def remove_webhook(who: Caller, name: Name, webhook_id: Id) -> Webhook:
        return Webhook.of(await service.webhooks.remove(who, name, webhook_id))

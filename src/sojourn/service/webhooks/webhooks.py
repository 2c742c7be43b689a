"""The webhooks of projects, as their admins meet them: add, see, change, replay, remove."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sojourn import codes
from sojourn.config import WebhookSettings
from sojourn.service import ids
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import BadRequest, Conflict, Expired, Forbidden, NotFound
from sojourn.service.timing.clock import Clock
from sojourn.service.views import Principal, ProjectView
from sojourn.service.webhooks.addresses import Addresses, check_url
from sojourn.service.webhooks.receivers import Receivers
from sojourn.store import history
from sojourn.store import webhooks as rows
from sojourn.store.audit import Entry
from sojourn.store.database import Database, bound, run_all
from sojourn.store.history import Kind
from sojourn.store.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A webhook without its secret; `secret` is given once, where it was made (`sojourn.store.webhooks`)."""

    id: str
    project: str
    url: str
    kinds: tuple[str, ...]
    created: float
    by: str
    disabled: str | None
    failures: int
    next_attempt: float | None
    error: str | None
    last_event_id: int
    delivered: float | None
    secret: str | None = None


class Webhooks:
    def __init__(
        self,
        settings: WebhookSettings,
        *,
        store: Database,
        clock: Clock,
        accounts: Directory,
        audit: Audit,
        addresses: Addresses,
        receivers: Receivers,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._audit = audit
        self._addresses = addresses
        self._receivers = receivers
        self._hooks: dict[str, Webhook] = {}

    async def start(self) -> None:
        """Go on with what was not delivered before the restart."""
        for hook in await self._store.read(rows.every):
            self._hooks[hook.id] = hook
            self._receivers.start(hook)

    async def stop(self) -> None:
        await self._receivers.close()

    # look

    def of_project(self, who: Principal, project: str) -> list[WebhookView]:
        """The oldest first. `project` is a name."""
        found = self._project(who, project)
        return [self._view(hook) for hook in self._hooks.values() if hook.project_id == found.id]

    def state(self) -> dict[str, int]:
        """For operators: how many work, fail at present, and are disabled."""
        hooks = self._hooks.values()
        disabled = sum(hook.disabled is not None for hook in hooks)
        failing = sum(hook.disabled is None and hook.failures > 0 for hook in hooks)
        return {"working": len(hooks) - disabled - failing, "failing": failing, "disabled": disabled}

    def attempts(self) -> dict[str, int]:
        """Since the start, by their outcome."""
        return {"delivered": self._receivers.delivered, "failed": self._receivers.failed}

    # change

    async def add(self, who: Principal, project: str, url: str, kinds: Iterable[Kind] = ()) -> WebhookView:
        """It is told what happens from now on."""
        found = self._project(who, project)
        check_url(url, self._addresses)
        there = sum(hook.project_id == found.id for hook in self._hooks.values())
        if there >= self._settings.per_project:
            raise BadRequest(
                f"Project {project} has {there} webhooks; the limit is {self._settings.per_project} "
                "(per_project of [webhooks]). Remove one, or have one receiver pass events on.",
                code=codes.OVER_LIMIT,
            )
        hook = Webhook(
            id=ids.new_id("w"),
            project_id=found.id,
            url=url,
            secret=ids.new_webhook_secret(),
            created_at=self._clock.now(),
            created_by=who.user_id,
            cursor=0,
            kinds=frozenset(kinds),
        )
        self._hooks[hook.id] = hook  # counts from now on
        try:
            hook.cursor = await self._store.read(history.newest_id)
            await self._save(self._entry(who, "added", hook, url=url), hook, new=True)
        except BaseException:
            self._hooks.pop(hook.id, None)
            raise
        self._receivers.start(hook)
        return self._view(hook, hook.secret)

    async def change(
        self,
        who: Principal,
        project: str,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Iterable[Kind] | None = None,
        enabled: bool | None = None,
        new_secret: bool = False,
    ) -> WebhookView:
        """What is None stays. One that is enabled again goes on where it was. A new secret counts from the
        next attempt on."""
        hook = self._named(who, project, webhook_id)
        if url is not None:
            check_url(url, self._addresses)
            hook.url = url
        if kinds is not None:
            hook.kinds = frozenset(kinds)
        if new_secret:
            hook.secret = ids.new_webhook_secret()
        if enabled is False:
            hook.disabled, hook.next_at = f"Disabled by {who.user}", None
        elif enabled or url is not None:
            hook.disabled, hook.failures, hook.next_at = None if enabled else hook.disabled, 0, None
        self._receivers.stop(hook.id)
        changed = {"url": url, "enabled": enabled, "new_secret": new_secret or None}
        await self._save(self._entry(who, "changed", hook, **changed), hook)
        self._receivers.start(hook)
        return self._view(hook, hook.secret if new_secret else None)

    async def replay(self, who: Principal, project: str, webhook_id: str, after: int) -> WebhookView:
        """Deliver everything behind the event of the id `after` once more, and what comes then. Expired when
        some of that has been deleted, BadRequest for an id that there is not yet, Conflict while it is
        disabled."""
        hook = self._named(who, project, webhook_id)
        gone, newest = await self._store.read(history.ends)
        if after < gone:
            raise Expired(
                f"Events up to the id {gone} have been deleted, because of their age (story_days of "
                f"[retention]). Replay from {gone} on."
            )
        if after > newest:
            raise BadRequest(f"There is no event {after} yet: the newest has the id {newest}.")
        if hook.disabled is not None:
            raise Conflict(f"Webhook {hook.id} is disabled. Enable it first. ({hook.disabled})")
        self._receivers.stop(hook.id)
        hook.cursor, hook.failures, hook.next_at = after, 0, None
        await self._save(self._entry(who, "replayed", hook, after=after), hook)
        self._receivers.start(hook)
        return self._view(hook)

    async def remove(self, who: Principal, project: str, webhook_id: str) -> WebhookView:
        hook = self._named(who, project, webhook_id)
        self._receivers.stop(hook.id)
        self._hooks.pop(hook.id, None)
        entry = self._entry(who, "removed", hook, url=hook.url)
        await self._store.must_write(run_all, bound(rows.remove, hook.id), entry.write)
        self._audit.done(entry)
        return self._view(hook)

    # within

    async def _save(self, entry: Entry, hook: Webhook, *, new: bool = False) -> None:
        write = bound(rows.add if new else rows.save, replace(hook))
        await (self._store.write if new else self._store.must_write)(run_all, write, entry.write)
        self._audit.done(entry)

    def _entry(self, who: Principal, what: str, hook: Webhook, **detail: object) -> Entry:
        project = self._accounts.project_name(hook.project_id)
        return self._audit.entry(who, f"webhook.{what}", f"webhook {hook.id}", project=project, **detail)

    def _project(self, who: Principal, name: str) -> ProjectView:
        """Raises NotFound for one that the caller is not in, and Forbidden for who is not its admin."""
        accounts = self._accounts
        if may(who, Action.MANAGE_WEBHOOKS):
            return accounts.project_named(name)
        project = next((p for p in accounts.projects_of(who.user_id) if p.name == name), None)
        if project is None:
            raise NotFound(f"You are in no project {name[:100]!r}.", code=codes.UNKNOWN_ACCOUNT)
        if not may(who, Action.MANAGE_WEBHOOKS, admin=accounts.is_admin(project.id, who.user_id)):
            raise Forbidden(
                f"User {who.user!r} may not see or change the webhooks of project {name!r}: that is for its "
                "admins and for operators."
            )
        return project

    def _named(self, who: Principal, project: str, webhook_id: str) -> Webhook:
        found = self._project(who, project)
        hook = self._hooks.get(webhook_id)
        if hook is None or hook.project_id != found.id:
            raise NotFound(f"Project {project} has no webhook {webhook_id[:100]!r}.")
        return hook

    def _view(self, hook: Webhook, secret: str | None = None) -> WebhookView:
        return WebhookView(
            id=hook.id,
            project=self._accounts.project_name(hook.project_id),
            url=hook.url,
            kinds=tuple(sorted(hook.kinds)),
            created=hook.created_at,
            by=self._accounts.user_name(hook.created_by),
            disabled=hook.disabled,
            failures=hook.failures,
            next_attempt=hook.next_at,
            error=hook.error,
            last_event_id=hook.cursor,
            delivered=hook.delivered_at,
            secret=secret,
        )

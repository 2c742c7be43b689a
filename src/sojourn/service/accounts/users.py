"""Users and their keys as they are administrated: who may do what, and the audit of it.

Operators manage everybody; every user manages their own keys. An admin of a project manages nobody's: a key
acts in all projects of its user. What a key that expires makes does not outlive it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from sojourn.core.wording.formatting import at_time, seconds
from sojourn.service.accounts.accounts import Accounts
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.key_files import KeyFiles
from sojourn.service.accounts.keys import Key, Secret
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import BadRequest, Forbidden
from sojourn.service.timing.clock import Clock
from sojourn.service.views import NewKey, Principal, UserView
from sojourn.store.audit import Entry

KEEP = 3600.0
"""Seconds that a rotated key goes on working when nobody says otherwise."""
LONGEST_KEEP = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key without its secret. `project` is the name of that in which it acts unless a request says
    otherwise, None for its user's first one; `used` is exact to ten minutes."""

    name: str
    user: str
    project: str | None
    created: float
    expires: float | None
    used: float | None
    expired: bool
    present: bool  # the request was made with it


@dataclass(frozen=True, slots=True)
class MadeKey:
    """`api_key` is shown only now. `left` is the key that it replaces, where that is in force for a while."""

    key: KeyView
    api_key: str
    left: KeyView | None = None


class Users:
    """`crashes` counts how often the jobs of a user (id) have ended their worker lately; `added` is called
    with the names of a user who has come into a project, and of the project."""

    def __init__(
        self,
        *,
        clock: Clock,
        accounts: Accounts,
        audit: Audit,
        files: KeyFiles,
        crashes: Callable[[str], int],
        added: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._keys = accounts.keys
        self._audit = audit
        self._files = files
        self._crashes = crashes
        self._added = added

    # users

    def all(self) -> list[UserView]:
        """With how often the jobs of each have ended their worker in the last hour."""
        id_of = self._accounts.user_id
        return [replace(user, crashes=self._crashes(id_of(user.name))) for user in self._accounts.users()]

    async def add(
        self,
        name: str,
        project: str,
        operator: bool = False,
        *,
        anew: bool = False,
        who: Principal | None = None,
    ) -> NewKey:
        """See `Accounts.add`."""
        entry = self._audit.entry(
            who, "user.added", f"user {name}", project=project, operator=operator or None, anew=anew or None
        )
        key = await self._accounts.add(name, project, entry, operator=operator, anew=anew)
        self._audit.done(entry)
        await self._added(name, project)
        return key

    async def restore(self, name: str, *, who: Principal | None = None) -> NewKey:
        """See `Accounts.restore`."""
        entry = self._audit.entry(who, "user.restored", f"user {name}")
        key = await self._accounts.restore(name, entry)
        self._audit.done(entry)
        return key

    # keys

    def keys(self, who: Principal, user: str) -> list[KeyView]:
        """Oldest first; those that have expired are among them until the user's next key is made."""
        identity = self._managed(who, user)
        return [self._view(who, user, key) for key in self._keys.of_user(identity)]

    async def add_key(
        self,
        who: Principal,
        user: str,
        *,
        name: str | None = None,
        project: str | None = None,
        expires: float | None = None,
    ) -> MadeKey:
        """A further key. `project` is where it acts when a request does not say, None is the user's first."""
        identity = self._managed(who, user)
        if self._accounts.revoked(user):
            raise BadRequest(f"User {user} has been revoked. `sojourn users restore {user}` makes a new key.")
        expires = _within(who, user, expires)
        own = None
        if project is not None:
            there = {p.name: p.id for p in self._accounts.projects_of(identity)}
            if project not in there:
                raise BadRequest(
                    f"User {user} is not in a project {project!r}; projects: {', '.join(there) or 'none'}."
                )
            own = there[project]
        secret = self._keys.prepare(identity, user, name=name, project=own, expires=expires)
        entry = self._audit.entry(
            who, "key.added", f"user {user}", key=secret.key.name, project=project, expires=expires
        )
        await self._keys.add(secret, entry)
        self._audit.done(entry)
        return MadeKey(self._view(who, user, secret.key), secret.api_key)

    async def revoke_key(self, who: Principal, user: str, name: str) -> KeyView:
        """It ends now, with every access token made from it. What was submitted with it goes on."""
        identity = self._managed(who, user)
        key = self._keys.named(identity, user, name)
        view = self._view(who, user, key)
        entry = self._audit.entry(who, "key.revoked", f"user {user}", key=name)
        await self._keys.revoke([key], entry)
        self._audit.done(entry)
        return view

    async def rotate_key(
        self, who: Principal, user: str, name: str, *, keep: float | None = None, expires: float | None = None
    ) -> MadeKey:
        """A new key under the name of the old one, which works for `keep` seconds more under another name.

        Without `expires` the new one ends when the old one was to. That of a key file is written to the file.
        """
        identity = self._managed(who, user)
        key = self._keys.named(identity, user, name)
        keep = KEEP if keep is None else keep
        if not 0 <= keep <= LONGEST_KEEP:
            raise BadRequest(
                f"keep is {seconds(keep)}; a replaced key works for 0 to {seconds(LONGEST_KEEP)} more. For "
                "longer, make a second key."
            )
        now = self._clock.date()
        if key.expired(now) and expires is None:
            raise BadRequest(
                f"Key {name} has expired. Say when the new one is to expire, or make another key."
            )
        expires = _within(who, user, key.expires if expires is None else expires)
        if expires is not None and expires <= now:
            raise BadRequest(
                f"The key would expire at {at_time(expires)}, which is past. Choose a later time."
            )
        secret, left = self._keys.replacing(key, 0 if key.expired(now) else keep, expires)
        entry = self._audit.entry(
            who,
            "key.rotated",
            f"user {user}",
            key=name,
            expires=expires,
            old=left.name if left is not None else None,
            until=left.expires if left is not None else None,
        )
        await self._replace(user, key, secret, left, entry)
        self._audit.done(entry)
        view = None if left is None else self._view(who, user, left)
        return MadeKey(self._view(who, user, secret.key), secret.api_key, view)

    async def _replace(self, user: str, key: Key, secret: Secret, left: Key | None, entry: Entry) -> None:
        if self._files.is_ours(user, key):
            await self._files.replace(user, key, secret, left, entry)
        else:
            await self._keys.replace(key, secret, left, entry)

    def _managed(self, who: Principal, user: str) -> str:
        """The id of the user, whose keys the caller may manage. Who may not cannot tell whether there is
        one."""
        if not may(who, Action.MANAGE_KEYS, owner=user == who.user):
            raise Forbidden(
                f"User {who.user!r} may manage the keys of {who.user!r} only; operators, everybody's."
            )
        return self._accounts.user_id(user)

    def _view(self, who: Principal, user: str, key: Key) -> KeyView:
        return KeyView(
            key.name,
            user,
            None if key.project is None else self._accounts.project_name(key.project),
            key.row.created_at,
            key.expires,
            self._keys.used(key),
            key.expired(self._clock.date()),
            key.id == who.key,
        )


def _within(who: Principal, user: str, expires: float | None) -> float | None:
    """When a key may expire that the caller makes for `user`: not after the caller's own."""
    if who.key_expires is None or (may(who, Action.MANAGE_KEYS) and user != who.user):
        return expires
    if expires is not None and expires > who.key_expires:
        raise BadRequest(
            f"The key would expire at {at_time(expires)}, after the one that makes it "
            f"({at_time(who.key_expires)}). Use a key that does not expire, or ask an operator."
        )
    return who.key_expires if expires is None else expires

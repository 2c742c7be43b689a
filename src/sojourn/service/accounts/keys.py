"""API keys: several for each user, each with a name; in memory and written through to the store.

A key is 256 random bits, so a plain SHA-256 keeps it; a slow hash at every request would only help an
attacker to keep the server busy. Lookups are by that hash, so their time says nothing about a key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from sojourn import codes
from sojourn.config.values import PATTERNS, TITLE
from sojourn.core.wording.formatting import at_time
from sojourn.service.errors import BadRequest, Conflict, NotFound, WrongCredentials
from sojourn.service.ids import new_api_key, sha256
from sojourn.store import accounts as stored
from sojourn.store.accounts import KeyRow
from sojourn.store.audit import Entry
from sojourn.store.database import Database, Work, bound, run_all

log = structlog.get_logger("sojourn.keys")

USE_KEPT = 600.0
"""Seconds. The last use of a key is written down this often at the most."""
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. `project` is the id of that in which it acts when a request names none; None
    is the user's first. `id` is how tokens name it."""

    row: KeyRow

    @property
    def id(self) -> str:
        return self.row.hash[:20]

    @property
    def user(self) -> str:
        return self.row.user_id

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def project(self) -> str | None:
        return self.row.project_id

    @property
    def expires(self) -> float | None:
        return self.row.expires_at

    def expired(self, now: float) -> bool:
        return self.row.expires_at is not None and now >= self.row.expires_at


@dataclass(frozen=True, slots=True)
class Secret:
    """A new key with its secret, which is shown only now. `replaced` is the key whose place it took."""

    key: Key
    api_key: str
    replaced: Key | None = None


class Keys:
    def __init__(self, store: Database, now: Callable[[], float], most: int) -> None:
        self._store = store
        self._now = now
        self._most = most
        self._by_hash: dict[str, Key] = {}
        self._by_id: dict[str, Key] = {}
        self._uses: dict[str, float] = {}
        self._followers: list[Callable[[str], None]] = []

    def follow(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with the id of each user who has less rights than before."""
        self._followers.append(heard)

    def tell(self, user: str) -> None:
        for heard in self._followers:
            heard(user)

    def load(self, rows: Iterable[KeyRow]) -> None:
        for row in rows:
            self._put(Key(row))

    # who calls

    def of_secret(self, api_key: str) -> Key:
        """The key that is in force; WrongCredentials for any other text, with the reason if it was a key."""
        return self._in_force(self._by_hash.get(sha256(api_key.encode())), "")

    def of_token(self, key_id: str) -> Key:
        """The key from which a token was made. A token ends with it."""
        return self._in_force(self._by_id.get(key_id), " of this access token")

    def _in_force(self, key: Key | None, which: str) -> Key:
        if key is None:
            raise WrongCredentials(f"The API key{which} is not known to this server, or was revoked.")
        now = self._now()
        if key.expired(now):
            raise WrongCredentials(f"The API key{which} expired at {at_time(key.row.expires_at or now)}.")
        if now - self._uses.get(key.row.hash, key.row.used_at or 0.0) >= USE_KEPT:
            self._used(key, now)
        return key

    def _used(self, key: Key, now: float) -> None:
        self._uses[key.row.hash] = now
        self._store.write(stored.keys_used, {key.row.hash: now}).add_done_callback(_check)

    def used(self, key: Key) -> float | None:
        """When it was last used, to ten minutes."""
        return self._uses.get(key.row.hash, key.row.used_at)

    # look

    def of_user(self, user: str) -> list[Key]:
        """Oldest first; those that have expired are among them until the user's next key is made."""
        found = [key for key in self._by_hash.values() if key.user == user]
        return sorted(found, key=lambda key: key.row.created_at)

    def named(self, user: str, user_name: str, name: str) -> Key:
        """Raises NotFound with the names that there are."""
        found = self.of_user(user)
        for key in found:
            if key.name == name:
                return key
        known = ", ".join(key.name for key in found) or "none"
        raise NotFound(f"User {user_name} has no key {name!r}. Keys: {known}.", code=codes.UNKNOWN_ACCOUNT)

    # change

    def prepare(
        self, user: str, user_name: str, *, name: str | None, project: str | None, expires: float | None
    ) -> Secret:
        """A new key that is not yet in force, for `put`. Raises BadRequest and Conflict."""
        now = self._now()
        there = [key for key in self.of_user(user) if not key.expired(now)]
        if name is not None and not re.fullmatch(TITLE, name):
            raise BadRequest(f"{name!r} is not the name of a key: {PATTERNS[TITLE]}.")
        if name is not None and _of_file(name, user_name):
            raise BadRequest(f"{name!r} is kept for the key in the data folder. Choose another name.")
        if any(key.name == name for key in there):
            raise Conflict(
                f"User {user_name} has a key {name!r}. Choose another name, revoke it, or rotate it."
            )
        if len(there) >= self._most:
            raise BadRequest(
                f"User {user_name} has {len(there)} API keys; the limit is {self._most} "
                "(access.keys_per_user). Revoke one that is not needed."
            )
        if expires is not None and expires <= now:
            raise BadRequest(
                f"The key would expire at {at_time(expires)}, which is past. Choose a later time."
            )
        return self.made(user, name or _free("key-1", there), project=project, expires=expires)

    def made(
        self, user: str, name: str, *, project: str | None = None, expires: float | None = None
    ) -> Secret:
        secret = new_api_key()
        row = KeyRow(sha256(secret.encode()), user, name, project, self._now(), expires)
        return Secret(Key(row), secret)

    def changing(
        self, *, gone: Sequence[Key] = (), renamed: Sequence[Key] = (), new: Sequence[Key] = ()
    ) -> Work[None]:
        """Change memory now, and answer what changes the store."""
        for key in gone:
            self._by_hash.pop(key.row.hash, None)
            self._by_id.pop(key.id, None)
            self._uses.pop(key.row.hash, None)
            self.tell(key.user)
        for key in (*renamed, *new):
            self._put(key)
        hashes = [key.row.hash for key in gone]
        changed, added = [key.row for key in renamed], [key.row for key in new]
        return bound(stored.change_keys, gone=hashes, renamed=changed, new=added)

    async def add(self, secret: Secret, entry: Entry) -> None:
        """Put a prepared key into force. Those of the user that have expired are forgotten with it."""
        now = self._now()
        old = [key for key in self.of_user(secret.key.user) if key.expired(now)]
        work = self.changing(gone=old, new=[secret.key])
        try:
            await self._write(work, entry)
        except Exception:  # what is not in the store must not let anybody in
            self.changing(gone=[secret.key])
            raise

    async def revoke(self, keys: Sequence[Key], entry: Entry) -> None:
        """They, and every token made from them, end now."""
        await self._write(self.changing(gone=keys), entry)

    def replacing(self, key: Key, keep: float, expires: float | None) -> tuple[Secret, Key | None]:
        """A key to take the place and the name of `key`, and what is left of that: under another name until
        `keep` seconds are over, or nothing."""
        now = self._now()
        secret = self.made(key.user, key.name, project=key.project, expires=expires)
        if keep <= 0:
            return secret, None
        until = now + keep if key.expires is None else min(now + keep, key.expires)
        name = _free(f"{key.name[: _LONGEST_NAME - 8]}-old", self.of_user(key.user))
        return secret, Key(replace(key.row, name=name, expires_at=until))

    async def replace(self, key: Key, secret: Secret, left: Key | None, entry: Entry) -> None:
        now = self._now()
        old = [k for k in self.of_user(key.user) if k.expired(now) and k is not key]
        gone = old if left is not None else [*old, key]
        work = self.changing(gone=gone, renamed=[left] if left is not None else [], new=[secret.key])
        await self._write(work, entry)

    async def renew(self, old: Sequence[Key], secret: Secret, entry: Entry) -> None:
        """A key in place of others, which end with it."""
        await self._write(self.changing(gone=old, new=[secret.key]), entry)

    async def _write(self, work: Work[None], entry: Entry) -> None:
        await self._store.must_write(run_all, work, entry.write)  # memory is ahead

    def _put(self, key: Key) -> None:
        self._by_hash[key.row.hash] = self._by_id[key.id] = key

    # the keys in files

    def of_file(self, user: str, user_name: str) -> list[Key]:
        """The user's keys that were written to the key file."""
        return [key for key in self.of_user(user) if _of_file(key.name, user_name)]


def file_key(user_name: str) -> str:
    """The name of the key in the user's file, and of the file."""
    return f"{user_name}.key"


def _of_file(name: str, user_name: str) -> bool:
    return name == file_key(user_name) or name.startswith((f"{user_name}.key.", f"{user_name}.key-"))


def _free(wanted: str, there: Sequence[Key]) -> str:
    """`wanted`, or the same with the first number that makes it free."""
    taken = {key.name for key in there}
    stem, number = re.sub(r"-\d+$", "", wanted), 1
    name = wanted
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _check(written: asyncio.Future[None]) -> None:
    error = None if written.cancelled() else written.exception()
    if error is not None:  # a time of use is not worth more than a line
        log.warning("keys.use_not_kept", why=repr(error))

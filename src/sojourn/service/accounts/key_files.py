"""The first users, the operator and `local`: each one's key is in a file of the data folder.

A file that is missing at the start is made anew, and that ends the keys that were in it before.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from sojourn import private_file
from sojourn.service.accounts.accounts import Accounts
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.keys import Key, Secret, file_key
from sojourn.store.audit import Entry

log = structlog.get_logger("sojourn.keys")

OPERATOR, OPERATOR_PROJECT = "operator", "operators"
LOCAL = "local"
FIRST_USERS = ((OPERATOR, OPERATOR_PROJECT, True), (LOCAL, LOCAL, False))


class KeyFiles:
    def __init__(self, data: Path, accounts: Accounts, audit: Audit) -> None:
        self._data = data
        self._accounts = accounts
        self._audit = audit

    async def settle(self) -> None:
        """Both users are there, and each one's file has a key that is in force; the user may have been
        revoked."""
        for name, project, operator in FIRST_USERS:
            path = self._data / file_key(name)
            self._finish(path)
            if not self._accounts.has(name):
                entry = self._audit.entry(None, "user.added", f"user {name}", project=project)
                made = await self._accounts.add(
                    name, project, entry, operator=operator, key_name=file_key(name)
                )
                private_file.write(path, f"{made.api_key}\n")
            elif self._accounts.revoked(name):
                continue
            elif not path.exists():
                await self._renew(name, path)
            elif self._accounts.by_key(_read(path)) is None:
                log.warning(
                    "key_file.ended",
                    file=str(path),
                    what="the key in this file is not in force; remove the file and restart for a new one",
                )

    async def _renew(self, name: str, path: Path) -> None:
        keys, user = self._accounts.keys, self._accounts.user_id(name)
        old = keys.of_file(user, name)
        secret = keys.made(user, file_key(name))
        entry = self._audit.entry(
            None, "key.renewed", f"user {name}", key=file_key(name), ended=[key.name for key in old]
        )
        await keys.renew(old, secret, entry)
        private_file.write(path, f"{secret.api_key}\n")
        self._audit.done(entry)

    def is_ours(self, user_name: str, key: Key) -> bool:
        """Whether the key is the one that the user's file has."""
        return user_name in (OPERATOR, LOCAL) and key.name == file_key(user_name)

    async def replace(self, user_name: str, old: Key, secret: Secret, left: Key | None, entry: Entry) -> None:
        """Rotate the key of a file. Whenever the server ends on the way, the next start has a file whose key
        is in force: the new key is on disk before it is in force."""
        path = self._data / file_key(user_name)
        fresh = _fresh(path)
        private_file.write(fresh, f"{secret.api_key}\n")
        try:
            await self._accounts.keys.replace(old, secret, left, entry)
        except Exception:
            fresh.unlink(missing_ok=True)
            raise
        fresh.replace(path)

    def _finish(self, path: Path) -> None:
        """A rotation that was interrupted: done if its key came into force, undone otherwise."""
        fresh = _fresh(path)
        if fresh.exists():
            if self._accounts.by_key(_read(fresh)) is not None:
                fresh.replace(path)
            else:
                fresh.unlink()


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()

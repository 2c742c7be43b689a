"""Who may use the service: projects, users and API keys, in memory and written through to the store.

API keys are 256 random bits, so a plain SHA-256 keeps them; a slow hash at every request would only help
an attacker to keep the server busy.
"""

from __future__ import annotations

import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sojourn.config.values import SYSTEM, TITLE
from sojourn.service.errors import BadRequest, Conflict, Forbidden, NotAuthenticated, NotFound
from sojourn.service.ids import new_api_key, new_id, sha256
from sojourn.service.views import NewKey, Principal, ProjectView, UserView
from sojourn.store import Store
from sojourn.store import tables as t
from sojourn.store.projects import MemberRow, ProjectRow, save
from sojourn.store.writer import Need

AUTO = "auto"
"""In the place of a CRN: the caller's only instance."""

SYSTEM_USER = SYSTEM_PROJECT = SYSTEM
"""The ids that the system's own jobs carry. They are rows for the database's sake: no keys, nobody's names,
and not in memory, so that nobody is shown them, joins them or speaks for them."""


@dataclass(slots=True)
class _User:
    id: str
    name: str
    operator: bool
    created: float
    revoked: float | None = None
    projects: list[str] = field(default_factory=list)  # ids, oldest membership first


@dataclass(frozen=True, slots=True)
class Membership:
    """A user in a project. `admin`: may make reservations for it (R47)."""

    weight: float = 1.0
    admin: bool = False


class Accounts:
    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._users: dict[str, _User] = {}
        self._projects: dict[str, ProjectView] = {}
        self._keys: dict[str, str] = {}  # hash -> user id
        self._members: dict[tuple[str, str], Membership] = {}  # (project id, user id)
        self.account_weights: dict[str, float] = {}
        self.signing_key = b""
        self._account = ""

    async def load(self) -> None:
        def work(c: Connection) -> dict[str, list[Any]]:
            return {
                "meta": list(c.execute(select(t.meta))),
                "projects": list(c.execute(select(t.projects))),
                "users": list(c.execute(select(t.users))),
                "memberships": list(c.execute(select(t.memberships).order_by(t.memberships.c.created_at))),
                "keys": list(c.execute(select(t.api_keys))),
                "accounts": list(c.execute(select(t.share_accounts))),
            }

        rows = await self._store.read(work)
        meta = {row.key: row.value for row in rows["meta"]}
        if "signing_key" not in meta:
            meta = {"signing_key": secrets.token_bytes(32), "account": secrets.token_hex(16).encode()}
            new = [{"key": k, "value": v} for k, v in meta.items()]
            await self._store.write(lambda c: c.execute(insert(t.meta), new) and None)
        self.signing_key = meta["signing_key"]
        self._account = meta["account"].decode()
        self._projects = {
            r.id: ProjectView(
                id=r.id,
                name=r.name,
                crn=r.crn,
                account=r.account,
                weight=r.weight,
                allocation=r.allocation,
                plan=r.plan,
                limits=json.loads(r.limits),
                tags=tuple(json.loads(r.tags)),
                created=r.created_at,
            )
            for r in rows["projects"]
            if r.id != SYSTEM_PROJECT
        }
        self.account_weights = {r.name: r.weight for r in rows["accounts"]}
        self._users = {
            r.id: _User(r.id, r.name, r.operator, r.created_at, r.revoked_at)
            for r in rows["users"]
            if r.id != SYSTEM_USER
        }
        if len(self._users) == len(rows["users"]):
            await self._add_system()
        for row in rows["memberships"]:
            self._users[row.user_id].projects.append(row.project_id)
            self._members[row.project_id, row.user_id] = Membership(row.weight, row.admin)
        self._keys = {r.hash: r.user_id for r in rows["keys"]}

    async def _add_system(self) -> None:
        now = self._now()
        project = {"id": SYSTEM_PROJECT, "name": "(system)", "crn": "(system)", "created_at": now}
        user = {
            "id": SYSTEM_USER,
            "name": "(system)",
            "operator": False,
            "created_at": now,
            "revoked_at": now,
        }

        def work(c: Connection) -> None:
            c.execute(insert(t.projects), project)
            c.execute(insert(t.users), user)

        await self._store.write(work)

    # who calls

    def by_key(self, api_key: str) -> str | None:
        """The user of a key that is in force."""
        user = self._users.get(self._keys.get(sha256(api_key.encode()), ""))
        return user.id if user is not None and user.revoked is None else None

    def check(self, who: Principal) -> None:
        """Raises NotAuthenticated for a user who has been revoked since the caller was known."""
        self._not_revoked(who.user_id)

    def _not_revoked(self, user_id: str) -> _User:
        user = self._users.get(user_id)
        if user is None or user.revoked is not None:
            raise NotAuthenticated("These credentials are not valid (any more). Ask an operator for a key.")
        return user

    def principal(self, user_id: str, crn: str | None) -> Principal:
        """The caller in the project that the CRN names; without one in the user's first project.

        AUTO is the only one; of several the caller has to say which.
        """
        user = self._not_revoked(user_id)
        projects = [self._projects[p] for p in user.projects]
        if crn == AUTO:
            if len(projects) > 1:
                named = ", ".join(f"{p.name} ({p.crn})" for p in projects)
                raise BadRequest(
                    f"The Service-CRN header is {AUTO!r}, which means the only instance of its user, and "
                    f"{user.name} is in {len(projects)}: {named}. Send the CRN of one of them."
                )
            crn = None
        for project in projects:
            if crn is None or project.crn == crn:
                admin = self._members[project.id, user.id].admin
                return Principal(user.id, user.name, project.id, project.name, user.operator, admin)
        named = ", ".join(f"{p.name} ({p.crn})" for p in projects) or "none"
        raise Forbidden(f"User {user.name} is not in the instance {crn!r}. Instances of this user: {named}.")

    def projects_of(self, user_id: str) -> list[ProjectView]:
        user = self._users.get(user_id)
        return [self._projects[p] for p in user.projects] if user is not None else []

    def user_name(self, user_id: str) -> str:
        user = self._users.get(user_id)
        return user.name if user is not None else user_id

    def project_name(self, project_id: str) -> str:
        project = self._projects.get(project_id)
        return project.name if project is not None else project_id

    def project(self, project_id: str) -> ProjectView:
        return self._projects[project_id]

    def projects(self) -> list[ProjectView]:
        return sorted(self._projects.values(), key=lambda project: project.name)

    def project_named(self, name: str) -> ProjectView:
        """Raises NotFound with the names that there are."""
        for project in self._projects.values():
            if project.name == name:
                return project
        known = ", ".join(project.name for project in self.projects())
        raise NotFound(f"There is no project {name!r}. Projects: {known}.", code=1004)

    def members(self, project_id: str) -> list[tuple[str, str, Membership]]:
        """(user id, name, membership) of everybody in the project."""
        return [
            (user, self.user_name(user), member)
            for (project, user), member in self._members.items()
            if project == project_id
        ]

    def members_by_project(self) -> dict[str, list[tuple[str, str, Membership]]]:
        """The same of all projects that have members, in one pass."""
        found: dict[str, list[tuple[str, str, Membership]]] = {}
        for (project, user), member in self._members.items():
            found.setdefault(project, []).append((user, self.user_name(user), member))
        return found

    def is_admin(self, project_id: str, user_id: str) -> bool:
        member = self._members.get((project_id, user_id))
        return member is not None and member.admin

    def user_id(self, name: str) -> str:
        return self._named(name).id

    def users(self) -> list[UserView]:
        return [
            UserView(
                u.name,
                tuple(self._projects[p].name for p in u.projects),
                u.operator,
                u.revoked is not None,
                u.created,
            )
            for u in sorted(self._users.values(), key=lambda u: u.created)
        ]

    # changes

    async def add(self, name: str, project_name: str, *, operator: bool = False) -> NewKey:
        """A user in a project, with a new API key. A user who exists joins the project with a further key."""
        check_name("user", name)
        check_name("project", project_name)
        now = self._now()
        project = next((p for p in self._projects.values() if p.name == project_name), None)
        user = next((u for u in self._users.values() if u.name == name), None)
        new_project, new_user = project is None, user is None
        if project is None:
            project = self._new_project(project_name)
        if user is None:
            user = _User(new_id("u"), name, operator, now)
        elif user.revoked is not None:
            raise Conflict(f"User {name} has been revoked. Choose another name.")
        elif operator and not user.operator:
            raise Conflict(
                f"User {name} exists and is no operator, which cannot be changed. Choose another name."
            )
        elif project.id in user.projects:
            raise Conflict(f"User {name} is in project {project_name} already, and has a key for it.")
        self._members[project.id, user.id] = Membership()
        key = new_api_key()
        project_row = {
            "id": project.id,
            "name": project.name,
            "crn": project.crn,
            "created_at": project.created,
        }
        user_row = {"id": user.id, "name": name, "operator": operator, "created_at": now}
        joined = {"user_id": user.id, "project_id": project.id, "created_at": now}
        digest = sha256(key.encode())
        key_row = {"hash": digest, "user_id": user.id, "created_at": now}

        def work(c: Connection) -> None:
            if new_project:
                c.execute(insert(t.projects), project_row)
            if new_user:
                c.execute(insert(t.users), user_row)
            c.execute(insert(t.memberships), joined)
            c.execute(insert(t.api_keys), key_row)

        # in memory first: the next call must see it, and the order of writes is the order of calls
        self._projects[project.id] = project
        self._users[user.id] = user
        user.projects.append(project.id)
        self._keys[digest] = user.id
        try:
            await self._store.write(work)
        except Exception:  # who is not in the store must not be let in
            del self._keys[digest]
            user.projects.remove(project.id)
            if new_user:
                del self._users[user.id]
            if new_project:
                del self._projects[project.id]
            raise
        return NewKey(name, project.name, project.crn, key)

    def _new_project(self, name: str) -> ProjectView:
        guid = str(uuid.uuid4())
        crn = f"crn:v1:bluemix:public:quantum-computing:us-east:a/{self._account}:{guid}::"
        return ProjectView(guid, name, crn, created=self._now())

    async def add_project(
        self, name: str, settled: Callable[[ProjectView], ProjectView] = lambda new: new
    ) -> ProjectView:
        """A project without users yet; `settled` says what it is to be instead of the default."""
        check_name("project", name)
        if any(project.name == name for project in self._projects.values()):
            raise Conflict(f"There is a project {name} already. `sojourn projects set` changes it.")
        project = settled(self._new_project(name))
        self._projects[project.id] = project
        row = {"id": project.id, "name": name, "crn": project.crn, "created_at": project.created}

        def work(c: Connection) -> None:
            c.execute(insert(t.projects), row)
            save(c, [_row(project)], [], {})

        await self._store.write(work, need=Need.MUST)
        return project

    async def put(
        self,
        *,
        projects: Sequence[ProjectView] = (),
        members: Mapping[tuple[str, str], Membership] | None = None,
        accounts: Mapping[str, float] | None = None,
    ) -> None:
        """New values for what is there: whole projects, memberships by (project id, user id), weights."""
        projects = [p for p in projects if self._projects.get(p.id) != p]
        members = {k: v for k, v in (members or {}).items() if self._members.get(k) != v}
        accounts = {k: v for k, v in (accounts or {}).items() if self.account_weights.get(k) != v}
        if not (projects or members or accounts):  # as at most starts: nothing has to find room on the disk
            return
        self._projects.update({project.id: project for project in projects})
        self._members.update(members)
        self.account_weights.update(accounts)
        rows = [_row(project) for project in projects]
        joined = [MemberRow(p, u, m.weight, m.admin) for (p, u), m in members.items()]
        await self._store.write(lambda c: save(c, rows, joined, accounts), need=Need.MUST)

    def check_instance(self, who: Principal, instance: str | None) -> None:
        """A body may repeat the instance in which the caller acts. Raises BadRequest for another one."""
        own = self.project(who.project_id)
        if instance is not None and instance not in (own.crn, own.name) and instance.lower() != AUTO:
            raise BadRequest(
                f"Field 'instance' is {instance[:200]!r}, but the request is made in instance {own.crn} "
                f"(project {own.name}). Name the instance in the header Service-CRN, and leave the field out."
            )

    async def new_key(self, name: str) -> str:
        """A further key for a user who exists."""
        user = self._named(name)
        key = new_api_key()
        digest = sha256(key.encode())
        row = {"hash": digest, "user_id": user.id, "created_at": self._now()}
        self._keys[digest] = user.id
        await self._store.write(lambda c: c.execute(insert(t.api_keys), row) and None, need=Need.MUST)
        return key

    async def revoke(self, name: str) -> None:
        """Every key and token of the user ends now; the user's jobs stay. Twice is no error."""
        user = self._named(name)
        if user.operator and not any(
            u.operator and u.revoked is None for u in self._users.values() if u is not user
        ):
            raise Conflict(
                f"User {name} is the last operator; without one nobody could administrate the server. Add "
                "another operator first."
            )
        if user.revoked is None:
            user.revoked = self._now()
            change = update(t.users).where(t.users.c.id == user.id).values(revoked_at=user.revoked)
            await self._store.write(lambda c: c.execute(change) and None, need=Need.MUST)

    def has(self, name: str) -> bool:
        return any(u.name == name for u in self._users.values())

    def _named(self, name: str) -> _User:
        for user in self._users.values():
            if user.name == name:
                return user
        known = ", ".join(sorted(u.name for u in self._users.values()))
        raise NotFound(f"There is no user {name!r}. Users: {known}.", code=1004)


def check_name(what: str, name: str) -> None:
    """Raises BadRequest for what is no name of a user, project or account."""
    if not re.fullmatch(TITLE, name):
        raise BadRequest(
            f"{name!r} is no {what} name: 1 to 64 letters, digits and . _ @ -, beginning with a letter "
            "or digit."
        )
    if name == SYSTEM and what != "account":
        raise BadRequest(
            f"{name!r} is what the service's own jobs and their usage are shown under. Choose another name."
        )


def _row(project: ProjectView) -> ProjectRow:
    return ProjectRow(
        project.id,
        project.account,
        project.weight,
        project.allocation,
        project.plan,
        json.dumps(dict(project.limits)),
        json.dumps(project.tags),
    )

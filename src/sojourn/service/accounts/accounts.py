"""Changes who may use the service: projects, users and memberships, in memory and written through to the
store.

What is asked of them is in `accounts.directory`, their API keys in `accounts.keys`.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence

from sojourn import crn
from sojourn.config.values import SYSTEM, TITLE
from sojourn.service.accounts.directory import SYSTEM_PROJECT, SYSTEM_USER, Directory, Membership, User
from sojourn.service.accounts.keys import Keys
from sojourn.service.errors import BadRequest, Conflict
from sojourn.service.ids import new_id
from sojourn.service.views import NewKey, ProjectView
from sojourn.store import accounts as stored
from sojourn.store.accounts import MemberRow, ProjectRow
from sojourn.store.audit import Entry
from sojourn.store.database import Database, Work, bound, run_all


def _nothing(_: object) -> None:
    """What is written along with a change where nothing is."""


class Accounts(Directory):
    def __init__(self, store: Database, now: Callable[[], float], keys_per_user: int = 50) -> None:
        super().__init__(Keys(store, now, keys_per_user))
        self._store = store
        self._now = now
        self.signing_key = b""
        self._account = ""

    async def load(self) -> None:
        rows = await self._store.read(stored.everybody)
        meta = rows.meta
        if "signing_key" not in meta:
            meta = {"signing_key": secrets.token_bytes(32), "account": secrets.token_hex(16).encode()}
            await self._store.write(stored.add_meta, meta)
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
            for r in rows.projects
            if r.id != SYSTEM_PROJECT
        }
        self.account_weights = rows.weights
        self._users = {
            r.id: User(r.id, r.name, r.operator, r.created_at, r.revoked_at)
            for r in rows.users
            if r.id != SYSTEM_USER
        }
        if len(self._users) == len(rows.users):
            await self._store.write(stored.add_system, SYSTEM_PROJECT, SYSTEM_USER, self._now())
        for row in rows.memberships:
            self._users[row.user_id].projects.append(row.project_id)
            self._members[row.project_id, row.user_id] = Membership(row.weight, row.admin)
        self.keys.load(rows.keys)

    # changes

    async def add(
        self,
        name: str,
        project_name: str,
        entry: Entry,
        *,
        operator: bool = False,
        anew: bool = False,
        key_name: str | None = None,
    ) -> NewKey:
        """A user in a project, with a new API key, which acts in that project unless a request says
        otherwise. A user who exists joins the project. `anew`: the name is that of a revoked user, who
        keeps everything under another name, and the new one has nothing of it."""
        check_name("user", name)
        check_name("project", project_name)
        now = self._now()
        project = next((p for p in self._projects.values() if p.name == project_name), None)
        user = next((u for u in self._users.values() if u.name == name), None)
        former = None
        if user is not None and user.revoked is not None:
            if not anew:
                raise Conflict(
                    f"User {name} has been revoked. `sojourn users restore {name}` brings the user back; "
                    f"`sojourn users add {name} --anew` gives the name to somebody else."
                )
            former, user = user, None
        new_project, new_user = project is None, user is None
        if project is None:
            project = self._new_project(project_name)
        if user is None:
            user = User(new_id("u"), name, operator, now)
        elif anew:
            raise Conflict(f"User {name} exists and has not been revoked; the name cannot be given away.")
        elif operator and not user.operator:
            raise Conflict(
                f"User {name} exists and is not an operator, which cannot be changed. Choose another name."
            )
        elif project.id in user.projects:
            raise Conflict(
                f"User {name} is in project {project_name} already. `sojourn keys add` makes another key."
            )
        if key_name is None:
            made = self.keys.prepare(user.id, name, name=None, project=project.id, expires=None)
        else:
            made = self.keys.made(user.id, key_name)
        renamed = self._former_name(name) if former is not None else name
        work: list[Work[None]] = []
        if former is not None:
            work.append(bound(stored.rename_user, former.id, renamed))
        if new_project:
            work.append(bound(stored.add_project, project.id, project.name, project.crn, project.created))
        if new_user:
            work.append(bound(stored.add_user, user.id, name, operator, now))
        work.append(bound(stored.add_member, user.id, project.id, now))

        # in memory first: the next call must see it, and the order of writes is the order of calls
        if former is not None:
            former.name = renamed
        self._projects[project.id] = project
        self._users[user.id] = user
        user.projects.append(project.id)
        self._members[project.id, user.id] = Membership()
        work.append(self.keys.changing(new=[made.key]))
        try:
            await self._store.write(run_all, *work, entry.write)
        except Exception:  # who is not in the store must not be let in
            self.keys.changing(gone=[made.key])
            user.projects.remove(project.id)
            del self._members[project.id, user.id]
            if new_user:
                del self._users[user.id]
            if new_project:
                del self._projects[project.id]
            if former is not None:
                former.name = name
            raise
        return NewKey(name, project.name, project.crn, made.api_key)

    def _former_name(self, name: str) -> str:
        """What a revoked user is called whose name is given to somebody else."""
        taken = {u.name for u in self._users.values()}
        return next(
            former
            for number in itertools.count(1)
            if (former := f"{name[:52]}.revoked-{number}") not in taken
        )

    def _new_project(self, name: str) -> ProjectView:
        guid = str(uuid.uuid4())
        return ProjectView(guid, name, crn.of(self._account, guid), created=self._now())

    async def add_project(
        self,
        name: str,
        settled: Callable[[ProjectView], ProjectView] = lambda new: new,
        also: Work[object] = _nothing,
    ) -> ProjectView:
        """A project without users yet; `settled` says what it is to be instead of the default."""
        check_name("project", name)
        if any(project.name == name for project in self._projects.values()):
            raise Conflict(f"There is a project {name} already. `sojourn projects set` changes it.")
        project = settled(self._new_project(name))
        self._projects[project.id] = project
        await self._store.must_write(
            run_all,
            bound(stored.add_project, project.id, name, project.crn, project.created),
            bound(stored.save, [_row(project)], [], {}),
            also,
        )
        return project

    async def put(
        self,
        *,
        projects: Sequence[ProjectView] = (),
        members: Mapping[tuple[str, str], Membership] | None = None,
        accounts: Mapping[str, float] | None = None,
        also: Work[object] = _nothing,
    ) -> None:
        """New values for what is there: whole projects, memberships by (project id, user id), weights."""
        projects = [p for p in projects if self._projects.get(p.id) != p]
        # whoever has left meanwhile stays out
        members = {k: v for k, v in (members or {}).items() if self._members.get(k) not in (None, v)}
        accounts = {k: v for k, v in (accounts or {}).items() if self.account_weights.get(k) != v}
        if not (projects or members or accounts) and also is _nothing:
            return  # as at most starts: nothing has to find room on the disk
        self._projects.update({project.id: project for project in projects})
        self._members.update(members)
        self.account_weights.update(accounts)
        rows = [_row(project) for project in projects]
        joined = [MemberRow(p, u, m.weight, m.admin) for (p, u), m in members.items()]
        await self._store.must_write(run_all, bound(stored.save, rows, joined, accounts), also)

    async def revoke(self, name: str, entry: Entry) -> bool:
        """Every key and token of the user ends now, for good; the user's jobs stay. False when that was so
        before."""
        user = self._named(name)
        if user.operator and not any(
            u.operator and u.revoked is None for u in self._users.values() if u is not user
        ):
            raise Conflict(
                f"User {name} is the last operator; without one nobody could administrate the server. Add "
                "another operator first."
            )
        if user.revoked is not None:
            return False
        user.revoked = self._now()
        revoked = bound(stored.set_revoked, user.id, user.revoked)
        ended = self.keys.changing(gone=self.keys.of_user(user.id))
        await self._store.must_write(run_all, revoked, ended, entry.write)
        return True

    async def restore(self, name: str, entry: Entry) -> NewKey:
        """A revoked user is back, with the projects and jobs of then and a new key; no key of then works."""
        user = self._named(name)
        if user.revoked is None:
            raise Conflict(f"User {name} has not been revoked.")
        made = self.keys.prepare(user.id, name, name=None, project=None, expires=None)
        revoked, user.revoked = user.revoked, None
        keyed = self.keys.changing(new=[made.key])
        back = bound(stored.set_revoked, user.id, None)
        try:
            await self._store.write(run_all, back, keyed, entry.write)
        except Exception:
            user.revoked = revoked
            self.keys.changing(gone=[made.key])
            raise
        first = self._projects[user.projects[0]] if user.projects else None
        return NewKey(name, first.name if first else "", first.crn if first else "", made.api_key)

    async def leave(self, name: str, project_name: str, entry: Entry) -> bool:
        """The user is not in the project any more, from now on. False when that was so before."""
        user, project = self._named(name), self.project_named(project_name)
        if project.id not in user.projects:
            return False
        if user.operator and user.revoked is None and user.projects == [project.id]:
            raise Conflict(
                f"{project_name} is the only project of {name}, who is an operator and needs one to act in. "
                f"Add {name} to another project first."
            )
        user.projects.remove(project.id)
        del self._members[project.id, user.id]
        self.keys.tell(user.id)
        gone = bound(stored.remove_member, user.id, project.id)
        await self._store.must_write(run_all, gone, entry.write)
        return True


def check_name(what: str, name: str) -> None:
    """Raises BadRequest for what is not a valid name of a user, project or account."""
    if not re.fullmatch(TITLE, name):
        raise BadRequest(
            f"The {what} name {name!r} is not valid: it has 1 to 64 letters, digits and . _ @ -, and begins "
            "with a letter or digit."
        )
    if name == SYSTEM and what != "account":
        raise BadRequest(
            f"{name!r} is reserved for the service's own jobs and their usage. Choose another name."
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

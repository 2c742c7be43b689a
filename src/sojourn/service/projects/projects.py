"""Who is entitled to what: weights, allocations, plans, limits and admins of projects (R48, R50).

They can be changed while the service runs. What the configuration states holds: it is written at every start,
and a command that would change it is refused. The tree itself is the core's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sojourn import codes
from sojourn.config import LimitsSettings, ProjectSettings, Settings, as_tags, check_limits
from sojourn.core import events as ev
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.fair_share.usage import UsageMeter
from sojourn.service.accounts.accounts import Accounts, check_name
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Membership
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import BadRequest, Conflict, NotFound
from sojourn.service.lanes.records import Records
from sojourn.service.lanes.registry import Lanes
from sojourn.service.projects.limits import Limits
from sojourn.service.timing.clock import Clock
from sojourn.service.views import Principal, ProjectView

PLANS = ("open", "premium")
HEAVIEST = 1e9


@dataclass(frozen=True, slots=True)
class MemberChange:
    """None leaves as it is."""

    weight: float | None = None
    admin: bool | None = None


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """None leaves as it is. `unlimited` takes the allocation away; a limit of None, the project's own one."""

    account: str | None = None
    weight: float | None = None
    allocation: float | None = None
    unlimited: bool = False
    plan: str | None = None
    limits: Mapping[str, float | None] = field(default_factory=dict)
    tags: Sequence[str] | None = None
    members: Mapping[str, MemberChange] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """`used` device seconds in the window, `pending` jobs that have not ended."""

    name: str
    weight: float
    admin: bool
    used: float
    pending: int


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project with what it has used in the fair-share window.

    `limits` are those that hold, `own_limits` the names of those that are its own. `configured` are the
    fields that the configuration states. `exhausted`: the allocation is used up (R50).
    """

    project: ProjectView
    account_weight: float
    limits: LimitsSettings
    own_limits: tuple[str, ...]
    used: float
    exhausted: bool
    pending: int
    members: tuple[MemberInfo, ...]
    configured: tuple[str, ...]


class Projects:
    """`meter` counts the usage of all devices together."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        accounts: Accounts,
        audit: Audit,
        records: Records,
        lanes: Lanes,
        limits: Limits,
        meter: UsageMeter,
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._audit = audit
        self._records = records
        self._lanes = lanes
        self._limits = limits
        self._meter = meter
        self._stated = {project.name: project for project in settings.projects}
        self._stated_weights = {account.name: account.weight for account in settings.accounts}

    # the configuration

    async def configure(self) -> None:
        """Write down what the configuration states; before the lanes are made."""
        accounts = self._accounts
        there = {project.name for project in accounts.projects()}
        for name in self._stated:
            if name not in there:
                await accounts.add_project(name)
        changed = [_as_stated(accounts.project_named(s.name), s) for s in self._stated.values()]
        members = {
            (view.id, user): self._member_as_stated(view.name, name, member)
            for view in changed
            for user, name, member in accounts.members(view.id)
        }
        await accounts.put(projects=changed, members=members, accounts=self._stated_weights)

    async def user_added(self, user: str, project: str) -> None:
        """A user has come into a project: the configuration may have something to say about it."""
        view, identity = self._accounts.project_named(project), self._accounts.user_id(user)
        member = self._member_as_stated(project, user, Membership())
        if member != Membership():
            await self._accounts.put(members={(view.id, identity): member})
            await self.publish()

    def _member_as_stated(self, project: str, user: str, member: Membership) -> Membership:
        stated = self._stated.get(project)
        if stated is None:
            return member
        if "users" in stated.model_fields_set:
            member = replace(member, weight=stated.users.get(user, 1.0))
        if "admins" in stated.model_fields_set:
            member = replace(member, admin=user in stated.admins)
        return member

    # the tree

    def shares(self) -> Shares:
        """Everybody's entitlements, as the lanes take them."""
        accounts = self._accounts
        projects = accounts.projects()
        return Shares(
            dict(accounts.account_weights),
            {p.id: ProjectShare(p.account, p.weight, p.allocation) for p in projects},
            {
                (project, user): member.weight
                for project, members in accounts.members_by_project().items()
                for user, _, member in members
                if member.weight != 1.0
            },
        )

    async def publish(self) -> None:
        """What is stored holds from now on, on every device."""
        shares = self.shares()
        self._limits.changed()
        dispatchers = self._lanes.dispatchers.values()
        await asyncio.gather(*(each.feed(ev.SharesChanged(shares)) for each in dispatchers))

    # look

    def find(self, who: Principal) -> list[ProjectInfo]:
        """By name: an operator's list has all of them."""
        accounts = self._accounts
        found = accounts.projects() if may(who, Action.SEE_PROJECT) else accounts.projects_of(who.user_id)
        self._meter.expire(self._clock.now())
        members = accounts.members_by_project()
        infos = sorted(found, key=lambda p: p.name)
        return [self._info(project, members.get(project.id, ()), who) for project in infos]

    def get(self, who: Principal, name: str) -> ProjectInfo:
        """Raises NotFound for a project that is not there or not the caller's."""
        found = self.find(who)
        for info in found:
            if info.project.name == name:
                return info
        known = ", ".join(info.project.name for info in found)
        raise NotFound(
            f"There is no project {name!r} of yours. Projects: {known}.", code=codes.UNKNOWN_ACCOUNT
        )

    def _info(
        self,
        project: ProjectView,
        everybody: Sequence[tuple[str, str, Membership]],
        who: Principal | None = None,
    ) -> ProjectInfo:
        """As `who` may see it; `everybody` are its members."""
        there, usage = self._records.open_jobs, self._meter
        admin = who is not None and any(m.admin for u, _, m in everybody if u == who.user_id)
        sees_all = who is None or may(who, Action.SEE_MEMBERS, admin=admin)
        members = tuple(
            MemberInfo(name, m.weight, m.admin, usage.used(project.id, user), there.count((project.id, user)))
            for user, name, m in everybody
            if sees_all or (who is not None and user == who.user_id)
        )
        stated = self._stated.get(project.name)
        return ProjectInfo(
            project=project,
            account_weight=self._accounts.account_weights.get(project.account, 1.0),
            limits=self._limits.of(project.id),
            own_limits=tuple(project.limits),
            used=usage.used(project.id),
            exhausted=project.allocation is not None and usage.used(project.id) >= project.allocation,
            pending=there.count((project.id,)),
            members=members,
            configured=tuple(sorted(stated.model_fields_set - {"name"})) if stated else (),
        )

    def accounts(self) -> dict[str, float]:
        """Every account that has a weight or a project."""
        named = {project.account: 1.0 for project in self._accounts.projects()}
        return dict(sorted((named | self._accounts.account_weights).items()))

    # change

    async def create(self, who: Principal, name: str, change: ProjectChange) -> ProjectInfo:
        """A project ahead of its first user: made as it is to be in one step, or not at all."""
        self._check(None, change)
        if change.members:
            named = ", ".join(repr(user) for user in change.members)
            raise BadRequest(
                f"A new project has no users yet, and {named} was named. Make it, add users with "
                f"`sojourn users add NAME --project {name}`, then set their weights."
            )
        entry = self._audit.entry(who, "project.added", f"project {name}", **_said(change))
        made = await self._accounts.add_project(name, lambda project: _changed(project, change), entry.write)
        self._audit.done(entry)
        await self.publish()
        return self._info(made, self._accounts.members(made.id))

    async def change(self, who: Principal, name: str, change: ProjectChange) -> ProjectInfo:
        """Stored, then published to every device."""
        accounts = self._accounts
        view = accounts.project_named(name)
        self._check(self._stated.get(name), change)
        there = {user: (identity, member) for identity, user, member in accounts.members(view.id)}
        members = {}
        for user, wanted in change.members.items():
            if user not in there:
                known = ", ".join(sorted(there)) or "none"
                raise NotFound(
                    f"There is no user {user!r} in project {name}. Users: {known}.",
                    code=codes.UNKNOWN_ACCOUNT,
                )
            identity, member = there[user]
            members[view.id, identity] = Membership(
                member.weight if wanted.weight is None else wanted.weight,
                member.admin if wanted.admin is None else wanted.admin,
            )
        changed = _changed(view, change)
        entry = self._audit.entry(who, "project.changed", f"project {name}", **_said(change))
        await accounts.put(projects=[changed], members=members, also=entry.write)
        self._audit.done(entry)
        await self.publish()
        return self._info(changed, accounts.members(changed.id))

    async def weigh(self, who: Principal, account: str, weight: float) -> None:
        """An account's weight; the account need not have a project yet."""
        check_name("account", account)
        _check_weight(f"The weight of account {account}", weight)
        if account in self._stated_weights:
            raise _is_configured(f"account {account}", "weight")
        entry = self._audit.entry(who, "account.changed", f"account {account}", weight=weight)
        await self._accounts.put(accounts={account: weight}, also=entry.write)
        self._audit.done(entry)
        await self.publish()

    def _check(self, stated: ProjectSettings | None, change: ProjectChange) -> None:
        if change.account is not None:
            check_name("account", change.account)
        if change.weight is not None:
            _check_weight("The project's weight", change.weight)
        for user, member in change.members.items():
            if member.weight is not None:
                _check_weight(f"The weight of user {user}", member.weight)
        if change.allocation is not None and not 0 <= change.allocation < float("inf"):
            raise BadRequest(
                f"allocation is {change.allocation}; it is device seconds, 0 or more; null is no limit."
            )
        if change.plan is not None and change.plan not in PLANS:
            raise BadRequest(f"plan is {change.plan!r}; it must be one of {', '.join(PLANS)}.")
        try:
            check_limits({name: 1.0 if value is None else value for name, value in change.limits.items()})
        except ValueError as error:
            raise BadRequest(f"The limits cannot be set: {error}.") from None
        try:
            as_tags(change.tags or ())
        except ValueError as error:
            raise BadRequest(f"The tags cannot be set: {error}.") from None
        if stated is None:
            return
        wanted = {
            "account": change.account is not None,
            "weight": change.weight is not None,
            "allocation": change.allocation is not None or change.unlimited,
            "plan": change.plan is not None,
            "limits": bool(change.limits),
            "tags": change.tags is not None,
            "users": any(m.weight is not None for m in change.members.values()),
            "admins": any(m.admin is not None for m in change.members.values()),
        }
        for name, is_wanted in wanted.items():
            if is_wanted and name in stated.model_fields_set:
                raise _is_configured(f"project {stated.name}", name)


def _said(change: ProjectChange) -> dict[str, Any]:
    """What the change says, for the audit."""
    said = {name: value for name, value in asdict(change).items() if value not in (None, False, {}, [])}
    if change.members:
        said["members"] = {
            user: {name: value for name, value in member.items() if value is not None}
            for user, member in said["members"].items()
        }
    return said


def _changed(view: ProjectView, change: ProjectChange) -> ProjectView:
    own = {**view.limits, **{k: v for k, v in change.limits.items() if v is not None}}
    for limit, value in change.limits.items():
        if value is None:
            own.pop(limit, None)
    allocation = view.allocation if change.allocation is None else change.allocation
    return replace(
        view,
        account=view.account if change.account is None else change.account,
        weight=view.weight if change.weight is None else change.weight,
        allocation=None if change.unlimited else allocation,
        plan=view.plan if change.plan is None else change.plan,
        limits=own,
        tags=view.tags if change.tags is None else as_tags(change.tags),
    )


def _as_stated(view: ProjectView, stated: ProjectSettings) -> ProjectView:
    given = {
        "account": stated.account,
        "weight": stated.weight,
        "allocation": stated.allocation,
        "plan": stated.plan,
        "limits": stated.limits,
        "tags": stated.tags,
    }
    named = {name: value for name, value in given.items() if name in stated.model_fields_set}
    return replace(view, **named)  # type: ignore[arg-type]


def _is_configured(what: str, name: str) -> Conflict:
    return Conflict(
        f"The configuration states {name!r} of {what}, which takes precedence. Change it there and restart "
        "the server, or take it out of the configuration."
    )


def _check_weight(what: str, weight: float) -> None:
    if not 0 <= weight <= HEAVIEST:
        raise BadRequest(f"{what} is {weight}; it must be 0 (only when nobody else waits) to {HEAVIEST:g}.")

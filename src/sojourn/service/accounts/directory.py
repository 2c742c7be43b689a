"""Who there is: projects, users, memberships and keys, in memory, as everybody asks for them.

Changes nothing: that is `sojourn.service.accounts.accounts`, which writes through to the store.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sojourn import codes
from sojourn.config.values import SYSTEM
from sojourn.service.accounts.keys import Key, Keys
from sojourn.service.errors import BadRequest, Forbidden, NotFound, WrongCredentials
from sojourn.service.views import Principal, ProjectView, UserView

AUTO = "auto"
"""In the place of a CRN: the caller's only instance."""

SYSTEM_USER = SYSTEM_PROJECT = SYSTEM
"""The ids that the system's own jobs carry. They are rows for the database's sake: no keys, nobody's names,
and not in memory, so that nobody is shown them, joins them or speaks for them."""


@dataclass(slots=True)
class User:
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


class Directory:
    def __init__(self, keys: Keys) -> None:
        self._users: dict[str, User] = {}
        self._projects: dict[str, ProjectView] = {}
        self.keys = keys
        self._members: dict[tuple[str, str], Membership] = {}  # (project id, user id)
        self.account_weights: dict[str, float] = {}

    # who calls

    def by_key(self, api_key: str) -> str | None:
        """The user of a key that is in force."""
        try:
            return self.keys.of_secret(api_key).user
        except WrongCredentials:
            return None

    def check(self, who: Principal) -> None:
        """Raises WrongCredentials or Forbidden for a user who has been revoked, or taken out of the project,
        since the caller was known."""
        if who.project_id not in self._not_revoked(who.user_id).projects:
            raise Forbidden(f"User {who.user} is not in project {who.project} any more.")

    def check_user(self, user_id: str) -> None:
        """Raises WrongCredentials for a user who has been revoked."""
        self._not_revoked(user_id)

    def _not_revoked(self, user_id: str) -> User:
        user = self._users.get(user_id)
        if user is None or user.revoked is not None:
            raise WrongCredentials("These credentials are not valid (any more). Ask an operator for a key.")
        return user

    def principal(
        self, user_id: str, crn: str | None, key: Key | None = None, *, address: str = "", request: str = ""
    ) -> Principal:
        """The caller in the project that the CRN names; without one in that of the key, or else in the user's
        first project.

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
        own = key.project if key is not None and crn is None else None
        for project in projects:
            if project.id == own if own is not None else crn in (None, project.crn):
                admin = self._members[project.id, user.id].admin
                key_id, ends = (None, None) if key is None else (key.id, key.expires)
                return Principal(
                    user.id,
                    user.name,
                    project.id,
                    project.name,
                    user.operator,
                    admin,
                    key_id,
                    ends,
                    address,
                    request,
                )
        named = ", ".join(f"{p.name} ({p.crn})" for p in projects)
        if not projects:
            raise Forbidden(
                f"User {user.name} does not belong to a project. Ask an operator to be added to one."
            )
        if own is not None:
            raise Forbidden(
                f"This API key is for project {self.project_name(own)}, which {user.name} has left. "
                f"Name an instance in the header Service-CRN ({named}), or use another key."
            )
        raise Forbidden(f"User {user.name} is not in the instance {crn!r}. Instances of this user: {named}.")

    def projects_of(self, user_id: str, key: Key | None = None) -> list[ProjectView]:
        """The oldest membership first, or the project of the key."""
        user = self._users.get(user_id)
        found = [self._projects[p] for p in user.projects] if user is not None else []
        if key is not None and key.project is not None:
            found.sort(key=lambda project: project.id != key.project)
        return found

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
        raise NotFound(f"There is no project {name!r}. Projects: {known}.", code=codes.UNKNOWN_ACCOUNT)

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

    def is_operator(self, user_id: str) -> bool:
        user = self._users.get(user_id)
        return user is not None and user.operator and user.revoked is None

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

    def check_instance(self, who: Principal, instance: str | None) -> None:
        """A body may repeat the instance in which the caller acts. Raises BadRequest for another one."""
        own = self.project(who.project_id)
        if instance is not None and instance not in (own.crn, own.name) and instance.lower() != AUTO:
            raise BadRequest(
                f"Field 'instance' is {instance[:200]!r}, but the request is made in instance {own.crn} "
                f"(project {own.name}). Name the instance in the header Service-CRN, and leave the field out."
            )

    def revoked(self, name: str) -> bool:
        """Raises NotFound with the names that there are."""
        return self._named(name).revoked is not None

    def has(self, name: str) -> bool:
        return any(u.name == name for u in self._users.values())

    def _named(self, name: str) -> User:
        for user in self._users.values():
            if user.name == name:
                return user
        known = ", ".join(sorted(u.name for u in self._users.values()))
        raise NotFound(f"There is no user {name!r}. Users: {known}.", code=codes.UNKNOWN_ACCOUNT)

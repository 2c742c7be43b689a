"""How much a project has stored, and whether it may store more (`stored_mb`, R50).

A job's inputs count from its submit on and its result when there is one: the result that crosses the limit is
kept, and nothing of the project is taken or started after it.
"""

from __future__ import annotations

from sojourn.service.accounts.directory import Directory
from sojourn.service.projects.limits import Limits
from sojourn.store import Database, jobs


class Storage:
    def __init__(self, store: Database, accounts: Directory, limits: Limits) -> None:
        self._store = store
        self._accounts = accounts
        self._limits = limits

    async def over(self, project: str, more: int = 0) -> str | None:
        """Why the project (id) may not store `more` bytes; None when it may. Asks the store only if there is
        a limit."""
        limit = self._limits.of(project).stored_mb
        if not limit:
            return None
        used = (await self._store.read(jobs.stored_bytes, project)).get(project, 0)
        if used + more <= limit * 1e6 and (more or used < limit * 1e6):
            return None
        name = self._accounts.project_name(project)
        asked = f" and this job's inputs are {more / 1e6:.6g} MB" if more else ""
        return (
            f"The jobs of project {name} have stored {used / 1e6:.6g} MB{asked}; the limit is {limit:g} MB "
            "(stored_mb). Delete jobs that are not needed any more (`service.delete_job(ID)` in a Qiskit "
            "program): that deletes their inputs and results."
        )

    async def stored(self) -> dict[str, int]:
        """Bytes that each project (id) has stored; those that have none are left out."""
        return await self._store.read(jobs.stored_bytes)

"""For operators: who there is, and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from sojourn.dashboard.charts import shares
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.moments import moment
from sojourn.dashboard.pages.parts import heading, table
from sojourn.dashboard.pages.people import Person


def add_pages(frame: Frame) -> None:
    frame.page("/operators", "Operators")(operators)


async def operators(caller: Caller) -> None:
    heading("Operators")
    if not caller.visitor.operator:
        ui.label("This page is for operators.").classes("panel")
        return
    heading("Users", 2)
    users = ui.element("div").classes("w-full")
    person = Person(caller)
    heading("Projects", 2)
    projects = ui.element("div").classes("w-full")
    with ui.element("div").classes("panel"):
        heading("Shares", 2)
        ui.label(
            "Accounts, projects and users: the part of its level that each has used, and its share of it."
        ).classes("quiet")
        shown = ui.echart({}).classes("w-full").style("height: 420px")
        shown.props('role="img" aria-label="The share tree by use"')
    heading("What was done", 2)
    audit = ui.element("div").classes("w-full")

    async def look() -> None:
        there = (await caller.get("/users"))["users"]
        person.know(there)
        rows = [
            {
                "name": each["name"],
                "projects": ", ".join(each["projects"]),
                "what": "operator" if each["operator"] else "",
                "state": "revoked" if each["revoked"] else "",
            }
            for each in there
        ]
        columns = {"name": "User", "projects": "Projects", "what": "Role", "state": "State"}
        table(users, columns, rows, empty="No users. Add one: sojourn users add NAME --project P.")
        found = (await caller.get("/projects"))["projects"]
        shown.options.clear()
        shown.options.update(shares.tree(found))
        shown.update()
        rows = [
            {
                "name": each["name"],
                "account": f"{each['account']} (weight {each['account_weight']:g})",
                "weight": f"{each['weight']:g}",
                "used": f"{each['used_seconds']:.6g} s",
                "of": "" if each["allocation"] is None else f"{each['allocation']:g} s",
                "limits": _limits(each),
                "pending": each["pending"],
            }
            for each in found
        ]
        columns = {
            "name": "Project",
            "account": "Account",
            "weight": "Weight",
            "used": "Used",
            "of": "Allocation",
            "limits": "Own limits",
            "pending": "Pending jobs",
        }
        table(projects, columns, rows, empty="No projects.")
        rows = [
            {
                "at": moment(each["at"]),
                "by": each["by"],
                "action": each["action"],
                "subject": each["subject"],
                "detail": ", ".join(f"{k}: {v}" for k, v in each["detail"].items()),
            }
            for each in (await caller.get("/audit", limit=50))["entries"]
        ]
        columns = {"at": "When", "by": "Who", "action": "What", "subject": "To what", "detail": "Detail"}
        table(audit, columns, rows, empty="Nothing yet.")

    # What operators do, and what is used, are no events.
    refreshing(caller, look, lambda event: event["kind"] == "device", 10.0)


def _limits(project: Mapping[str, Any]) -> str:
    """Those that are the project's own; the others are the configuration's."""
    return ", ".join(f"{name} {project['limits'][name]:g}" for name in sorted(project["own_limits"]))

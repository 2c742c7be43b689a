"""One's jobs, and the page of each: history, why it waits, what it said, what came out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from sojourn.dashboard import forecasts, inputs
from sojourn.dashboard.charts import results
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.looking import OFTEN
from sojourn.dashboard.moments import html, lasting, when
from sojourn.dashboard.pages.parts import ask, facts, heading, named, put, table
from sojourn.dashboard.upstream import UpstreamError

FINAL = ("completed", "failed", "cancelled")
CLASSES = {"sampler": "SamplerV2", "estimator": "EstimatorV2"}
"""The client's class for each program whose inputs it can give back."""
MOST_INPUTS = 2_000_000
"""Bytes of inputs that are read to show what was asked."""


def add_pages(frame: Frame) -> None:
    frame.page("/jobs", "Jobs")(every)
    frame.page("/jobs/{id}", "Job")(one)


async def every(caller: Caller) -> None:
    heading("Jobs")
    holder = ui.element("div").classes("w-full")

    async def look() -> None:
        found = (await caller.get("/jobs", limit=50))["jobs"]
        rows = [
            {
                "id": job["id"],
                "link": f"/jobs/{job['id']}",
                "state": job["state"],
                "device": job["device"],
                "program": job["program"],
                "user": job["user"],
                "created": when(job["created"]),
                "starts": forecasts.short(job),
                "used": lasting(job["quantum_seconds"]),
                "reason": job["reason"],
            }
            for job in found
        ]
        columns = {
            "id": "Job",
            "state": "State",
            "device": "Device",
            "program": "Program",
            "user": "User",
            "created": "Submitted",
            **({"starts": forecasts.HEAD} if forecasts.waiting(found) else {}),
            "used": "Used",
            "reason": "Reason",
        }
        table(holder, columns, rows, link="id", empty="No jobs yet. Submit one with Qiskit; see Connecting.")

    refreshing(caller, look, lambda event: event["kind"] == "job")


async def one(caller: Caller, id: str) -> None:
    job = await caller.get(f"/jobs/{id}")
    with ui.row().classes("items-center"):
        heading("Job", mono=job["id"])
        cancel = ui.button(
            "Cancel",
            on_click=lambda: ask(f"Cancel job {id}?", partial(_cancel, caller, id)),
        ).props("no-caps outline color=negative")
        if _repeatable(caller, job):
            ui.button(
                "Run again",
                on_click=lambda: ask(
                    "Submit the same program and inputs again, as a new job?",
                    partial(_rerun, caller, id, uuid.uuid4().hex),
                ),
            ).props("no-caps outline")
    shown = ui.element("div").classes("panel")
    why = ui.element("div").classes("w-full")
    result = ui.element("div").classes("w-full column").style("gap: 16px")
    wanted = ui.element("div").classes("w-full")
    heading("History", 2)
    history = ui.element("div").classes("w-full")
    heading("In a program", 2)
    ui.code(code(job), language="python").classes("w-full")
    heading("Log", 2)
    log = ui.element("div").classes("panel")
    last: dict[str, Any] = {}

    async def look() -> None:
        if last.get("state") in FINAL:
            return
        found = await caller.get(f"/jobs/{id}")
        cancel.set_visibility(found["state"] not in FINAL)
        facts(
            shown,
            {
                "State": found["state"],
                "Reason": found["reason"],
                "Device": found["device"],
                "Program": found["program"],
                "User": f"{found['user']} in {found['project']}",
                "Session": found["session"],
                "Submitted": when(found["created"]),
                "Used": f"{lasting(found['quantum_seconds'])} of at most {lasting(found['limit_seconds'])}",
                **(forecasts.lines(found["queue"]) if found["state"] == "running" else {}),
                "Circuits": None if found["num_circuits"] is None else str(found["num_circuits"]),
                "Qubits": None if found["num_qubits"] is None else str(found["num_qubits"]),
                "Tags": ", ".join(found["tags"]) or None,
                "Warnings": " ".join(found["warnings"]) or None,
            },
        )
        await _why(caller, why, found)
        steps = (await caller.get(f"/jobs/{id}/history"))["history"]
        rows = [
            {"after": step["after"], "at": when(step["at"]), "cause": step["cause"], "reason": step["reason"]}
            for step in steps
        ]
        table(
            history,
            {"after": "State", "at": "When", "cause": "Cause", "reason": "Reason"},
            rows,
            empty="No steps yet.",
        )
        await _log(caller, log, id)
        if found["state"] == "completed":
            await _result(caller, result, found)
        if found["state"] in FINAL and _repeatable(caller, job):
            await _asked(caller, wanted, found)
        last["state"] = found["state"]

    # What a job writes into its log is no event, nor are others' jobs, which change what is expected of it.
    refreshing(caller, look, lambda event: event["device"] == job["device"], OFTEN)


async def _result(caller: Caller, holder: ui.element, job: dict[str, Any]) -> None:
    """Not of a private one, which is deleted when it is read."""
    holder.clear()
    with holder:
        heading("Result", 2)
        if job["user"] != caller.visitor.user:
            ui.label("Only its owner sees the result.").classes("panel quiet")
            return
        if job["private"]:
            ui.label("The result is private: it can be fetched once, by a program.").classes("panel quiet")
            return
        try:
            drawn = list(results.charts(await caller.dialect(f"/jobs/{job['id']}/results")))
        except (UpstreamError, results.NotDrawn) as error:
            ui.label(str(error)).classes("panel quiet")
            return
        except (ValueError, KeyError, TypeError):
            ui.label("The result cannot be drawn. Fetch it with the client.").classes("panel quiet")
            return
        for title, options in drawn:
            with ui.element("div").classes("panel"):
                ui.label(title).classes("text-bold")
                chart = ui.echart(options).classes("w-full").style("height: 280px")
                chart.props(f'role="img" aria-label="{title}"')


async def _asked(caller: Caller, holder: ui.element, job: Mapping[str, Any]) -> None:
    """Of a job that has ended: to the client's own question for one that has not, the answer may be held."""
    try:
        there = await caller.dialect(f"/jobs/{job['id']}", MOST_INPUTS)
    except (UpstreamError, ValueError):
        return
    if found := inputs.asked(job["program"], there.get("params")):
        put(holder, f'<div class="panel"><h2>What was asked</h2>{named(found)}</div>')


async def _cancel(caller: Caller, id: str) -> None:
    await caller.post(f"/jobs/{id}/cancel")


def _repeatable(caller: Caller, job: Mapping[str, Any]) -> bool:
    """One's own; the inputs of a private one are not given back."""
    mine = (job["user"], job["project"]) == (caller.visitor.user, caller.visitor.project)
    return mine and not job["private"] and job["program"] != "calibrate"


async def _rerun(caller: Caller, id: str, once: str) -> None:
    """`once` is of the question: however often it is answered, there is one new job."""
    made = await caller.post(f"/jobs/{id}/rerun", once=once)
    ui.navigate.to(f"/jobs/{made['id']}")


def code(job: Mapping[str, Any]) -> str:
    """A program that fetches the result of a job, and runs it again where the client can."""
    name = CLASSES.get(job["program"])
    imported = "QiskitRuntimeService" if name is None or job["private"] else f"QiskitRuntimeService, {name}"
    lines = [
        f"from qiskit_ibm_runtime import {imported}",
        "",
        "service = QiskitRuntimeService()  # with the variables that `sojourn env` prints",
        f'job = service.job("{job["id"]}")',
        "result = job.result()",
    ]
    if name is not None and not job["private"]:
        lines += [
            "",
            "# the same once more; the options are in job.inputs",
            f'again = {name}(service.backend("{job["device"]}")).run(job.inputs["pubs"])',
        ]
    return "\n".join(lines)


async def _why(caller: Caller, holder: ui.element, job: dict[str, Any]) -> None:
    if job["state"] not in forecasts.WAITS:
        holder.clear()
        return
    found = await caller.get(f"/jobs/{job['id']}/why")
    before = found["position"]
    place = "" if before is None else f": {before} {'job is' if before == 1 else 'jobs are'} before it"
    reasons = "".join(f"<div>{html(reason['sentence'])}</div>" for reason in found["reasons"])
    lines = forecasts.lines(found["queue"])
    expected = f"<br>{named(lines)}" if lines else ""
    put(holder, f'<div class="panel"><h2>Why it waits{place}</h2>{reasons}{expected}</div>')


async def _log(caller: Caller, holder: ui.element, id: str) -> None:
    try:
        text = str(await caller.dialect(f"/jobs/{id}/logs"))
    except UpstreamError as error:
        text = "Only its owner sees the log." if error.status == 404 else str(error)
    said = escape(text or "The job has said nothing.")
    put(holder, f'<div class="mono" style="white-space: pre-wrap">{said}</div>')

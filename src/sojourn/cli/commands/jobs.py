"""`sojourn jobs …`: looks at jobs, says why they wait, cancels them, and submits them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, listing, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import WrongCall
from sojourn.cli.grammar import Noun, Watchable
from sojourn.cli.options import Watch

COLUMNS = ("job", "state", "device", "user", "session", "age>", "waited>", "run>")
WAITS = ("accepted", "queued")

app = typer.Typer(
    cls=Noun,
    help="List and show jobs, say why they wait, cancel them, run them again.",
    epilog="""Examples:
  sojourn jobs --pending --device ibm_fez --watch
  sojourn jobs why JOB
  sojourn jobs cancel JOB
  sojourn jobs rerun JOB""",
)
_HELP = "Id of the job."
_Job = Annotated[str, typer.Argument(metavar="JOB", help=_HELP, autocompletion=completion.jobs)]
_Pending = Annotated[str, typer.Argument(metavar="JOB", help=_HELP, autocompletion=completion.pending_jobs)]


@app.command("list", cls=Watchable)
@asks_server
def list_(
    context: Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many, newest first.")] = 20,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", help="Only of this device.", autocompletion=completion.devices),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", help="Only of this session.", autocompletion=completion.sessions),
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only those that have not ended.")] = False,
    final: Annotated[bool, typer.Option("--final", help="Only those that have ended.")] = False,
    watch: Watch = None,
) -> None:
    """List the jobs, newest first."""
    if pending and final:
        raise WrongCall("a job is --pending or --final; give one of the two, or none for all jobs")
    wanted = str(pending).lower() if pending or final else None
    listing.show(
        lambda: context.api.get("/jobs", limit=limit, device=device, session=session, pending=wanted),
        _page,
        json=context.json,
        watch=watch,
    )


def _page(answer: Mapping[str, Any]) -> listing.Page:
    now = datetime.now(UTC)
    shown, count = answer["jobs"], answer["count"]
    more = [f"{len(shown)} of {count}; --limit shows more"] if count > len(shown) else []
    columns: Sequence[str] = COLUMNS
    rows = [job_row(job, now) for job in shown]
    if any(job["queue"] is not None for job in shown if job["state"] in WAITS):
        columns = (*COLUMNS, "starts>")
        rows = [[*row, starts(job, now)] for row, job in zip(rows, shown, strict=True)]
    return listing.Page(columns, rows, empty="no jobs", notes=more)


def job_row(job: Mapping[str, Any], now: datetime) -> list[object]:
    return [
        job["id"],
        job["state"],
        job["device"],
        job["user"],
        output.short(job["session"]),
        output.age(job["created"], now),
        # A job that ended without a start has waited until its end.
        output.between(job["created"], job["started"] or job["finished"], now),
        output.between(job["started"], job["finished"], now),
    ]


def starts(job: Mapping[str, Any], now: datetime) -> str | None:
    """In how long the job is expected to start; `?` when that is not known."""
    if job["state"] not in WAITS or job["queue"] is None:
        return None
    start = job["queue"]["start"]
    return output.until(start["expected"], now) if start is not None else "?"


def _forecast(queue: Mapping[str, Any] | None, now: datetime) -> list[tuple[str, object]]:
    """The lines of a forecast: what is expected, between which times in eight of ten cases, or why not."""
    if queue is None:
        return []
    if queue["unknown"] is not None:
        return [("starts", f"not known: {queue['unknown']}")]
    waits = ", ".join(f"{output.duration(w['seconds'])} {w['what']}" for w in queue["waits"])
    return [
        ("starts", output.span(queue["start"], now)),
        ("until then", waits),
        ("ends", output.span(queue["end"], now)),
    ]


@app.command("show")
@asks_server
def show_(
    context: Context,
    job_id: _Job,
) -> None:
    """Show one job and everything that happened to it."""
    api = context.api
    path = f"/jobs/{quote(job_id, safe='')}"
    job = api.get(path)
    history = api.get(f"{path}/history")["history"]
    if context.json:
        output.as_json({**job, "history": history})
        return
    now = datetime.now(UTC)
    output.facts(
        [
            ("job", job["id"]),
            ("state", job["state"]),
            ("reason", job["reason"]),
            ("code", job["reason_code"]),
            ("jobs before it", job["position"]),
            *_forecast(job["queue"], now),
            ("program", job["program"]),
            ("device", job["device"]),
            ("session", job["session"]),
            ("user", f"{job['user']} ({job['project']})"),
            ("tags", ", ".join(job["tags"])),
            ("waited", output.between(job["created"], job["started"] or job["finished"], now)),
            ("ran", output.between(job["started"], job["finished"], now)),
            ("charged", output.duration(job["quantum_seconds"]) if job["quantum_seconds"] else None),
            ("limit", output.duration(job["limit_seconds"])),
            ("circuits", job["num_circuits"]),
            ("qubits", job["num_qubits"]),
            ("executions", job["executions"]),
            ("attempt", job["attempt"] if job["attempt"] > 1 else None),
            ("warnings", "; ".join(job["warnings"])),
        ]
    )
    _history(history)


@app.command("why")
@asks_server
def why(context: Context, job_id: _Pending) -> None:
    """Say why a job waits, and how many go before it."""
    found = context.api.get(f"/jobs/{quote(job_id, safe='')}/why")
    if context.json:
        output.as_json(found)
        return
    output.facts(
        [
            ("job", found["id"]),
            ("state", found["state"]),
            ("jobs before it", found["position"]),
            *_forecast(found["queue"], datetime.now(UTC)),
        ]
    )
    if found["reasons"]:
        output.line("it waits because")
    elif found["state"] in ("accepted", "queued"):
        output.line("nothing blocks it; it is about to start")
    else:
        output.line(f"it does not wait: it is {found['state']}")
    for reason in found["reasons"]:
        output.line(f"- {reason['sentence']}")
    if found["reasons"] and found["estimated_start"] is not None:
        output.line(f"if nothing else happens it starts at {found['estimated_start']}")


@app.command("history")
@asks_server
def history_(context: Context, job_id: _Job) -> None:
    """Show what happened to a job and when."""
    answer = context.api.get(f"/jobs/{quote(job_id, safe='')}/history")
    if context.json:
        output.as_json(answer)
    else:
        _history(answer["history"])


@app.command("cancel")
@asks_server
def cancel(
    context: Context,
    job_id: _Pending,
) -> None:
    """Cancel a job in any state before its end."""
    job = context.api.post(f"/jobs/{quote(job_id, safe='')}/cancel")
    if context.json:
        output.as_json(job)
    else:
        output.line(f"{job_id} is {job['state']}")


@app.command("rerun")
@asks_server
def rerun(context: Context, job_id: _Job) -> None:
    """Submit a job of one's own again: the same program and inputs, as a new job."""
    job = context.api.post(f"/jobs/{quote(job_id, safe='')}/rerun")
    if context.json:
        output.as_json(job)
    else:
        output.line(job["id"])
        where = f"session {job['session']}" if job["session"] is not None else "no session"
        output.note(f"{job_id} runs again on {job['device']}, in {where}")


def _history(entries: Sequence[Mapping[str, Any]]) -> None:
    for entry in entries:
        because = f"  {entry['reason']}" if entry["reason"] else ""
        output.line(
            f"  {entry['at']}  {entry['cause']}: {entry['before'] or 'nothing'} → {entry['after']}{because}"
        )

"""Owns `sojourn jobs …`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import output
from sojourn.cli.context import Ask, asks
from sojourn.cli.errors import WrongCall

app = typer.Typer(help="Look at jobs, and cancel them.")
_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")]


@app.callback(invoke_without_command=True)
@asks
def jobs(
    ask: Ask,
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many, newest first.")] = 20,
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only of this device.")] = None,
    session: Annotated[str | None, typer.Option("--session", help="Only of this session.")] = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only those that have not ended.")] = False,
    final: Annotated[bool, typer.Option("--final", help="Only those that have ended.")] = False,
) -> None:
    """List the jobs, newest first."""
    if context.invoked_subcommand is not None:
        return
    if pending and final:
        raise WrongCall("a job is --pending or --final; give one of the two, or none for all jobs")
    wanted = str(pending).lower() if pending or final else None
    answer = ask.api.get("/jobs", limit=limit, device=device, session=session, pending=wanted)
    if ask.json:
        output.as_json(answer)
        return
    now = datetime.now(UTC)
    output.table(output.JOB_COLUMNS, [output.job_row(job, now) for job in answer["jobs"]], empty="no jobs")
    if answer["count"] > len(answer["jobs"]):
        output.note(f"{len(answer['jobs'])} of {answer['count']}; --limit shows more")


@app.command("show")
@asks
def show_(
    ask: Ask,
    job_id: _Id,
) -> None:
    """Show one job and everything that happened to it."""
    api = ask.api
    path = f"/jobs/{quote(job_id, safe='')}"
    job = api.get(path)
    story = api.get(f"{path}/story")["story"]
    if ask.json:
        output.as_json({**job, "story": story})
        return
    now = datetime.now(UTC)
    output.facts(
        [
            ("job", job["id"]),
            ("state", job["state"]),
            ("reason", job["reason"]),
            ("code", job["reason_code"]),
            ("jobs before it", job["position"]),
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
    for step in story:
        because = f"  {step['reason']}" if step["reason"] else ""
        output.line(
            f"  {step['at']}  {step['event']}: {step['before'] or 'nothing'} → {step['after']}{because}"
        )


@app.command("cancel")
@asks
def cancel(
    ask: Ask,
    job_id: _Id,
) -> None:
    """Cancel a job in any state before its end."""
    job = ask.api.post(f"/jobs/{quote(job_id, safe='')}/cancel")
    if ask.json:
        output.as_json(job)
    else:
        output.line(f"{job_id} is {job['state']}")

"""`sojourn devices …`: looks at devices, and for operators changes their state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, listing, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import CliError
from sojourn.cli.grammar import Noun, Watchable
from sojourn.cli.options import Watch

COLUMNS = ("device", "state", "qubits>", "driver", "queue>", "running", "session")
OFFERED = ("device", "before>", "starts>", "10 %>", "90 %>", "ends>", "uses>", "limit>")
"""Of a job that is not submitted: 10 % of what may come starts earlier, and 90 %."""
ANOTHERS = "another's"
"""A job or session whose id is not the caller's to know."""
_OPERATORS = "For operators"
_DOWN = ("failed", "unhealthy")
_POLL = 0.5  # seconds between two looks at a check that has not ended

app = typer.Typer(
    cls=Noun,
    help="List and show devices; pause, drain, calibrate and check them.",
    epilog="""Examples:
  sojourn devices --watch
  sojourn devices --when 30s
  sojourn devices pause ibm_fez --message "cooling water" --until +2h
  sojourn devices resume ibm_fez""",
)

_Device = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Name of the device.", autocompletion=completion.devices)
]
_Message = Annotated[str, typer.Option("--message", "-m", help="Why; users see it.")]
_Until = Annotated[
    str | None, typer.Option("--until", help="Expected end: 2026-11-22T14:00 (UTC), +2h, 'in 30m'.")
]


@app.command("list", cls=Watchable)
@asks_server
def list_(
    context: Context,
    when: Annotated[
        str | None,
        typer.Option(
            "--when",
            metavar="DURATION",
            help="When each would start and end a job of that length (30s, 10m), if it was submitted now.",
        ),
    ] = None,
    watch: Watch = None,
) -> None:
    """List the devices: their state, who has them, how many jobs wait."""
    if when is not None:
        wanted = {"duration": when}
        listing.show(lambda: context.api.post("/forecast", wanted), _offers, json=context.json, watch=watch)
        return
    listing.show(lambda: context.api.get("/devices"), _page, json=context.json, watch=watch)


def _page(answer: Mapping[str, Any]) -> listing.Page:
    lines = []
    for device in answer["devices"]:
        if device["state"] != "online":
            lines.append(device_state(device))
        if device["phase"] in _DOWN:
            lines.append(f"{device['name']}: {device['reason'] or device['message']}")
    rows = [device_row(device) for device in answer["devices"]]
    return listing.Page(COLUMNS, rows, empty="no devices", lines=lines)


def _offers(answer: Mapping[str, Any]) -> listing.Page:
    now = datetime.now(UTC)
    offers = answer["offers"]
    lines = []
    for offer in offers:
        if why := offer["refused"]:
            lines.append(f"{offer['device']} would refuse it: {why}")
        elif offer["queue"] is not None and (why := offer["queue"]["unknown"]):
            lines.append(f"{offer['device']}: when it starts is not known: {why}")
    rows = [offer_row(offer, now) for offer in offers]
    return listing.Page(OFFERED, rows, empty="no devices", lines=lines)


def offer_row(offer: Mapping[str, Any], now: datetime) -> list[object]:
    queue = offer["queue"] or {}
    start, end = queue.get("start") or {}, queue.get("end") or {}
    return [
        offer["device"],
        queue.get("position"),
        output.until(start.get("expected"), now),
        output.until(start.get("earliest"), now),
        output.until(start.get("latest"), now),
        output.until(end.get("expected"), now),
        output.duration(offer["device_seconds"]["expected"]),
        output.duration(offer["limit_seconds"]),
    ]


def device_row(device: Mapping[str, Any]) -> list[object]:
    return [
        device["name"],
        device["phase"] if device["state"] == "online" or device["phase"] in _DOWN else device["state"],
        device["num_qubits"],
        device["driver"],
        device["queue_length"],
        output.short(device["running"]) if device["running"] else ANOTHERS * device["busy"],
        output.short(device["active_session"]) if device["active_session"] else ANOTHERS * device["held"],
    ]


def device_state(device: Mapping[str, Any]) -> str:
    """`ibm_fez is paused by ada since 2026-11-22 14:00, until about 2026-11-22 16:00: warm-up`."""
    if device["state"] == "online":
        return f"{device['name']} is online"
    until = f", until about {output.utc(device['state_until'])}" if device["state_until"] else ""
    why = f": {device['state_message']}" if device["state_message"] else ""
    doing = {"paused": "paused", "draining": "being drained", "maintenance": "in maintenance"}
    by, since = device["state_by"], output.utc(device["state_since"])
    return f"{device['name']} is {doing[device['state']]} (by {by}, since {since} UTC{until}){why}"


@app.command("show")
@asks_server
def show(context: Context, device: _Device) -> None:
    """Show one device with everything that is known of it."""
    found = context.api.get(f"/devices/{quote(device, safe='')}")
    if context.json:
        output.as_json(found)
        return
    environment = found.get("environment")
    found["environment"] = None if environment is None else _environment(environment)
    output.facts([(name.replace("_", " "), value) for name, value in found.items()])


def _environment(versions: Mapping[str, Any]) -> str:
    """`Python 3.11.9, Qiskit 2.3.0, QPY up to 17, sojourn 0.1.0`."""
    reads = f"QPY up to {versions['qpy']}" if versions["qpy"] else "no QPY"
    qiskit = versions["qiskit"] or "none"
    return f"Python {versions['python']}, Qiskit {qiskit}, {reads}, sojourn {versions['sojourn']}"


@app.command("pause", rich_help_panel=_OPERATORS)
@asks_server
def pause(
    context: Context,
    device: _Device,
    message: _Message = "",
    until: _Until = None,
) -> None:
    """Start nothing on a device until it is resumed; jobs are accepted and wait."""
    _halt(context, device, "pause", message, until)


@app.command("drain", rich_help_panel=_OPERATORS)
@asks_server
def drain(
    context: Context,
    device: _Device,
    message: _Message = "",
    until: _Until = None,
) -> None:
    """Accept no new jobs and sessions on a device; those that it has go on."""
    _halt(context, device, "drain", message, until)


@app.command("maintain", rich_help_panel=_OPERATORS)
@asks_server
def maintain(
    context: Context,
    device: _Device,
    message: _Message = "",
    until: _Until = None,
) -> None:
    """Put a device into maintenance: nothing starts; users see 'maintenance'."""
    _halt(context, device, "maintain", message, until)


@app.command("resume", rich_help_panel=_OPERATORS)
@asks_server
def resume(
    context: Context,
    device: _Device,
) -> None:
    """Put a device online again, whatever its state was."""
    answer = context.api.post(_path(device, "resume"))
    _show(answer, context.json)


@app.command("calibrate", rich_help_panel=_OPERATORS)
@asks_server
def calibrate(
    context: Context,
    device: _Device,
    message: _Message = "",
) -> None:
    """Queue a calibration of a device; it goes before all other jobs."""
    job = context.api.post(_path(device, "calibrate"), {"message": message})
    if context.json:
        output.as_json(job)
    else:
        output.line(f"{device} is calibrated by job {job['id']}, which is {job['state']}")


@app.command("check", rich_help_panel=_OPERATORS)
@asks_server
def check(context: Context, device: _Device, message: _Message = "") -> None:
    """Run the conformance check on a device, before all other jobs, and show what it finds."""
    job = context.api.post(_path(device, "check"), {"message": message})
    if not context.json:
        output.note(f"{device} is checked by job {job['id']}, which is {job['state']}")
    while job["state"] not in ("completed", "failed", "cancelled"):
        if job["state"] == "queued":
            _not_failed(context, device, job["id"])
        time.sleep(_POLL)
        job = context.api.get(f"/jobs/{quote(job['id'], safe='')}")
    found = context.api.get(_path(device, "checks"))["checks"]
    report = next((each for each in found if each["job"] == job["id"]), None)
    if report is None or report["passed"] is None:
        raise CliError(f"the check has no result: job {job['id']} {job['state']}, {job['reason']}")
    if context.json:
        output.as_json(report)
    else:
        _report(device, report)
    if not report["passed"]:
        raise CliError(f"{device} does not conform; it is not served until it does")


def _not_failed(context: Context, device: str, job: str) -> None:
    """CliError where a check may wait for as long as nobody does anything: the device cannot be loaded."""
    shown = context.api.get(f"/devices/{quote(device, safe='')}")
    if shown["phase"] == "failed":
        why = shown["reason"] or shown["message"]
        raise CliError(f"{device} cannot be checked, as it is not served: {why}. Job {job} waits for it")


def _report(device: str, report: Mapping[str, Any]) -> None:
    words = {True: "passed", False: "FAILED", None: "not applicable"}
    rows = [[each["name"], words[each["passed"]], each["detail"]] for each in report["checks"]]
    output.table(("check", "result", "detail"), rows, empty="no checks")
    for each in report["checks"]:
        if each["passed"] is False and each["circuit"]:
            output.line(f"{each['name']}:")
            output.facts(
                [("circuit", each["circuit"]), ("expected", each["expected"]), ("seen", each["seen"])]
            )
    output.line(f"{device}: {report['summary']}")


@app.command("calibrations")
@asks_server
def calibrations(
    context: Context,
    device: _Device,
) -> None:
    """List a device's calibrations, the newest first."""
    answer = context.api.get(_path(device, "calibrations"))
    if context.json:
        output.as_json(answer)
        return
    rows = [[c["id"], output.utc(c["at"]), c["job"], c["present"]] for c in answer["calibrations"]]
    output.table(
        ("calibration", "from (UTC)", "job", "in force"), rows, empty=f"nothing is known of {device} yet"
    )


def _halt(context: Context, device: str, verb: str, message: str, until: str | None) -> None:
    _show(context.api.post(_path(device, verb), {"message": message, "until": until}), context.json)


def _path(device: str, verb: str) -> str:
    return f"/devices/{quote(device, safe='')}/{verb}"


def _show(device: dict[str, object], json: bool) -> None:
    if json:
        output.as_json(device)
    else:
        output.line(device_state(device))

"""Owns `sojourn why`: the reasons for which a job waits, as the queue itself gives them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import show
from sojourn.cli.asking import Ask, asks


@asks
def why(
    ask: Ask,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")],
) -> None:
    """Say why a job waits, and how many go before it."""
    found = ask.api.get(f"/jobs/{quote(job_id, safe='')}/why")
    if ask.json:
        show.as_json(found)
        return
    show.facts([("job", found["id"]), ("state", found["state"]), ("jobs before it", found["position"])])
    if found["reasons"]:
        show.line("it waits because")
    elif found["state"] in ("accepted", "queued"):
        show.line("nothing blocks it; it is about to start")
    else:
        show.line(f"it does not wait: it is {found['state']}")
    for reason in found["reasons"]:
        show.line(f"- {reason['sentence']}")
    if found["reasons"] and found["estimated_start"] is not None:
        show.line(f"if nothing else happens it starts at {found['estimated_start']}")

"""Prints what the demo shows: steps and progress while it runs, the timeline and the numbers at its end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sojourn.demo.timeline import Ran, Stretch, drawing

NOTEBOOK = (
    "from sojourn import local",
    "service = local()  # an ordinary QiskitRuntimeService, with a server of its own",
)


@dataclass(slots=True)
class Report:
    """What happened. `alone` is the run without a session. Energies in hartree, times in seconds."""

    users: tuple[str, str]
    exact: float
    session: Stretch
    alone: Stretch
    session_energy: float
    alone_energy: float
    longest_wait: float
    jobs: Sequence[Ran]
    jobs_of_b: int
    seconds: float = field(default=0.0)

    @property
    def foreign_in_session(self) -> list[str]:
        return [job.id for job in self.session.foreign]

    def as_dict(self) -> dict[str, Any]:
        return {
            "claim_holds": not self.foreign_in_session,
            "foreign_jobs_in_session": self.foreign_in_session,
            "exact_energy": self.exact,
            "session": _numbers(self.session, self.session_energy),
            "without_session": _numbers(self.alone, self.alone_energy),
            "longest_wait_of_b": self.longest_wait,
            "jobs_of_b_completed": self.jobs_of_b,
            "seconds": self.seconds,
            "timeline": [
                _entry(job)
                for one in (self.session, self.alone)
                for job in sorted((*one.own, *one.foreign), key=lambda job: job.started or 0.0)
            ],
        }


def _numbers(one: Stretch, energy: float) -> dict[str, Any]:
    return {
        "iterations": len(one.own),
        "energy": energy,
        "seconds": one.end - one.begin,
        "seconds_per_iteration": one.iteration,
        "seconds_waited_per_iteration": one.waited,
        "foreign_jobs": len(one.foreign),
        "gaps_with_foreign_jobs": one.gaps,
    }


def _entry(job: Ran) -> dict[str, Any]:
    return {
        "job": job.id,
        "user": job.user,
        "session": job.session,
        "started": job.started,
        "finished": job.finished,
    }


class Screen:
    """Where the demo prints; a terminal gets bars that move, a pipe gets lines, `quiet` nothing."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console

        self._console = Console(quiet=quiet, highlight=False)

    def line(self, text: str) -> None:
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(what):
                yield
        else:
            yield
        self.line(f"{what} ({time.monotonic() - begin:.1f} s)")

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[float], None]]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        energies: list[float] = []
        begin = time.monotonic()
        if not self._console.is_terminal:
            self.line(f"{title} …")

            def line(energy: float) -> None:
                energies.append(energy)
                if len(energies) == 1 or len(energies) % 5 == 0:
                    self.line(
                        f"  {len(energies):3d}/{total}  {energy:+.4f} Ha  {time.monotonic() - begin:5.1f} s"
                    )

            yield line
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[energy]}"), console=self._console) as bars:
            task = bars.add_task(f"{title:<27}", total=total, energy="")

            def move(energy: float) -> None:
                bars.update(task, advance=1, energy=f"{energy:+.4f} Ha")

            yield move

    def show(self, report: Report, *, as_json: bool, kept: bool = False) -> None:
        if as_json:
            sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
            return
        for text in lines(report, min(self._console.width, 100)):
            self.line(text)
        if not kept:
            self.line("As a picture in the browser: sojourn demo --keep")


def lines(report: Report, width: int) -> list[str]:
    """The end of the demo, ready to print."""
    a, b = report.users
    inside, outside = report.session, report.alone
    between = (
        f"not one job of {b} got between the iterations of {a}."
        if not inside.foreign
        else f"{len(inside.foreign)} jobs of others got in between. THE PROMISE WAS BROKEN."
    )
    table = [
        ("", "in a session", "without"),
        ("iterations", str(len(inside.own)), str(len(outside.own))),
        ("time per iteration", f"{inside.iteration * 1000:.0f} ms", f"{outside.iteration * 1000:.0f} ms"),
        (
            "  of it waiting for the device",
            f"{inside.waited * 1000:.0f} ms",
            f"{outside.waited * 1000:.0f} ms",
        ),
        (f"gaps with a job of {b} in them", f"{inside.gaps}", f"{outside.gaps} of {len(outside.own) - 1}"),
        ("energy found (hartree)", f"{report.session_energy:+.4f}", f"{report.alone_energy:+.4f}"),
    ]
    left = max(len(row[0]) for row in table)
    return [
        "",
        f"In a session: {between}",
        *drawing(inside, report.jobs, report.users, width),
        "",
        f"Without a session: jobs of {b} got into {outside.gaps} of {len(outside.own) - 1} gaps.",
        *drawing(outside, report.jobs, report.users, width),
        "",
        *(f"{name:<{left}}  {one:>12}  {two:>12}" for name, one, two in table),
        "",
        f"Exact energy {report.exact:+.4f}; the difference is the noise of the device, unmitigated.",
        f"{b}: {report.jobs_of_b} jobs done, longest wait {report.longest_wait:.1f} s.",
        f"Times are medians of the server's own records. The demo took {report.seconds:.0f} s.",
        "",
        "The same in a notebook:",
        *(f"    {text}" for text in NOTEBOOK),
    ]

"""Runs the demo: a server, two users with a process each, two runs, and a verdict.

It calls the server as an operator does; the two Qiskit programs are ordinary clients of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sojourn.demo.report import Report, Screen
from sojourn.demo.timeline import Ran, longest_wait, stretch
from sojourn.embedded import Embedded, EmbeddedError

DEVICE = "ibm_torino"
A, B = "ada", "bob"
_PAGE = 200
_LIMIT = 240.0


class DemoFailed(Exception):
    """The demo did not get to its end, or the server did not keep its promise. The message says which."""


class _Program:
    """A client program in its own process. Its reports are read as JSON lines; its errors are kept."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], folder: Path, *arguments: str):
        self._name = name
        self._errors = folder / f"{name}.log"
        # No account of the person who runs this may win over the variables.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("QISKIT_", "SOJOURN_"))}
        with self._errors.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"sojourn.demo.{module}", "--backend", DEVICE, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**clean, **environment},
            )

    def order(self, what: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def reports(self) -> Iterator[dict[str, Any]]:
        """What it reports, until it ends; DemoFailed when that was not meant to happen."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)
        raise self._ended()

    def wait_for(self, event: str) -> dict[str, Any]:
        return next(report for report in self.reports() if report["event"] == event)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _ended(self) -> DemoFailed:
        self.process.wait()
        end = self._errors.read_text(encoding="utf-8", errors="replace")[-2000:]
        return DemoFailed(f"{self._name}'s program ended with {self.process.returncode}\n{end}")


def run(iterations: int, *, as_json: bool = False, keep: bool = False) -> None:
    """The whole demo; prints as it goes. DemoFailed when the claim does not hold.

    With `keep` the server stays up at its end, with the dashboard, until Ctrl-C.
    """
    screen = Screen(quiet=as_json)
    begin = time.monotonic()

    def shown(report: Report, server: Embedded) -> None:
        report.seconds = time.monotonic() - begin
        screen.show(report, as_json=as_json, kept=keep)
        if keep:
            screen.line(f"The same as a picture: {server.pages(link=True)} (once; Ctrl-C stops the server)")
            with suppress(KeyboardInterrupt):
                signal.pause()

    try:
        with TemporaryDirectory(prefix="sojourn-demo-") as folder:
            report = _play(iterations, screen, Path(folder), shown, keep)
    except (EmbeddedError, OSError) as error:
        raise DemoFailed(str(error)) from None
    if report.foreign_in_session:
        names = ", ".join(report.foreign_in_session)
        raise DemoFailed(f"jobs of other users ran between the iterations of the session: {names}")
    if min(len(report.session.own), len(report.alone.own)) < 25:
        raise DemoFailed("a run had fewer than 25 iterations; that is too few to show anything")
    if not report.alone.foreign:
        raise DemoFailed(
            "no other user ran jobs on the device while A ran without a session; there is nothing to compare"
        )


def _play(
    iterations: int, screen: Screen, folder: Path, shown: Callable[[Report, Embedded], None], dashboard: bool
) -> Report:
    """`shown` is called with what happened while the server is still there."""
    device = {"name": DEVICE, "driver": "fake", "options": {"backend": "FakeTorino"}}
    with screen.step(f"starting a server with {DEVICE} (a noisy model of 133 qubits)"):
        server = Embedded(
            folder / "data", devices=[device], dashboard=dashboard, pages_for="operator"
        ).start()
    try:
        ada, bob = server.user(A, "chemistry"), server.user(B, "sampling")
        screen.line(f"{server.url}: users {A} (project {ada.project}) and {B} (project {bob.project})")
        with (
            _program(B, "flood", server.env(bob), folder) as flood,
            _program(A, "vqe", server.env(ada), folder, "--iterations", str(iterations)) as vqe,
            _watchdog(vqe, flood),
        ):
            with screen.step(f"{B} floods the device with sampler jobs, {A} loads Qiskit"):
                exact = float(vqe.wait_for("ready")["exact"])
                # Five submissions: at least four jobs wait whenever the device becomes free.
                submissions = flood.reports()
                for _ in range(5):
                    next(submissions)
            threading.Thread(target=_drain, args=(submissions,), daemon=True).start()
            in_session = _optimise(vqe, "session", iterations, screen)
            without = _optimise(vqe, "jobs", iterations, screen)
            jobs, now = _jobs(server), time.time()
        report = Report(
            users=(A, B),
            exact=exact,
            session=stretch(jobs, in_session.jobs),
            alone=stretch(jobs, without.jobs),
            session_energy=in_session.found,
            alone_energy=without.found,
            longest_wait=longest_wait((job for job in jobs if job.user == B), now),
            jobs=jobs,
            jobs_of_b=sum(job.user == B and job.state == "completed" for job in jobs),
        )
        shown(report, server)
        return report
    finally:
        with screen.step("stopping the server"):
            server.stop()


class _Run:
    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.found = 0.0


def _optimise(vqe: _Program, order: str, iterations: int, screen: Screen) -> _Run:
    """One run of A, iteration by iteration on the screen."""
    made = _Run()
    title = f"{A}: VQE in a session" if order == "session" else f"{A}: VQE without a session"
    with screen.progress(title, iterations) as advance:
        vqe.order(order)
        for report in vqe.reports():
            if report["event"] == "iteration":
                made.jobs.append(report["job"])
                advance(float(report["energy"]))
            elif report["event"] == "found":
                made.found = float(report["energy"])
            elif report["event"] == "done":
                break
    return made


def _jobs(server: Embedded) -> list[Ran]:
    """Every job that the server has a record of, oldest first."""
    found: list[Ran] = []
    while True:
        page = server.get("/jobs", limit=_PAGE, offset=len(found), sort="ASC")
        found += [Ran.of(job) for job in page["jobs"]]
        if not page["jobs"] or len(found) >= page["count"]:
            return found


@contextmanager
def _program(
    name: str, module: str, environment: Mapping[str, str], folder: Path, *arguments: str
) -> Iterator[_Program]:
    program = _Program(name, module, environment, folder, *arguments)
    try:
        yield program
    finally:
        program.stop()


@contextmanager
def _watchdog(*programs: _Program) -> Iterator[None]:
    """Ends programs that hang: reading from them then says so."""

    def bite() -> None:
        for program in programs:
            program.process.kill()

    timer = threading.Timer(_LIMIT, bite)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _drain(lines: Iterator[object]) -> None:
    """Keep the pipe empty, so that the program never blocks on it."""
    try:
        for _ in lines:
            pass
    except (DemoFailed, ValueError):
        pass  # it was stopped

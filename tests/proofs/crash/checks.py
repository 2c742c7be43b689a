"""What must hold, read from the store by plain SQL and compared with what the clients remember.

Knows the rules and the tables; nothing of how the service keeps them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from sojourn.codes import RAN_TOO_LONG, SYSTEM_FAILURE, WORKER_KILLED
from sojourn.execution.engine import RunRequest
from sojourn.journal import replay
from sojourn.journal.recorder import export
from sojourn.service.service import Service
from sojourn.service.timing.clock import FASTEST
from sojourn.service.views import JobView
from tests.proofs.crash.clients import FINAL, Memory
from tests.proofs.crash.edges import result_of
from tests.proofs.crash.world import World

EPS = 1e-3
INFINITE = 1e12


class Checks:
    def __init__(self, path: Path, world: World, memory: Memory, retry_window: float) -> None:
        self._path = path
        self._retry_window = retry_window
        self._world = world
        self._memory = memory
        self._final: dict[str, Any] = {}
        self._story = 0
        self._ledger = 0
        self._connection: sqlite3.Connection | None = None

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
        return self._connection.execute(query, values).fetchall()

    # at every moment

    def committed(self, view: JobView) -> None:
        """R55: nobody is told what a crash could take back."""
        rows = self._all("SELECT * FROM jobs WHERE id = ?", view.id)
        assert rows, f"{view.id} was acknowledged and is not in the store"
        if view.state in FINAL:
            assert rows[0]["state"] == view.state, (
                f"{view.id} was told {view.state}, it is {rows[0]['state']}"
            )
        assert rows[0]["attempt"] >= view.attempt

    def may_run(self, device: str, request: RunRequest) -> None:
        """Commit, then act; R54: no attempt of a job that has its result."""
        job_id, attempt = request.run_id.rsplit(".", 1)
        (row,) = self._all("SELECT * FROM jobs WHERE id = ?", job_id)
        assert row["device"] == device
        assert row["attempt"] == int(attempt), f"{request.run_id} runs, the store says {row['attempt']}"
        assert row["state"] in ("running", "cancelled"), f"{job_id} runs and is {row['state']}"

    def after_a_crash(self) -> None:
        self._finals()
        self._tell_the_story()

    def now(self, service: Service | None) -> None:
        if service is not None and service.fatal is not None:
            raise AssertionError(f"the service is broken: {service.fatal!r}")
        self._finals()
        self._tell_the_story()

    def _finals(self) -> None:
        """R55: nothing final changes."""
        rows = self._all("SELECT * FROM jobs WHERE state IN ('completed', 'failed', 'cancelled')")
        found = {r["id"]: (r["state"], r["reason"], r["ended_at"], r["charged"], r["attempt"]) for r in rows}
        for job, was in self._final.items():
            assert found.get(job) == was, f"R55: the end of {job} has changed from {was} to {found.get(job)}"
        self._final = found

    def _tell_the_story(self) -> None:
        """One running job and one active session a device; no foreign job in a session's lock (R2, R15)."""
        state: dict[str, str] = {}
        running: dict[str, str] = {}
        active: dict[str, str] = {}
        jobs = {r["id"]: r for r in self._all("SELECT * FROM jobs")}
        for row in self._all("SELECT * FROM story WHERE kind IN ('job', 'session') ORDER BY id"):
            entity, device, after = row["entity"], row["device"], row["after"]
            kind = "session" if entity not in jobs or after in SESSION_STATES else "job"
            assert kind == row["kind"] or entity not in jobs
            key = f"{kind} {entity}"
            assert state.get(key) == row["before"], (
                f"{key}: {row['before']} -> {after} after {state.get(key)}"
            )
            assert state.get(key) not in (*FINAL, "closed"), f"{key} moves after its end"
            state[key] = after
            if kind == "job":
                if running.get(device) == entity:
                    del running[device]
                if after == "running":
                    assert device not in running, f"{entity} runs beside {running[device]} on {device}"
                    self._may_start(jobs[entity], row, active.get(device))
                    running[device] = entity
            else:
                if active.get(device) == entity:
                    del active[device]
                if after == "active":
                    assert device not in active, f"R15: {entity} beside {active.get(device)} on {device}"
                    active[device] = entity

    def _may_start(self, job: sqlite3.Row, step: sqlite3.Row, active: str | None) -> None:
        """R2, R45, R47: neither into another's session nor into another's dedicated window."""
        if job["kind"] != "user":
            return
        for window in self._all("SELECT * FROM reservations WHERE device = ?", step["device"]):
            start, end = self._open(window)
            if start <= step["at"] < end:
                if window["project_id"] == job["project_id"]:
                    return
                assert window["mode"] == "priority", f"R47: {job['id']} starts in {window['id']}"
        assert active in (None, job["session_id"]), f"R2: {job['id']} runs in the lock of {active}"

    def _open(self, window: sqlite3.Row) -> tuple[float, float]:
        """From when to when, in the service's time: dates are told by the machine's clock (D24)."""
        live = window["state"] == "booked"
        told = "SELECT lead FROM clock_steps WHERE at <= ? ORDER BY id DESC LIMIT 1"
        found = self._all(told, INFINITE if live else window["changed_at"])
        lead = found[0]["lead"] if found else 0.0
        start, end = window["starts_at"] + lead, window["ends_at"] + lead
        if window["state"] == "cancelled":
            end = min(end, window["changed_at"])
        elif window["state"] == "ended":
            opened = f"%reservation {window['id']} open%"
            if not self._all("SELECT 1 FROM journal WHERE CAST(did AS TEXT) LIKE ? LIMIT 1", opened):
                return INFINITE, INFINITE  # the clock has leapt over it
        return start, end

    def all_ended(self) -> bool:
        live = (
            "jobs WHERE state IN ('accepted', 'queued', 'running')",
            "sessions WHERE state <> 'closed'",
            "reservations WHERE state IN ('booked', 'open')",
        )
        return not any(self._all(f"SELECT count(*) FROM {table}")[0][0] for table in live)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        tables = ("jobs", "sessions", "ledger", "job_tags", "blobs", "reservations", "device_states")
        found = {t: [tuple(r) for r in self._all(f"SELECT * FROM {t} ORDER BY 1, 2")] for t in tables}
        # A worker that starts may find its device calibrated: that is the device's doing.
        steps = self._all("SELECT * FROM story WHERE kind <> 'calibration' ORDER BY 1")
        return found | {"story": [tuple(r) for r in steps]}

    def memory_is_the_store(self, service: Service) -> None:
        """What the service shows is what is written."""
        for name, desk in service.parts.lanes.dispatchers.items():
            assert not desk.lane.jobs, f"{name} still has {desk.lane.jobs}"
            assert not desk.lane.sessions, f"{name} still has {desk.lane.sessions}"
            assert desk.lane.depth == 0
            assert desk.lane.running is None
        assert not service.parts.records.live_jobs
        assert not service.parts.records.live_sessions

    # at the end

    def at_the_end(self) -> None:
        self._finals()
        self._nothing_lost_or_doubled()
        self._ledger_is_the_sum()
        self._sessions_kept_their_rules()
        self._replays()
        if self._connection is not None:
            self._connection.close()

    def _nothing_lost_or_doubled(self) -> None:
        """R54, R55."""
        rows = {r["id"]: r for r in self._all("SELECT * FROM jobs")}
        forgotten = self._after_the_window()
        sent = Counter(
            (r["project_id"], r["submit_digest"])
            for r in rows.values()
            if r["kind"] == "user" and r["id"] not in forgotten
        )
        for (project, digest), count in sent.items():
            meant = [w for w in self._memory.wanted if w.times > 1 and _digest(project, w.body) == digest]
            assert count <= (meant[0].times if meant else 1), f"R54: {digest} was made {count} times"
        told = [r["id"] for r in rows.values() if r["private"] and r["params_hash"] is not None]
        assert not told, f"R56: the inputs of {told} are still there"
        by_submit: Counter[int] = Counter()
        blobs = {r["hash"]: r["data"] for r in self._all("SELECT * FROM blobs")}
        for part in self._all("SELECT * FROM blob_parts ORDER BY hash, number"):
            assert part["hash"] in blobs, "a start sweeps away what was never named"
            blobs[part["hash"]] += part["data"]
        assert all(_sha256(data) == digest for digest, data in blobs.items())
        params = {json.dumps(w.params): w for w in self._memory.wanted}
        hashes: dict[str, int] = {}
        for digest, data in blobs.items():
            if (wanted := params.get(data.decode("utf-8", "replace"))) is not None:
                hashes[digest] = wanted.n
        for row in rows.values():
            if row["params_hash"] in hashes and row["id"] not in forgotten:
                by_submit[hashes[row["params_hash"]]] += 1
        for wanted in self._memory.wanted:
            ids = set(wanted.acknowledged)
            assert ids <= set(rows), f"R55: lost {ids - set(rows)}"
            assert len(ids - forgotten) <= wanted.times, f"R54: {wanted} has become {ids}"
            made = by_submit[wanted.n]
            assert made <= wanted.times, f"R54: {wanted} has become {made} jobs"
            if wanted.times == 2 and len(wanted.acknowledged) == 2:
                assert len(ids) == 2, f"{wanted} was meant twice"
            for job_id in ids:
                self._ended_right(wanted, rows[job_id], blobs)

    def _after_the_window(self) -> set[str]:
        """Jobs that are new by R54, as the clock was set forward past the window since the same was sent.

        Across a restart the times that are written are all that the service has.
        """
        if not self._world.faults.clock_steps:
            return set()
        query = "SELECT id, project_id, submit_digest, accepted_at FROM jobs ORDER BY accepted_at"
        last: dict[tuple[str, str], float] = {}
        found = set()
        for row in self._all(query):
            sent = row["project_id"], row["submit_digest"]
            if row["accepted_at"] - last.get(sent, row["accepted_at"]) > self._retry_window:
                found.add(row["id"])
            last[sent] = row["accepted_at"]
        return found

    def _ended_right(self, wanted: Any, row: sqlite3.Row, blobs: dict[str, bytes]) -> None:
        assert tuple(json.loads(row["tags"])) == wanted.tags
        found = {r["tag"] for r in self._all("SELECT tag FROM job_tags WHERE job_id = ?", row["id"])}
        assert found == set(wanted.tags)
        if row["state"] == "completed":
            assert wanted.params["fate"] == "ok", f"{wanted} cannot have completed"
            if self._world.profile == "hardware" and row["cost"] is None:
                seconds = wanted.params["seconds"]
                limit = max(200.0, 20.0 * seconds) if seconds else 10_000.0
                assert row["run_limit"] == limit, "D22: it has the limit of its estimate"
            if not row["private"]:
                assert blobs[row["result_hash"]] == result_of(wanted.n)
            assert row["charged"] >= wanted.params["seconds"] * (1.0 - FASTEST) - EPS
        else:
            assert row["state"] == "cancelled" or row["reason"], f"{row['id']} has failed without a reason"
        if row["reason_code"] == RAN_TOO_LONG:
            assert abs(row["charged"] - row["run_limit"]) < EPS, "R52: it was stopped at another time"
        if row["state"] == "failed" and wanted.params["fate"] == "ok":
            faults = self._world.faults
            lost = self._world.profile == "hardware" and row["reason_code"] == SYSTEM_FAILURE  # R55
            known = ("Session ", "Reservation ", "The data of the first job")
            unstored = faults.full_disk and "could not be stored" in row["reason"]
            assert not unstored or (row["reason_code"], row["charged"]) == (SYSTEM_FAILURE, 0.0), "R49"
            assert row["reason"].startswith(known) or lost or unstored or faults.workers, (
                f"{row['id']} failed: {row['reason']}"
            )

    def _ledger_is_the_sum(self) -> None:
        """R49: a row for every charge and none twice; intervals of a device do not overlap."""
        of_jobs: dict[str, float] = defaultdict(float)
        rows_of_jobs: dict[str, list[tuple[float, float]]] = defaultdict(list)
        of_sessions: dict[tuple[str, str], float] = defaultdict(float)
        by_device: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for row in self._all("SELECT * FROM ledger"):
            assert row["seconds"] > 0
            assert abs(row["ended_at"] - row["started_at"] - row["seconds"]) < EPS
            if row["job_id"]:
                rows_of_jobs[row["job_id"]].append((row["started_at"], row["ended_at"]))
                of_jobs[row["job_id"]] += row["seconds"]
            if row["session_id"]:
                of_sessions[row["session_id"], row["kind"]] += row["seconds"]
            by_device[row["device"]].append((row["started_at"], row["ended_at"]))
        for row in self._all("SELECT * FROM jobs"):
            assert abs(of_jobs[row["id"]] - row["charged"]) < EPS, (
                f"{row['id']}: the ledger is not its charge"
            )
            died = [(start, end) for start, end, _ in json.loads(row["crashed"])]
            blamed = row["reason_code"] == WORKER_KILLED
            if blamed:  # D23
                assert len(died) == row["crashes"] > 1, f"{row['id']} is blamed for {died}"
            if row["charged"]:
                runs = died if blamed else [(row["started_at"], row["ended_at"])]
                assert abs(sum(end - start for start, end in runs) - row["charged"]) < EPS
                spans = sorted(run for run in runs if run[1] > run[0])
                assert spans == sorted(rows_of_jobs[row["id"]]), f"{row['id']}: a row for each of its runs"
        for row in self._all("SELECT * FROM sessions"):
            for kind in ("job", "held"):
                rows, own = of_sessions[row["id"], kind], row[f"{kind}_seconds"]
                assert abs(rows - own) < EPS, f"{row['id']}: {own} s {kind}, the ledger says {rows}"
        for device, spans in by_device.items():
            spans.sort()
            for (_, end), (start, _) in pairwise(spans):
                assert start >= end - EPS, f"{device} is charged twice from {start} to {end}"

    def _replays(self) -> None:
        """The journal of all lives leads the core to the same decisions, and to what each start read back."""
        report = replay(export(self._path))
        assert report.difference is None, f"the replay differs: {report.difference}"
        assert report.events > 0

    def _sessions_kept_their_rules(self) -> None:
        detached = {r["id"] for r in self._all("SELECT id FROM jobs WHERE detached")}
        sessions = {r["id"]: r for r in self._all("SELECT * FROM sessions")}
        missing = set(self._memory.sessions) - set(sessions)
        assert not missing, f"R55: sessions {missing} were acknowledged and are lost"
        for row in self._all(
            "SELECT s.at, j.id, j.session_id FROM story s JOIN jobs j ON j.id = s.entity "
            "WHERE s.after = 'running'"
        ):
            session = sessions.get(row["session_id"])
            if session is None or row["id"] in detached or session["max_time"] is None:
                continue
            last = session["started_at"] + session["max_time"]
            assert row["at"] <= last + EPS, (
                f"R17: {row['id']} starts {row['at'] - last} s after {session['id']} ended"
            )
        for session in sessions.values():
            if session["started_at"] is not None:
                steps = self._all("SELECT * FROM story WHERE entity = ?", session["id"])
                ended = min(s["at"] for s in steps if s["after"] in ("pending_closed", "closed"))
                last = session["started_at"] + session["max_time"]
                assert ended <= last + EPS, "R32: it ended too late"
                early = "max_time" in (session["reason"] or "") and ended < last - EPS
                assert not early, f"R17: {session['id']} ended {last - ended} s too early"


def _digest(project: str, body: bytes) -> str:
    return _sha256(project.encode() + b"\0" + body)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


SESSION_STATES = ("open", "active", "inactive", "pending_inactive", "pending_closed", "closed")

"""The table of all metrics: name, kind, labels, buckets, meaning. docs/metrics.md is made from it.

Names follow the conventions of Prometheus: base units, `_total` for counters. No label is a user, a project,
a job or a session: the values of each are known at the start, so the number of series is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """`buckets` are the upper bounds of a histogram, in its unit, but for the last one, which has none."""

    part: str
    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


LABELS = {
    "device": "name of a device; `mock_…` are those for dry runs",
    "mode": "`job` (no session), `session`, `batch`, `system` (calibrations)",
    "outcome": "of jobs `completed`, `failed`, `cancelled`; else see the metric",
    "state": "see the metric",
    "kind": "see the metric",
    "phase": "`asleep`, `starting`, `ready`, `busy`, `failed`",
    "status": "HTTP status; `none` when the client had gone before a reply",
    "reason": "which bound of a connection was met, as in the log line `connection.cut`",
    "room": "`memory` (large bodies and replies), `small` (small bodies), `spool` (files of large bodies), "
    "`files`",
    "version": "version of the server",
}
"""What the values of each label are."""

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_RUNS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0)
_WAITS = (*_RUNS[:-1], 14_400.0, 86_400.0)
_HOLDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_LATE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

_JOBS = "Queue and jobs"
QUEUE_JOBS = Metric(
    _JOBS, "sojourn_queue_jobs", _G, "Jobs that were accepted and have not started.", ("device",)
)
QUEUE_OLDEST = Metric(
    _JOBS,
    "sojourn_queue_oldest_seconds",
    _G,
    "How long ago the oldest of them was accepted; 0 without one.",
    ("device",),
)
JOBS_ACCEPTED = Metric(
    _JOBS, "sojourn_jobs_accepted_total", _C, "Jobs that were accepted.", ("device", "mode")
)
JOBS_ENDED = Metric(
    _JOBS, "sojourn_jobs_ended_total", _C, "Jobs that have ended, by outcome.", ("device", "mode", "outcome")
)
JOBS_REQUEUED = Metric(
    _JOBS,
    "sojourn_jobs_requeued_total",
    _C,
    "Runs that were lost for a reason of the system's; the job waits again.",
    ("device",),
)
JOB_WAIT = Metric(
    _JOBS,
    "sojourn_job_wait_seconds",
    _H,
    "Time from the acceptance of a job to its first start.",
    ("device", "mode"),
    _WAITS,
)
JOB_RUN = Metric(
    _JOBS,
    "sojourn_job_run_seconds",
    _H,
    "Time from the last start of a job to its end, for those that ran.",
    ("device", "mode"),
    _RUNS,
)
PREPARATION = Metric(
    _JOBS,
    "sojourn_preparation_seconds",
    _H,
    "Time of the preparation of a job, its decoding and its checks, from the wait for a preparer to its end.",
    ("device",),
    _SHORT,
)
SESSIONS = Metric(
    _JOBS,
    "sojourn_sessions",
    _G,
    "Sessions (`session`, `batch`) that have not ended; `state` is that of [Sessions](api.md).",
    ("device", "mode", "state"),
)

_DEVICES = "Devices"
DEVICE_SECONDS = Metric(
    _DEVICES,
    "sojourn_device_seconds_total",
    _C,
    "Time by what the device did; the sum over `state` is the time since the start. `busy`: a job runs. "
    "`down`: its worker is not there, or the disk is full. `stopped`: paused or in maintenance. `reserved`: "
    "kept free by a dedicated reservation. `held`: a session or batch has it and runs nothing. `idle`: "
    "none of these.",
    ("device", "state"),
)
DEVICE_STATE = Metric(
    _DEVICES,
    "sojourn_device_state",
    _G,
    "1 for the present one of the states above, else 0.",
    ("device", "state"),
)
CHARGED = Metric(
    _DEVICES,
    "sojourn_charged_seconds_total",
    _C,
    "Device seconds in the ledger since the start; `kind` is `job`, `held`, `system` or `reservation`.",
    ("device", "kind"),
)
WORKER_PHASE = Metric(
    _DEVICES,
    "sojourn_worker_phase",
    _G,
    "1 for the phase in which the device's worker process is, else 0.",
    ("device", "phase"),
)
WORKER_STARTS = Metric(
    _DEVICES,
    "sojourn_worker_starts_total",
    _C,
    "Worker processes that became ready; each but the first is a restart.",
    ("device",),
)
PREPARATIONS = Metric(
    _DEVICES,
    "sojourn_preparations",
    _G,
    "Jobs that are being decoded and checked: `in_work`, and `waiting` for their turn.",
    ("state",),
)
PREPARERS_UP = Metric(_DEVICES, "sojourn_preparers_up", _G, "Preparer processes that are up.")
PREPARERS_WANTED = Metric(_DEVICES, "sojourn_preparers_wanted", _G, "Preparer processes that should be up.")

_HTTP = "Requests and connections"
REQUESTS = Metric(
    _HTTP,
    "sojourn_http_requests_total",
    _C,
    "Requests. `kind` is `submit`, `poll` (the state of one job), `result`, `look` (any other GET), `change` "
    "(any other method), `stream`.",
    ("kind", "status"),
)
REQUEST_SECONDS = Metric(
    _HTTP,
    "sojourn_http_request_duration_seconds",
    _H,
    "Time from the head of a request to the end of its reply: of a submit with the preparation (up to "
    "`admission_hold`), of a poll without the time for which it was held; none for `stream`.",
    ("kind",),
    _SHORT,
)
POLLS_HELD = Metric(_HTTP, "sojourn_polls_held", _G, "Polls that wait for news of their job.")
POLL_HOLD = Metric(
    _HTTP,
    "sojourn_poll_hold_seconds",
    _H,
    "Time for which polls were held that were not answered at once.",
    (),
    _HOLDS,
)
CONNECTIONS = Metric(_HTTP, "sojourn_connections", _G, "Open connections.")
CONNECTIONS_LIMIT = Metric(_HTTP, "sojourn_connections_limit", _G, "How many may be open.")
CONNECTIONS_CUT = Metric(
    _HTTP,
    "sojourn_connections_cut_total",
    _C,
    "Connections that exceeded a bound and were closed.",
    ("reason",),
)
CONNECTION_BYTES = Metric(
    _HTTP,
    "sojourn_connection_bytes",
    _G,
    "What connections hold in memory: `incoming` requests, replies that are `unread`.",
    ("kind",),
)
CONNECTION_LIMIT = Metric(
    _HTTP,
    "sojourn_connection_limit_bytes",
    _G,
    "How much that may be (`incoming_mb`, `unread_mb`).",
    ("kind",),
)
ROOM = Metric(
    _HTTP,
    "sojourn_room_bytes",
    _G,
    "What bodies and replies in work have taken of a room (not `files`).",
    ("room",),
)
ROOM_LIMIT = Metric(
    _HTTP, "sojourn_room_limit_bytes", _G, "How much a room has (`memory_mb`, `spool_mb`).", ("room",)
)
ROOM_REFUSALS = Metric(
    _HTTP,
    "sojourn_room_refusals_total",
    _C,
    "Requests that found no room in time and were answered 503.",
    ("room",),
)
SPOOL_FILES = Metric(_HTTP, "sojourn_spool_files", _G, "Large bodies that are coming in.")
SPOOL_FILES_LIMIT = Metric(_HTTP, "sojourn_spool_files_limit", _G, "How many may at once.")

_STORE = "Store"
COMMIT_SECONDS = Metric(
    _STORE, "sojourn_store_commit_duration_seconds", _H, "Time of one commit to the database.", (), _COMMITS
)
COMMIT_SIZE = Metric(
    _STORE,
    "sojourn_store_commit_transactions",
    _H,
    "Transactions that one commit has made durable.",
    (),
    _SIZES,
)
STORE_WAITING = Metric(
    _STORE, "sojourn_store_waiting_transactions", _G, "Transactions that wait for their commit."
)
STORE_SIZE = Metric(_STORE, "sojourn_store_size_bytes", _G, "Size of the database with its write-ahead log.")
STORE_USABLE = Metric(
    _STORE,
    "sojourn_store_usable_bytes",
    _G,
    "What can still be stored; absent when `disk_reserve_mb` is 0.",
)
STORE_FULL = Metric(
    _STORE, "sojourn_store_full", _G, "1 while no job is taken or started for lack of disk space."
)

_SERVER = "Server"
INFO = Metric(_SERVER, "sojourn_build_info", _G, "1, with the version.", ("version",))
LOOP_LATE = Metric(
    _SERVER,
    "sojourn_event_loop_lag_seconds",
    _H,
    "How late a timer of the event loop was, once a second: what any request waits at the least.",
    (),
    _LATE,
)
LOG_LOST = Metric(_SERVER, "sojourn_log_lost_total", _C, "Log entries that could not be written.")

_TOLD = "Event streams, webhooks, forecasts"
STREAMS = Metric(_TOLD, "sojourn_event_streams", _G, "Open event streams, without those of webhooks.")
STREAMS_LIMIT = Metric(_TOLD, "sojourn_event_streams_limit", _G, "How many may be open (`streams`).")
STREAMS_CUT = Metric(
    _TOLD, "sojourn_event_streams_cut_total", _C, "Streams that were ended because their reader was too slow."
)
EVENTS_TOLD = Metric(
    _TOLD, "sojourn_events_told_total", _C, "Events that were handed to streams and webhooks, each counted."
)
WEBHOOKS = Metric(
    _TOLD,
    "sojourn_webhooks",
    _G,
    "Webhooks: `working`; `failing`, whose last attempt failed; `disabled`.",
    ("state",),
)
WEBHOOK_ATTEMPTS = Metric(
    _TOLD,
    "sojourn_webhook_attempts_total",
    _C,
    "Messages that were sent to receivers: `delivered`, or `failed` and tried again.",
    ("outcome",),
)
FORECASTS = Metric(
    _TOLD,
    "sojourn_forecasts_total",
    _C,
    "Forecasts that were made; without a question there is none.",
    ("device",),
)
FORECAST_SECONDS = Metric(
    _TOLD,
    "sojourn_forecast_cpu_seconds_total",
    _C,
    "Processor time that they took, in a thread of the server.",
    ("device",),
)

_PROCESS = "Process (of the server itself, without its workers)"
PROCESS = (
    Metric(_PROCESS, "process_resident_memory_bytes", _G, "Resident memory."),
    Metric(_PROCESS, "process_virtual_memory_bytes", _G, "Virtual memory."),
    Metric(_PROCESS, "process_cpu_seconds_total", _C, "Processor time, user and system."),
    Metric(_PROCESS, "process_start_time_seconds", _G, "Start, in seconds since the epoch."),
    Metric(_PROCESS, "process_open_fds", _G, "Open file descriptors."),
    Metric(_PROCESS, "process_max_fds", _G, "How many may be open."),
)
"""Those of prometheus-client, on Linux."""

TABLE: tuple[Metric, ...] = (
    QUEUE_JOBS,
    QUEUE_OLDEST,
    JOBS_ACCEPTED,
    JOBS_ENDED,
    JOBS_REQUEUED,
    JOB_WAIT,
    JOB_RUN,
    PREPARATION,
    SESSIONS,
    DEVICE_SECONDS,
    DEVICE_STATE,
    CHARGED,
    WORKER_PHASE,
    WORKER_STARTS,
    PREPARATIONS,
    PREPARERS_UP,
    PREPARERS_WANTED,
    REQUESTS,
    REQUEST_SECONDS,
    POLLS_HELD,
    POLL_HOLD,
    CONNECTIONS,
    CONNECTIONS_LIMIT,
    CONNECTIONS_CUT,
    CONNECTION_BYTES,
    CONNECTION_LIMIT,
    ROOM,
    ROOM_LIMIT,
    ROOM_REFUSALS,
    SPOOL_FILES,
    SPOOL_FILES_LIMIT,
    COMMIT_SECONDS,
    COMMIT_SIZE,
    STORE_WAITING,
    STORE_SIZE,
    STORE_USABLE,
    STORE_FULL,
    INFO,
    LOOP_LATE,
    LOG_LOST,
    STREAMS,
    STREAMS_LIMIT,
    STREAMS_CUT,
    EVENTS_TOLD,
    WEBHOOKS,
    WEBHOOK_ATTEMPTS,
    FORECASTS,
    FORECAST_SECONDS,
    *PROCESS,
)


def markdown() -> str:
    """The tables of docs/metrics.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for part in dict.fromkeys(metric.part for metric in TABLE):
        yield from (f"### {part}", "", "| metric | type | labels | |", "|---|---|---|---|")
        for metric in TABLE:
            if metric.part == part:
                labels = ", ".join(f"`{label}`" for label in metric.labels)
                row = f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |"
                yield row.replace("|  |", "| |")
        yield ""
    yield from ("### Labels", "", "| label | values |", "|---|---|")
    yield from (f"| `{label}` | {values} |" for label, values in LABELS.items())

"""The tables, once. Portable SQL: what differs between databases is in the migrations.

Times are seconds since the epoch (float), durations seconds. Invariants that the core keeps are kept here
again as partial unique indexes (docs/architecture.md).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only INTEGER keys by itself

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("crn", String(300), nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("account", String(100), nullable=False, server_default="default"),
    Column("weight", Float, nullable=False, server_default="1"),
    Column("allocation", Float),  # device seconds in the window; none: no limit (R50)
    Column("plan", String(20), nullable=False, server_default="premium"),
    Column("limits", Text, nullable=False, server_default="{}"),  # JSON, R50
    Column("tags", Text, nullable=False, server_default="[]"),  # JSON list
)

share_accounts = Table(
    "share_accounts",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("weight", Float, nullable=False),
)
"""The top of the share tree (R48); an account that is not here has weight 1."""

users = Table(
    "users",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("operator", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
)

memberships = Table(
    "memberships",
    metadata,
    Column("user_id", ForeignKey("users.id"), primary_key=True),
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("created_at", Float, nullable=False),
    Column("weight", Float, nullable=False, server_default="1"),
    Column("admin", Boolean, nullable=False, server_default="0"),  # may book for the project (R47)
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of 256 random bits: no salt needed
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("name", String(64), nullable=False, server_default=""),
    Column("project_id", String(40)),  # where it acts when a request does not say; none: the first project
    Column("expires_at", Float),
    Column("used_at", Float),  # kept coarsely
    Index("uq_api_keys_name", "user_id", "name", unique=True),
)

blobs = Table(
    "blobs",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),  # empty: they lie in blob_parts
)

blob_parts = Table(
    "blob_parts",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
"""Large bytes, in parts of equal size but for the last; see `sojourn.store.blobs`."""

project_storage = Table(
    "project_storage",
    metadata,
    Column("project_id", String(40), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
)
"""Bytes of the inputs, results and logs that a project's jobs name; kept by triggers on `jobs`."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("seq", BigInteger, nullable=False, unique=True),
    Column("device", String(100), nullable=False),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("program", String(100), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("session_id", String(40)),
    Column("accepted_at", Float, nullable=False),
    Column("queued_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("run_limit", Float, nullable=False),
    Column("own_limit", Float),  # the job's own if it has a `cost`, else its project's
    Column("estimated_seconds", Float),
    Column("attempt", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("crashed", Text, nullable=False, server_default="[]"),  # JSON: [[start, end, jumped], ...]
    Column("detached", Boolean, nullable=False),
    Column("cache_expires_at", Float),
    Column("reason", Text),
    Column("reason_code", Integer),
    Column("charged", Float, nullable=False),
    Column("reruns", Boolean, nullable=False, server_default="1"),  # R55
    # what the policy does not look at
    Column("private", Boolean, nullable=False),
    Column("cost", Integer),
    Column("log_level", String(20)),
    Column("caller", String(400)),
    Column("warnings", Text, nullable=False),  # JSON list
    Column("tags", Text, nullable=False),  # JSON list, for showing; job_tags is for finding
    Column("params_hash", String(64)),
    Column("result_hash", String(64)),
    Column("logs_hash", String(64)),
    Column("submit_digest", String(64), nullable=False),
    Column("idempotency_key", String(200)),
    Column("num_circuits", Integer),
    Column("num_qubits", Integer),
    Column("executions", Integer),
    Index(
        "uq_jobs_one_running",
        "device",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index(
        "ix_jobs_live",
        "device",
        sqlite_where=text("state IN ('accepted', 'queued', 'running')"),
        postgresql_where=text("state IN ('accepted', 'queued', 'running')"),
    ),
    Index("ix_jobs_owner", "user_id", "project_id", "seq"),
    Index("ix_jobs_accepted", "accepted_at"),
    Index("ix_jobs_session", "session_id"),
    Index("ix_jobs_params", "params_hash"),
    Index("ix_jobs_result", "result_hash"),
    Index("ix_jobs_logs", "logs_hash"),
    Index(
        "uq_jobs_idempotency",
        "user_id",
        "idempotency_key",
        unique=True,
        sqlite_where=text("idempotency_key IS NOT NULL"),
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

job_tags = Table(
    "job_tags",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(100), primary_key=True),
    Index("ix_job_tags_tag", "tag"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("device", String(100), nullable=False),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("mode", String(10), nullable=False),
    Column("state", String(20), nullable=False),
    Column("accepting", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ttl", Float, nullable=False),
    Column("max_time", Float),
    Column("first_job", String(40)),
    Column("root_job", String(40)),
    Column("started_at", Float),
    Column("activated_at", Float),
    Column("closed_at", Float),
    Column("ends_at", Float),
    Column("ttl_at", Float),
    Column("ttl_left", Float),
    Column("unused_at", Float),
    Column("hold_since", Float),
    Column("cache_expires_at", Float),
    Column("last_job_started", Float),
    Column("last_job_completed", Float),
    Column("running_since", Float),
    Column("window_id", String(40)),
    Column("job_seconds", Float, nullable=False),
    Column("held_seconds", Float, nullable=False),
    Column("reason", Text),
    Index(
        "uq_sessions_one_active",
        "device",
        unique=True,
        sqlite_where=text("state = 'active'"),
        postgresql_where=text("state = 'active'"),
    ),
    Index(
        "ix_sessions_live",
        "device",
        sqlite_where=text("state <> 'closed'"),
        postgresql_where=text("state <> 'closed'"),
    ),
    Index("ix_sessions_owner", "user_id", "project_id", "created_at"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("device", String(100), nullable=False),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("starts_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("mode", String(20), nullable=False),
    Column("after_window", String(20), nullable=False),
    Column("idle_since", Float),
    Column("state", String(20), nullable=False),  # booked, open, ended, cancelled
    Column("changed_at", Float, nullable=False),
    Index("ix_reservations_device", "device", "starts_at"),
)

device_states = Table(
    "device_states",
    metadata,
    Column("device", String(100), primary_key=True),
    Column("mode", String(20), nullable=False),
    Column("by", String(100), nullable=False),
    Column("message", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float),
)
"""Devices that an operator has paused, drained or taken into maintenance; those online have no row."""

leases = Table(
    "leases",
    metadata,
    Column("device", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("user_id", String(40), nullable=False),
    Column("project_id", String(40)),
    Column("taken_at", Float, nullable=False),
    Column("seconds", Float),
    Column("state", String(10), nullable=False),  # held, ending, ended
    Column("ended_at", Float),
    Column("reason", Text),
    Index(
        "uq_leases_held",
        "device",
        unique=True,
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
)
"""To whom another scheduler has given which device (docs/slurm.md); at most one holds a device."""

calibrations = Table(
    "calibrations",
    metadata,
    Column("device", String(100), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("job_id", String(40)),
    Column("configuration_hash", String(64), nullable=False),
    Column("properties_hash", String(64)),
)
"""Every calibration of every device, oldest with the lowest number; the bytes are blobs."""

ledger = Table(
    "ledger",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("device", String(100), nullable=False),
    Column("user_id", String(40), nullable=False),
    Column("project_id", String(40), nullable=False),
    Column("job_id", String(40)),
    Column("session_id", String(40)),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Index("ix_ledger_ended", "ended_at"),
)
"""Append-only (R49); a trigger refuses updates."""

story = Table(
    "story",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", Float, nullable=False),
    Column("device", String(100), nullable=False),
    Column("entity", String(40), nullable=False),
    Column("cause", String(40), nullable=False),
    Column("before", String(20)),
    Column("after", String(20), nullable=False),
    Column("reason", Text),
    Column("kind", String(12), nullable=False, server_default="job"),  # of what the step is
    Column("user_id", String(40)),  # whose, where it is somebody's
    Column("project_id", String(40)),
    Column("session_id", String(40)),  # the job's, or the session itself
    Index("ix_story_entity", "entity", "id"),
    Index(
        "ix_story_crashed",
        "at",
        sqlite_where=text("cause = 'crashed'"),
        postgresql_where=text("cause = 'crashed'"),
    ),
)
"""Every transition of every job, session, device and reservation, and every calibration, with the reason
(docs/architecture.md). What it says of users and projects stays when a job is deleted."""

clock_steps = Table(
    "clock_steps",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", Float, nullable=False),
    Column("jumped", Float, nullable=False),
    Column("lead", Float, nullable=False),
)
"""When the machine's clock was set, and what that has done to the service's time (docs/decisions/0019)."""

journal = Table(
    "journal",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("device", String(100), nullable=False),
    Column("at", Float, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("did", LargeBinary, nullable=False),
    Column("digest", String(16), nullable=False),
)
"""What each lane was fed and what it decided, if that is recorded (docs/decisions/0007)."""

audit = Table(
    "audit",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", Float, nullable=False),
    Column("user_id", String(40)),  # who did it; none: the service itself, or nobody known
    Column("by", String(100), nullable=False),  # the name at that time
    Column("action", String(40), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", Text, nullable=False),  # JSON object; never a secret
    Column("address", String(64)),  # from where; none: the service itself, or in this process
    Column("request", String(64)),  # the id of the request, as in the log
    Index("ix_audit_at", "at"),
)
"""Who did what when to whom from where, of what is administrated; kept for `retention.audit_days`. A row is
never changed."""

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", String(100), nullable=False),  # as it is: what is delivered is signed with it
    Column("created_at", Float, nullable=False),
    Column("created_by", String(40), nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("kinds", Text, nullable=False),  # JSON list; empty: all
    Column("disabled", Text),
    Column("failures", Integer, nullable=False),
    Column("next_at", Float),
    Column("error", Text),
    Column("delivered", BigInteger),
    Column("delivered_at", Float),
)
"""Who is told of what happens in a project, and how far each is; see `sojourn.store.webhooks`."""

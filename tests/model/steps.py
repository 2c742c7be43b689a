"""The steps that jobs and sessions may take, and what never changes of them."""

from __future__ import annotations

FINAL = {"completed", "failed", "cancelled"}
JOB_STEPS = {
    "accepted": {"queued", "failed", "cancelled"},
    "queued": {"running", "failed", "cancelled"},
    "running": {"completed", "failed", "cancelled", "queued"},
}
SESSION_STEPS = {
    "open": {"active", "closed"},
    "active": {"inactive", "pending_inactive", "pending_closed", "closed"},
    "pending_inactive": {"inactive", "pending_closed"},
    "inactive": {"active", "closed"},
    "pending_closed": {"closed"},
}
LIVE = ("open", "active", "pending_inactive", "inactive")
NEVER_CHANGE = (
    "id",
    "seq",
    "user",
    "project",
    "program",
    "accepted_at",
    "own_limit",
    "stated",
    "session_id",
    "kind",
)

"""The numbers beside the reasons; those that the real service has too mean the same here."""

SESSION_CLOSED = 1217
"""R33, R35: the session takes or runs no more jobs."""
RAN_TOO_LONG = 1305
"""R52: the client raises RuntimeJobMaxTimeoutError for it."""
TOO_MANY_PENDING = 3458
"""R50."""
NOT_IN_SESSION = 1218
"""R5, R6: this job cannot be part of that session."""
OVER_LIMIT = 1219
"""R20: a time that was asked for exceeds a limit."""
ROOT_GONE = 1220
"""R40, R41: the session's first job was cancelled, or failed before its data was prepared."""
WINDOW_OVER = 1222
"""R44: the reservation ended before the job could start."""
BOOKING = 1223
"""R47: this reservation cannot be made."""
DEVICE_DRAINING = 1224
"""The device takes no new work."""
NO_SESSIONS = 1352
"""An open-plan instance may not open sessions (profile ibm2026)."""
CACHE_EXPIRED = 1221
"""R34: the cached data of the session's first job is gone."""
SYSTEM_FAILURE = 8100
"""The device or the service failed, not the job; nothing is charged (R49)."""
KILLED_WORKER = 9702
"""D23: the device's worker died in run after run of the job, which are charged."""
ALREADY_FINAL = 1214
"""R53: the job has ended."""
UNKNOWN = 1291
"""No such job or session on this lane."""

"""Every error number, with its name and meaning. Imports nothing.

A refusal and a job that has failed each have one; the client shows it as "Error code". Those that the service
of IBM has too mean the same here.
"""

NOT_AUTHENTICATED = 1001
"""No credentials, or credentials that grant nothing."""
NOT_ALLOWED = 1002
"""The caller is known, and may not do this."""
UNKNOWN_ACCOUNT = 1004
"""No such user, project or key, or not the caller's to see."""
BAD_REQUEST = 1200
"""The request cannot be understood, or a value in it is not allowed."""
NOT_JSON = 1201
"""The body is not valid JSON."""
UNKNOWN_PROGRAM = 1202
"""The service does not run such a program."""
JOB_UNFIT = 1204
"""The job's inputs or options cannot be run on the device; the message says which."""
UNKNOWN_DEVICE = 1205
"""No such device."""
DEVICE_UNAVAILABLE = 1206
"""The device has no worker that could answer."""
CONFLICT = 1214
"""R53: the job has ended, or something else is in a state in which this cannot be done."""
TOO_LARGE = 1215
"""The body, or what it unfolds to, is larger than a limit."""
UNKNOWN_SESSION = 1216
"""No such session, or not the caller's."""
SESSION_CLOSED = 1217
"""R33, R35: the session takes or runs no more jobs."""
NOT_IN_SESSION = 1218
"""R5, R6: this job cannot be part of that session."""
OVER_LIMIT = 1219
"""R20: a time that was asked for exceeds a limit."""
ROOT_LOST = 1220
"""R40, R41: the session's first job was cancelled, or failed before its data was prepared."""
CACHE_EXPIRED = 1221
"""R34: the cached data of the session's first job is gone."""
RESERVATION_OVER = 1222
"""R44: the reservation ended before the job could start."""
RESERVATION_REFUSED = 1223
"""R47: this reservation cannot be made."""
DEVICE_DRAINING = 1224
"""The device takes no new work."""
UNKNOWN_RESERVATION = 1225
"""No such reservation, or not the caller's to see."""
NOT_LEASED = 1226
"""Another scheduler gives the device out, and the caller does not hold it now."""
LEASED = 1227
"""Another user holds the device."""
NOT_FOUND = 1291
"""No such job or other thing, or not the caller's: the answer is the same."""
EXPIRED = 1292
"""It was there, and has been deleted because of its age."""
RAN_TOO_LONG = 1305
"""R52: the job ran longer than it may; the client raises RuntimeJobMaxTimeoutError for it."""
SESSIONS_NOT_ALLOWED = 1352
"""An open-plan instance may not open sessions (profile ibm2026)."""
NO_SUCH_PATH = 1404
"""There is nothing at this address, whoever asks."""
METHOD_NOT_POSSIBLE = 1405
"""The method is not possible at this address; the header `Allow` has those that are."""
ADDRESS_TOO_LONG = 1414
"""The address of the request is longer than a limit."""
TOO_MANY_REQUESTS = 1429
"""R50: more than a limit allows at this moment. Try again later."""
UNEXPECTED = 1500
"""A bug of the server; its log has the details under the id of the reply. Trying again may help."""
BUSY = 1503
"""A bound of the server is reached, whoever asks. Nothing was done; clients repeat it by themselves."""
DISK_FULL = 1507
"""The disk of the service has no room for it. Nothing was done."""
TOO_MANY_PENDING = 3458
"""R50: more jobs or sessions than one may have at a time."""
SYSTEM_FAILURE = 8100
"""The device or the service failed, not the job; nothing is charged (R49)."""
RUN_FAILED = 9701
"""The program raised an error on the device."""
WORKER_KILLED = 9702
"""D23: the device's worker died in run after run of the job, which are charged."""
OUT_OF_MEMORY = 9703
"""The job ran into the memory that one run may take; it is charged, as any failure of a job."""
INTERNAL_ERROR = 9999
"""A fault of the service in a run. It is charged: a job that provokes one must not run for free."""

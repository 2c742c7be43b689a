"""Owns `[server]`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sojourn.config.values import Folder, Number, Section, Whole


class ServerSettings(Section):
    """`[server]`: where it listens and where it keeps what it knows."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` is every one."
    )
    port: Whole = Field(
        default=8420, ge=0, le=65535, description="TCP port; 0 takes a free one, see `server.json`."
    )
    data: Folder = Field(
        default=Path("./sojourn-data"),
        description="Folder of the database, the job bodies and the keys. In a file, relative to that file.",
    )
    token_lifetime: Number = Field(
        default=3600.0,
        ge=5,
        le=86400,
        description="Life of the access tokens that API keys are exchanged for, in seconds. "
        "QRMI fetches a new one at every call when it is 360 or less, the Qiskit client when it is 10 or "
        "less.",
    )
    max_body_mb: Number = Field(
        default=64.0,
        gt=0,
        le=256,  # what fits into one frame to a worker
        description="Largest request body, in megabytes.",
    )
    head_kb: Number = Field(
        default=64.0,
        ge=8,
        le=1024,
        description="Longest address and headers of a request, in kilobytes. A longer one is answered 431.",
    )
    head_fields: Whole = Field(
        default=200, ge=50, le=10_000, description="Most header fields of a request; 431 for more."
    )
    head_seconds: Number = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Seconds from the first byte of a request to the end of its headers.",
    )
    body_seconds: Number = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Seconds for which a request body may pause. After 900 s it must be whole.",
    )
    reply_seconds: Number = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Seconds after which a client that reads nothing of its answer is cut off.",
    )
    connections: Whole = Field(
        default=0,
        ge=0,
        description="Open connections; one more is answered 503. 0 is what the limit of open files allows, "
        "which always holds.",
    )
    connections_per_address: Whole = Field(
        default=0,
        ge=0,
        description="Open connections from one address; 0 is no limit. Behind a proxy all have its address.",
    )
    incoming_mb: Number = Field(
        default=32.0,
        ge=2,
        le=100_000,
        description="Megabytes of requests that are not whole, or wait in their connections, in all. Beyond "
        "it the oldest such connection is cut off.",
    )
    unread_mb: Number = Field(
        default=32.0,
        ge=2,
        le=100_000,
        description="Megabytes of answers that clients have not read, in all. Beyond it the connection that "
        "has not read for longest is cut off.",
    )
    memory_mb: Number = Field(
        default=256.0,
        ge=16,
        le=1_000_000,
        description="Megabytes of memory for large bodies and answers in work, in all; a body counts twice, "
        "an answer as 4 MB. Who finds no room waits, and is answered 503. Bodies up to 1 MB have a quarter "
        "of it beside.",
    )
    memory_user_mb: Number = Field(
        default=128.0,
        ge=8,
        le=1_000_000,
        description="The same for one user: at least twice `max_body_mb`, at most half of `memory_mb`.",
    )
    spool_mb: Number = Field(
        default=2000.0,
        ge=1,
        le=10_000_000,
        description="Megabytes of files in the data folder for large bodies that are coming in, in all.",
    )
    spool_user_mb: Number = Field(
        default=500.0,
        ge=1,
        le=10_000_000,
        description="The same for one user; at least `max_body_mb`, at most half of `spool_mb`.",
    )
    room_seconds: Number = Field(
        default=20.0,
        ge=0.1,
        le=600,
        description="Seconds for which a request waits for room before it is answered 503.",
    )
    preparers: Whole = Field(
        default=2, ge=1, le=64, description="Processes that decode and check jobs before they are queued."
    )
    disk_reserve_mb: Number = Field(
        default=256.0,
        ge=0,
        description="Room on the disk of `data` that is kept for what is small, in megabytes, and at most a "
        "tenth of the disk. With less left no job is taken or started; 0 keeps nothing.",
    )
    prepare_seconds: Number = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Longest time that the preparation of a job may take, in seconds, however large it is.",
    )
    prepare_small_seconds: Number = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        description="What of it a job with next to no inputs may take, in seconds.",
    )
    prepare_seconds_per_mb: Number = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="What a job may take more for each megabyte of its inputs, in seconds.",
    )
    prepare_rate: Number = Field(
        default=0.2,
        ge=0,
        le=64,
        description="Seconds of preparation a second that a user may use in the long run, without the first "
        "0.25 s of each. Whoever uses more comes after all others.",
    )
    prepare_burst: Number = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Seconds of preparation that a user may use at once before `prepare_rate` holds.",
    )
    hung_seconds: Number = Field(
        default=10.0,
        ge=1,
        le=600,
        description="Seconds after which a fork server, a worker or a preparer that owes an answer is "
        "replaced. One that is stopped is replaced after 2 s. A run may take as long as its limit.",
    )
    journal: bool = Field(
        default=False,
        description="Record every event and decision of the queue, for `sojourn journal replay`.",
    )

"""The section `[server]`: address, data folder, and limits of connections, memory and preparation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sojourn.config.values import Folder, Number, Section, Whole


class ServerSettings(Section):
    """`[server]`: address, data folder, and limits of connections, memory and preparation."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` is all interfaces."
    )
    port: Whole = Field(
        default=8420, ge=0, le=65535, description="TCP port; 0 chooses a free one, see `server.json`."
    )
    data: Folder = Field(
        default=Path("./sojourn-data"),
        description="Folder of the database, the job bodies and the keys. In a file, relative to that file.",
    )
    token_lifetime: Number = Field(
        default=3600.0,
        ge=5,
        le=86400,
        description="Lifetime of the access tokens that are issued for API keys, in seconds. QRMI requests "
        "a new token for every call if it is 360 or less, the Qiskit client if it is 10 or less.",
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
        description="Largest URL and headers of a request, in kilobytes. A larger one is answered 431.",
    )
    head_fields: Whole = Field(
        default=200,
        ge=50,
        le=10_000,
        description="Maximum number of header fields of a request. More are answered 431.",
    )
    head_seconds: Number = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Timeout from the first byte of a request to the end of its headers, in seconds.",
    )
    body_seconds: Number = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Timeout between two parts of a request body, in seconds. After 900 s it must be "
        "complete.",
    )
    reply_seconds: Number = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Seconds after which the connection of a client that does not read its response is "
        "closed.",
    )
    connections: Whole = Field(
        default=0,
        ge=0,
        description="Maximum number of open connections; one more is answered 503. 0 is as many as the "
        "limit of open files allows, which always applies.",
    )
    connections_per_address: Whole = Field(
        default=0,
        ge=0,
        description="Maximum number of open connections from one address; 0 is no limit. Behind a proxy all "
        "have its address.",
    )
    streams: Whole = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Maximum number of open event streams; one more is answered 503.",
    )
    heartbeat_seconds: Number = Field(
        default=15.0,
        ge=1,
        le=60,
        description="Seconds after which an event stream without events sends a sign of life. Less than the "
        "idle timeout of a proxy in front.",
    )
    incoming_mb: Number = Field(
        default=32.0,
        ge=2,
        le=100_000,
        description="Total size of incomplete and waiting requests, in megabytes. Beyond it the oldest such "
        "connection is closed.",
    )
    unread_mb: Number = Field(
        default=32.0,
        ge=2,
        le=100_000,
        description="Total size of responses that clients have not read, in megabytes. Beyond it the "
        "connection that has not been read from for longest is closed.",
    )
    memory_mb: Number = Field(
        default=256.0,
        ge=16,
        le=1_000_000,
        description="Total memory for large bodies and responses that are being processed, in megabytes; a "
        "body counts twice, a response as 4 MB. Requests beyond it wait, and are answered 503 after "
        "`room_seconds`. Bodies up to 1 MB have another quarter of it.",
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
        description="Total size of files in the data folder for large bodies that are being received, in "
        "megabytes.",
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
        description="Seconds for which a request waits for memory or disk space before it is answered 503.",
    )
    preparers: Whole = Field(
        default=2,
        ge=1,
        le=64,
        description="Number of processes that decode and check jobs before they are queued.",
    )
    disk_reserve_mb: Number = Field(
        default=256.0,
        ge=0,
        description="Disk space of `data` that is reserved for small writes, in megabytes, at most a tenth "
        "of the disk. With less free space no job is accepted or started; 0 reserves nothing.",
    )
    prepare_seconds: Number = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Time limit of the preparation of a job of any size, in seconds.",
    )
    prepare_small_seconds: Number = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        description="Time limit of the preparation of a job with hardly any inputs, in seconds.",
    )
    prepare_seconds_per_mb: Number = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Additional preparation time for each megabyte of inputs, in seconds.",
    )
    prepare_rate: Number = Field(
        default=0.2,
        ge=0,
        le=64,
        description="Sustained preparation time of one user, in seconds per second, without the first 0.25 "
        "s of each job. Jobs of a user beyond it are prepared after those of all others.",
    )
    prepare_burst: Number = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Preparation time that a user can use at once before `prepare_rate` applies, in seconds.",
    )
    hung_seconds: Number = Field(
        default=10.0,
        ge=1,
        le=600,
        description="Seconds after which a fork server, an idle worker or an idle preparer that does not "
        "respond is replaced. A stopped one (SIGSTOP) is replaced after 2 s. A run can take as long as its "
        "limit.",
    )
    metrics: Literal["operators", "open"] = Field(
        default="operators",
        description="Who may read `/metrics`: `operators` with an API key, or everybody who reaches the "
        "port (`open`).",
    )
    journal: bool = Field(
        default=False,
        description="Record every event and decision of the queue in the database, for "
        "`sojourn journal replay`.",
    )
    traces: bool = Field(
        default=False,
        description="Send traces to an OpenTelemetry collector; needs the extra `otel`. Where to, and how "
        "many of them, is set by the variables `OTEL_…`.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How the log is written to standard error: lines of `text`, or an object of `json` each.",
    )

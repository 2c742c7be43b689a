"""The messages between server, fork server and workers, as msgspec structs in msgpack, and their version.

Does no I/O. Raw bodies and results are not in here: they
travel as the frame's payload.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sojourn.worker.protocol.types import Description, DeviceSpec, Prepared

PROTOCOL = 6
"""Raised whenever a message changes its meaning; both sides must agree (another interpreter may hold another
release of sojourn)."""

MAX_DESCRIPTION = 32 << 20
"""Bytes that the description of a device may have; one of 1,000 qubits has some 2 MB."""

MAX_TEXT = 96 << 10
"""Longest text (characters) in a header field, such as logs; longer ones lose their middle. Two of them at
four bytes a character fit into a header."""

DEFAULT_HOST = "sojourn.worker.host:DeviceHost"


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Worker, first word: who it is, and what it runs with. `qpy` is the newest version of QPY that it reads;
    0 where it has no Qiskit."""

    protocol: int
    pid: int
    sojourn: str
    python: str
    qiskit: str = ""
    qpy: int = 0


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Server: the devices that this worker may be asked for, and the class that runs them (dotted path).

    `memory`: bytes that one preparation may take beyond what the process has by then; 0 for no limit.
    `hidden`: a folder that the worker puts out of its own reach first; "" for none.
    """

    devices: tuple[DeviceSpec, ...]
    host_class: str
    memory: int = 0
    hidden: str = ""


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Server: load this device and, if asked, describe it. Answered by `Loaded` or `LoadFailed`.

    The payload is the properties (JSON text) of the calibration in force, or empty: then what the driver
    finds by itself holds. Sent again for a loaded device, it applies the new calibration.
    """

    device: str
    describe: bool


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """Server: prepare the job whose params are the payload."""

    id: int
    device: str
    program_id: str


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Server: run the job whose params are the payload. It starts at the service's time `at`, in seconds
    since the epoch; None for that of the machine.

    `job` is its id in the service, "" where nobody needs it, and `session` the one that it is in.
    """

    id: int
    device: str
    program_id: str
    job: str = ""
    session: str | None = None
    at: float | None = None


class SessionEnded(msgspec.Struct, frozen=True, tag="session-ended"):
    """Server: this session does not have the device any more. It is not answered."""

    device: str
    session: str


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Server, to a worker that runs that job: nobody wants its result. The end of the run answers it."""

    id: int


class AskHealth(msgspec.Struct, frozen=True, tag="ask-health"):
    """Server, to a worker that is idle: can this device take a job? Answered by `HealthReply`."""

    device: str


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Server, to a worker that is idle or to the fork server: say `Pong`."""


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """Worker or fork server: here."""


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """Worker: a device is being loaded; if the process dies now, no job is to blame."""

    device: str


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """Worker: the device is loaded. The payload is its `Description` if `Load` asked for it, else empty."""

    device: str


class LoadFailed(msgspec.Struct, frozen=True, tag="load-failed"):
    """Worker: the device cannot be loaded. `reason` is one line, `detail` a traceback."""

    device: str
    reason: str
    detail: str


class PreparedReply(msgspec.Struct, frozen=True, tag="prepared"):
    id: int
    prepared: Prepared


class RefusedReply(msgspec.Struct, frozen=True, tag="refused"):
    id: int
    message: str
    code: int


class UnavailableReply(msgspec.Struct, frozen=True, tag="unavailable"):
    """Worker: the job could not be looked at, or has not been run, for a reason that is not the job's."""

    id: int
    reason: str


class CompletedReply(msgspec.Struct, frozen=True, tag="completed"):
    """Worker: the payload is the result's text. The rest is as in `Completed`."""

    id: int
    quantum_seconds: float
    logs: str
    used: float | None = None
    held: float = 0.0


class FailedReply(msgspec.Struct, frozen=True, tag="failed"):
    id: int
    reason: str
    code: int
    detail: str
    logs: str
    used: float | None = None


class ProgressNote(msgspec.Struct, frozen=True, tag="progress"):
    """Worker, during a run: which part of it is done, 0 to 1, and a few words."""

    id: int
    part: float
    words: str


class HealthReply(msgspec.Struct, frozen=True, tag="health"):
    """Worker: the device can take a job, or `reason` says why not. With `reload` only a new worker can: this
    one is to be replaced."""

    device: str
    reason: str | None
    reload: bool = False


FromServer = Start | Load | Prepare | Run | Cancel | SessionEnded | AskHealth | Ping
FromWorker = (
    Hello
    | Pong
    | Loading
    | Loaded
    | LoadFailed
    | PreparedReply
    | RefusedReply
    | UnavailableReply
    | ProgressNote
    | CompletedReply
    | FailedReply
    | HealthReply
)


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Server to fork server, with two descriptors: the worker's socket and the pipe for its output."""

    token: int
    name: str
    drivers: tuple[str, ...]


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """Server to fork server: SIGKILL to that worker, if it has not been reaped."""

    token: int


class Importing(msgspec.Struct, frozen=True, tag="importing"):
    """Fork server: it imports the modules of these drivers now, and answers nothing until that is done."""

    drivers: tuple[str, ...]


class Up(msgspec.Struct, frozen=True, tag="up"):
    """Fork server: the imports are done."""

    seconds: float


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """Fork server, with a descriptor of the process (pidfd) where the kernel has them: its number alone could
    mean another process once this one has ended."""

    token: int
    pid: int


class ForkFailed(msgspec.Struct, frozen=True, tag="fork-failed"):
    token: int
    reason: str


class Died(msgspec.Struct, frozen=True, tag="died"):
    """Fork server: the worker has been reaped; `status` is a return code as `subprocess` counts them."""

    token: int
    status: int


ToForkserver = Fork | Kill | Ping
FromForkserver = Up | Pong | Importing | Forked | ForkFailed | Died

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_from_server: msgspec.msgpack.Decoder[FromServer] = msgspec.msgpack.Decoder(FromServer)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_to_forkserver: msgspec.msgpack.Decoder[ToForkserver] = msgspec.msgpack.Decoder(ToForkserver)
_from_forkserver: msgspec.msgpack.Decoder[FromForkserver] = msgspec.msgpack.Decoder(FromForkserver)
_description: msgspec.msgpack.Decoder[Description] = msgspec.msgpack.Decoder(Description)


class ProtocolError(Exception):
    """A message that this side does not know."""


def encode(message: FromServer | FromWorker | ToForkserver | FromForkserver) -> bytes:
    return _encoder.encode(message)


def _decode(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"unreadable message ({error})") from error


def from_server(header: bytes) -> FromServer:
    """Raises `ProtocolError`."""
    return _decode(_from_server, header)


def from_worker(header: bytes) -> FromWorker:
    """Raises `ProtocolError`."""
    return _decode(_from_worker, header)


def to_forkserver(datagram: bytes) -> ToForkserver:
    """Raises `ProtocolError`."""
    return _decode(_to_forkserver, datagram)


def from_forkserver(datagram: bytes) -> FromForkserver:
    """Raises `ProtocolError`."""
    return _decode(_from_forkserver, datagram)


def _plain(value: object) -> object:
    """NumPy scalars and arrays slip into what drivers say of a device: send their Python values."""
    convert = getattr(value, "tolist", None)
    if callable(convert):
        plain: object = convert()
        return plain
    raise NotImplementedError(f"a description may not hold a {type(value).__name__}")


_describe = msgspec.msgpack.Encoder(enc_hook=_plain)


def encode_description(description: Description) -> bytes:
    """The payload of `Loaded`. Raises `TypeError` or `NotImplementedError` on values without a plain form."""
    return _describe.encode(description)


def decode_description(payload: bytes) -> Description:
    """Raises `ProtocolError`."""
    if len(payload) > MAX_DESCRIPTION:
        raise ProtocolError(f"a description of {len(payload)} bytes; the limit is {MAX_DESCRIPTION}")
    return _decode(_description, payload)


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """`text`, or its beginning and end with a note of how much was left out between them.

    What UTF-8 cannot express (lone surrogates from file names) becomes a question mark.
    """
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"

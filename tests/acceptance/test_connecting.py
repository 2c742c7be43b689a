"""`connect` and `local`: a client of Qiskit in one call, and a process that is afterwards as it was before.

The whole kind: environments that name another server, an account of IBM or a proxy; an instance by name, by
CRN, unknown; a key, an address and an answer that are wrong; the ends that a program of one's own server can
come to: its block, `close`, the last reference, an interrupt, SIGKILL.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2, Session

from sojourn import connect, local
from sojourn.connecting import ConnectError, only_to
from sojourn.embedded import Embedded, EmbeddedError

MOCK = {"name": "bench", "driver": "mock", "options": {"qubits": 5}}
STRANGE = {
    "QISKIT_IBM_TOKEN": "a-key-for-ibm",
    "QISKIT_IBM_URL": "https://cloud.ibm.com",
    "QISKIT_IBM_INSTANCE": "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::",
    "QISKIT_IBM_CHANNEL": "ibm_cloud",
    "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",
    "IAM_URL": "http://127.0.0.1:9",
    "GLOBAL_SEARCH_URL": "http://127.0.0.1:9",
    "GLOBAL_CATALOG_URL": "http://127.0.0.1:9/catalog",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("server"), devices=[MOCK]) as running:
        yield running


def runs_a_job(service: QiskitRuntimeService, device: str = "bench") -> None:
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    with Session(backend=service.backend(device)) as session:
        assert SamplerV2(mode=session).run([circuit], shots=7).result()[0].data.meas.num_shots == 7


# connect


def test_connect_gives_a_client_of_the_project_that_is_named(server: Embedded) -> None:
    first, second = server.user("ada", "first"), server.user("ada", "second")
    for wanted, project in (("second", second), (first.instance, first)):
        service = connect(server.url, first.api_key, wanted)
        assert type(service) is QiskitRuntimeService
        assert service.active_instance() == project.instance
        runs_a_job(service)
    anywhere = connect(f"{server.url}/experimental/api/v1/", second.api_key)
    assert {each["name"] for each in anywhere.instances()} == {"first", "second"}
    for project in (first, second):
        assert anywhere.backend("bench", instance=project.instance).status().operational


def test_what_connect_finds_in_the_environment_stays_there_and_has_no_effect(
    server: Embedded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    account = tmp_path / ".qiskit" / "qiskit-ibm.json"
    account.parent.mkdir()
    account.write_text(
        json.dumps({"default": {"channel": "ibm_cloud", "token": "saved", "url": "https://x"}})
    )
    saved = account.read_bytes()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in STRANGE.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    service = connect(server.url, server.local_key)
    assert dict(os.environ) == before
    runs_a_job(service)
    assert dict(os.environ) == before
    assert account.read_bytes() == saved


def test_clients_of_two_servers_renew_their_tokens_each_at_its_own(tmp_path: Path) -> None:
    quick = {"token_lifetime": 5}  # the client fetches one for every request
    with Embedded(tmp_path / "a", devices=[MOCK], server=quick) as one:
        with Embedded(tmp_path / "b", devices=[MOCK], server=quick) as two:
            services = [connect(each.url, each.local_key) for each in (one, two)]
            assert "IAM_URL" not in os.environ
            for service in (*services, *services):
                runs_a_job(service)
        runs_a_job(services[0])


@pytest.mark.parametrize("proxied", [False, True])
def test_a_key_never_goes_to_a_host_of_ibm(
    server: Embedded, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    """A copy of a backend makes a connection of its own, and without the variable takes IBM's address."""
    service = connect(server.url, server.local_key)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.5)
    if proxied:  # where a proxy of the environment would let it out
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
    copied = copy.deepcopy(service.backend("bench"))
    with pytest.warns(UserWarning, match="access token"):
        copied.status()
    with listener, pytest.raises(TimeoutError):
        listener.accept()


def test_over_https_the_hosts_that_would_get_the_key_are_out_of_reach() -> None:
    urls = only_to("https://qpu.example.org")["urls"]
    assert {"https://iam.cloud.ibm.com", "https://private.iam.cloud.ibm.com"} <= set(urls)
    assert set(urls.values()) == {"http://127.0.0.1:9"}  # nobody is there
    assert not {"http", "https", "all", "https://qpu.example.org"} & set(urls)


def test_connect_says_what_is_wrong(server: Embedded) -> None:
    with pytest.raises(ConnectError, match="has no instance 'chemistry'; it has: local"):
        connect(server.url, server.local_key, "chemistry")
    with pytest.raises(ConnectError, match=r"refused the key: .*not known"):
        connect(server.url, "wrong")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ConnectError, match=f"no server answers at http://127.0.0.1:{port}"):
        connect(f"http://127.0.0.1:{port}", "key")
    for url in ("127.0.0.1:8420", "ftp://x", "http://", ""):
        with pytest.raises(ValueError, match="it must be http://HOST:PORT or https://HOST"):
            connect(url, "key")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"instances": 5}', b"{}"])
def test_something_else_at_the_address_is_told_apart(body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.handle_request).start()
        with pytest.raises(ConnectError, match="is not a Sojourn server"):
            connect(f"http://127.0.0.1:{other.server_port}", "key")


# local


def is_running(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_local_gives_a_client_and_ends_its_server_with_the_block() -> None:
    before = dict(os.environ)
    with local([MOCK]) as service:
        assert isinstance(service, QiskitRuntimeService)
        assert dict(os.environ) == before
        runs_a_job(service)
        pid, data = service.server.pid, service.server.data
        other = service.server.user("ada", "chemistry")
        runs_a_job(connect(service.server.url, other.api_key))
    assert not is_running(pid)
    assert not data.exists()
    assert dict(os.environ) == before
    service.close()  # a second time is no error


def test_local_lasts_as_long_as_anything_that_came_of_it() -> None:
    backend = local([MOCK]).backend("bench")
    gc.collect()
    assert backend.status().operational
    pid = backend.service.server.pid
    del backend
    gc.collect()
    assert not is_running(pid)


def test_a_name_is_that_of_a_fake_backend() -> None:
    with local(["FakeManilaV2"]) as service:
        assert [backend.name for backend in service.backends()] == ["fake_manila"]
        assert service.backend("fake_manila").num_qubits == 5


def test_a_server_that_does_not_come_up_says_why_and_leaves_nothing() -> None:
    with pytest.raises(EmbeddedError, match="unknown driver"):
        local([{"name": "x", "driver": "none"}])


PROGRAM = """
import time
from sojourn import local
service = local([{"name": "bench", "driver": "mock", "options": {"qubits": 5}}])
try:
    print(service.server.pid, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print(service.backend("bench").status().operational, flush=True)
    time.sleep(60)
"""


def ends_soon(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_is_for_the_program_and_its_end_is_that_of_the_server(how: signal.Signals) -> None:
    """As in a notebook, where the button that interrupts the kernel signals its whole process group."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        os.killpg(program.pid, signal.SIGINT)
        assert program.stdout.readline() == "True\n"
        assert is_running(pid)
    finally:
        program.send_signal(how)
        program.wait()
    assert ends_soon(pid)


def test_importing_sojourn_loads_nothing_of_it() -> None:
    code = (
        "import sys; before = set(sys.modules); import sojourn; "
        "print(*sorted(set(sys.modules) - before)); "
        "assert 'local' in dir(sojourn); from sojourn import local, connect; "
        "print(*(name for name in sys.modules if name.startswith(('qiskit', 'numpy', 'httpx', 'pydantic'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["sojourn", ""]

"""R54 with real nginx between the real client and the server.

The whole kind: whichever way a proxy treats connections (one a request in HTTP/1.0, which is nginx's default;
kept ones in HTTP/1.1, as documented; a forward proxy), equal submits are jobs of their own, and those that
the client itself repeats after the proxy has given up are not.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2

from sojourn.embedded import Embedded
from tests.acceptance.nginx import Nginx, documented, program
from tests.acceptance.test_kill import processes_of
from tests.harness.programs import bell

pytestmark = pytest.mark.skipif(program() is None, reason="nginx is not installed")

DEVICES = [{"name": "mock", "driver": "mock", "options": {"qubits": 5}}]
SUBMIT = "POST /experimental/api/v1/jobs"
PLAIN = """
server {{
    listen ADDRESS;
    client_max_body_size 70m;
    location / {{
        proxy_pass http://{upstream};
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        {more}
    }}
}}
"""
FORWARD = """
server {
    listen ADDRESS;
    client_max_body_size 70m;
    location / {
        proxy_pass http://$http_host$request_uri;
        proxy_set_header Via "1.1 proxy";
    }
}
"""


def behind(upstream: str) -> dict[str, str]:
    return {
        "default": PLAIN.format(upstream=upstream, more=""),
        "documented": documented(upstream),
        "impatient": PLAIN.format(upstream=upstream, more="proxy_read_timeout 300ms;"),
        "forward": FORWARD,
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=DEVICES) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(server: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), behind(urlsplit(server.url).netloc)) as running:
        yield running


def client(server: Embedded, patch: pytest.MonkeyPatch, url: str) -> QiskitRuntimeService:
    """An unmodified client that takes the server to be at `url`."""
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        patch.delenv(name, raising=False)
    for name, value in server.env().items():
        patch.setenv(name, value.replace(server.url, url))
    return QiskitRuntimeService()


def signal_all(handles: list[int], number: signal.Signals) -> None:
    for handle in handles:
        signal.pidfd_send_signal(handle, number)


def jobs_of(server: Embedded) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/jobs", limit=200)["jobs"]
    return found


@pytest.mark.parametrize("way", ["default", "documented"])
def test_r54_equal_runs_behind_nginx_are_jobs_of_their_own(
    server: Embedded, nginx: Nginx, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    backend = client(server, monkeypatch, nginx.url(way)).backend("mock")
    jobs = [SamplerV2(mode=backend).run([bell()], shots=16) for _ in range(5)]
    assert len({job.job_id() for job in jobs}) == 5
    assert jobs[-1].result()[0].data.c.num_shots == 16
    assert nginx.statuses(way, SUBMIT, until=200)


def test_r54_equal_runs_through_a_forward_proxy_are_jobs_of_their_own(
    server: Embedded, nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends it the whole address of the server, and it adds `Via`."""
    with monkeypatch.context() as patch:
        service = client(server, patch, server.url)
        patch.setenv("http_proxy", nginx.url("forward"))
        backend = service.backend("mock")
        jobs = [SamplerV2(mode=backend).run([bell()], shots=16) for _ in range(5)]
    assert len({job.job_id() for job in jobs}) == 5
    assert nginx.statuses("forward", SUBMIT, until=200)


def test_r54_a_submit_that_nginx_gives_up_and_the_client_repeats_is_one_job(
    server: Embedded, nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx answers 504 until the check of the job goes on; the repetitions wait for the first submit."""
    backend = client(server, monkeypatch, nginx.url("impatient")).backend("mock")
    before = {job["id"] for job in jobs_of(server)}
    workers = processes_of(server)
    with ThreadPoolExecutor(1) as pool:
        signal_all(workers, signal.SIGSTOP)
        try:
            running = pool.submit(lambda: SamplerV2(mode=backend).run([bell()], shots=17))
            assert nginx.statuses("impatient", SUBMIT, until=504) == [504]
        finally:
            signal_all(workers, signal.SIGCONT)
        job = running.result()
    assert set(nginx.statuses("impatient", SUBMIT, until=200)) == {504, 200}
    assert {found["id"] for found in jobs_of(server)} - before == {job.job_id()}
    assert SamplerV2(mode=backend).run([bell()], shots=17).job_id() != job.job_id()
    for handle in workers:
        os.close(handle)

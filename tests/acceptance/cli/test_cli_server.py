"""The command line against a running server: what it adds is there, what it shows is what the server says."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.embedded import Embedded, EmbeddedError

MOCK = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK]) as running:
        yield running


def sojourn(server: Embedded, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    return subprocess.run(
        [sys.executable, "-m", "sojourn", *arguments, "--data", str(server.data)],
        capture_output=True,
        text=True,
        env={**clean, "COLUMNS": "80", **variables},
        check=False,
    )


def data(server: Embedded, *arguments: str) -> dict[str, Any]:
    done = sojourn(server, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_the_keys_of_the_data_folder_are_for_their_owner_alone(server: Embedded) -> None:
    for name in ("operator.key", "local.key"):
        assert stat.S_IMODE((server.data / name).stat().st_mode) == 0o600


def test_a_user_is_added_listed_and_revoked(server: Embedded) -> None:
    made = data(server, "users", "add", "ada", "--project", "chem")
    assert set(made) == {"name", "project", "instance", "api_key"}
    assert str(made["instance"]).startswith("crn:")
    url = server.url
    asked = ["jobs", "--url", url, "--token", str(made["api_key"])]
    assert sojourn(server, *asked).returncode == 0
    listed = sojourn(server, "users", "list").stdout
    assert "ada" in listed
    assert "chem" in listed
    assert "crashes" in listed.splitlines()[0]
    assert data(server, "users", "revoke", "ada")["revoked"] is True
    refused = sojourn(server, *asked)
    assert refused.returncode == 1
    assert "401" in refused.stderr


def test_a_user_who_is_no_operator_cannot_add_users(server: Embedded) -> None:
    key = server.user("bob", "physics")
    done = sojourn(server, "users", "add", "eve", "-P", "x", "--url", server.url, "--token", key.api_key)
    assert done.returncode == 1
    assert "operator" in done.stderr


def test_the_same_user_twice_is_refused_with_a_sentence(server: Embedded) -> None:
    server.user("carl", "physics")
    done = sojourn(server, "users", "add", "carl", "--project", "physics")
    assert done.returncode == 1
    assert "carl" in done.stderr
    assert "Traceback" not in done.stderr


def test_devices_are_shown(server: Embedded) -> None:
    (device,) = data(server, "devices")["devices"]
    assert (device["name"], device["num_qubits"], device["operational"]) == ("bench", 5, True)
    assert "bench" in sojourn(server, "devices").stdout
    assert data(server, "devices", "show", "bench")["name"] == "bench"
    assert "bench" in sojourn(server, "devices", "show", "bench").stdout


def test_a_job_and_a_session_are_listed_and_shown_with_their_history(server: Embedded) -> None:
    from qiskit import QuantumCircuit
    from qiskit_ibm_runtime import SamplerV2, Session

    service = server.service()
    circuit = QuantumCircuit(2)
    circuit.measure_all()
    with Session(backend=service.backend("bench")) as session:
        job = SamplerV2(mode=session).run([circuit], shots=10)
        job.result()
    job_id = job.job_id()

    listed = sojourn(server, "jobs")
    assert job_id in listed.stdout
    assert "completed" in listed.stdout
    assert max(map(len, listed.stdout.splitlines())) <= 80
    assert data(server, "jobs", "--session", str(session.session_id))["count"] == 1
    shown = data(server, "jobs", "show", job_id)
    assert shown["id"] == job_id
    assert [entry["after"] for entry in shown["history"]][-1] == "completed"
    assert "completed" in sojourn(server, "jobs", "show", job_id).stdout
    again = sojourn(server, "jobs", "cancel", job_id)
    assert again.returncode == 1

    assert str(session.session_id) in sojourn(server, "sessions").stdout
    assert data(server, "sessions", "show", str(session.session_id))["mode"] == "dedicated"
    assert sojourn(server, "sessions", "show", str(session.session_id)).returncode == 0
    assert sojourn(server, "sessions", "close", str(session.session_id)).returncode == 0


def test_a_drained_session_is_said_to_take_no_more_jobs(server: Embedded) -> None:
    session, job = waiting_in_a_session(server)
    drained = sojourn(server, "sessions", "close", session, "--drain")
    assert drained.stdout == f"{session} takes no more jobs; it is open\n"
    assert sojourn(server, "sessions", "close", session).stdout == f"{session} is closed\n"
    assert sojourn(server, "sessions", "close", session, "--drain").stdout == f"{session} is closed\n"
    assert data(server, "jobs", "show", job)["state"] == "failed"
    sojourn(server, "devices", "resume", "bench")


def test_jobs_that_have_ended_and_those_that_have_not_are_listed_apart(server: Embedded) -> None:
    session, job = waiting_in_a_session(server)
    for flags, there in (((), True), (("--pending",), True), (("--final",), False)):
        assert (job in sojourn(server, "jobs", *flags).stdout) is there
    sojourn(server, "sessions", "close", session)
    for flags, there in (((), True), (("--pending",), False), (("--final",), True)):
        assert (job in sojourn(server, "jobs", *flags).stdout) is there
    sojourn(server, "devices", "resume", "bench")


def waiting_in_a_session(server: Embedded) -> tuple[str, str]:
    """(session, its first job), which waits, as the device is paused."""
    from qiskit import QuantumCircuit
    from qiskit_ibm_runtime import SamplerV2, Session

    sojourn(server, "devices", "pause", "bench")
    circuit = QuantumCircuit(2)
    circuit.measure_all()
    session = Session(backend=server.service().backend("bench"))
    job = SamplerV2(mode=session).run([circuit], shots=10)
    return str(session.session_id), job.job_id()


def test_what_is_not_there_is_said_to_be_not_there(server: Embedded) -> None:
    for command in ("jobs", "sessions"):
        done = sojourn(server, command, "show", "nothing/../here")
        assert done.returncode == 1
        assert "404" in done.stderr


def test_way_a_asks_for_the_crn_and_both_ways_connect(server: Embedded) -> None:
    program = "from qiskit_ibm_runtime import QiskitRuntimeService as S; print(S().backend('bench').name)"
    key = server.user("dora", "optics")
    for way in ("A", "D"):
        done = sojourn(
            server,
            "env",
            "--way",
            way,
            "--json",
            "--url",
            server.url,
            "--token",
            key.api_key,
            "--instance",
            "optics",
        )
        found = json.loads(done.stdout)
        assert found["QISKIT_IBM_INSTANCE"] == key.instance
        clean = {k: v for k, v in os.environ.items() if not k.startswith("QISKIT_")}
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**clean, **found},
            check=False,
        )
        assert (ran.stdout.strip(), ran.stderr) == ("bench", "")


def test_without_an_instance_a_program_may_choose_one_by_name_and_is_not_warned(server: Embedded) -> None:
    first, second = server.user("fred", "first"), server.user("fred", "second")
    program = (
        "from qiskit_ibm_runtime import QiskitRuntimeService as S; "
        "s = S(); print(s.active_instance() in {i['crn'] for i in s.instances()}); "
        "print(S(instance='second').active_instance())"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QISKIT_")}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**clean, **server.env(first.api_key)},
        check=False,
    )
    assert (ran.stdout.split(), ran.stderr) == (["True", second.instance], "")


def test_clients_of_two_users_live_side_by_side_in_one_process(server: Embedded) -> None:
    one, two = server.user("gina", "g"), server.user("hugo", "h")
    services = [server.service(one), server.service(two)]
    assert [service.active_instance() for service in services] == [one.instance, two.instance]
    assert "QISKIT_IBM_TOKEN" not in os.environ


def test_env_names_the_only_project_of_a_user_by_its_crn_and_lists_those_of_who_has_several(
    server: Embedded,
) -> None:
    """QISKIT_IBM_INSTANCE is what old clients and QRMI understand as well, unless there is a choice."""
    key = server.user("iris", "iris-one")
    asked = ("env", "--url", server.url, "--token", key.api_key)
    one = sojourn(server, *asked)
    assert f"export QISKIT_IBM_INSTANCE={key.instance};" in one.stdout
    assert one.stdout.splitlines()[-1] == (
        "# QISKIT_IBM_INSTANCE is the project iris-one, the only one of this user"
    )
    assert data(server, *asked)["QISKIT_IBM_INSTANCE"] == key.instance
    assert data(server, *asked, "--instance", "auto")["QISKIT_IBM_INSTANCE"] == "auto"
    second = server.user("iris", "iris-two")
    for shell in ("sh", "fish", "powershell"):
        several = sojourn(server, *asked, "--shell", shell).stdout.splitlines()
        assert several[-2:] == [f"# iris-one {key.instance}", f"# iris-two {second.instance}"]
        assert "auto" in " ".join(line for line in several if line[0] != "#")
    chosen = sojourn(server, *asked, "--instance", "iris-two").stdout
    assert f"export QISKIT_IBM_INSTANCE={second.instance};" in chosen
    assert chosen.splitlines()[-1] == "# QISKIT_IBM_INSTANCE is the project iris-two"


def test_env_of_a_server_that_does_not_answer_says_so_and_prints_what_it_can() -> None:
    command = [
        sys.executable,
        "-m",
        "sojourn",
        "env",
        "--url",
        "http://127.0.0.1:9",
        "--token",
        "k",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["QISKIT_IBM_INSTANCE"] == "auto"
    assert "no server answers" in done.stderr
    bound = subprocess.run([*command, "--way", "A"], capture_output=True, text=True, check=False)
    assert (bound.returncode, bound.stdout) == (1, "")


def test_env_of_a_key_that_is_not_valid_says_so(server: Embedded) -> None:
    done = sojourn(server, "env", "--url", server.url, "--token", "wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert "401" in done.stderr


def test_revoking_a_user_says_what_is_left_and_how_to_end_it(server: Embedded) -> None:
    from qiskit import QuantumCircuit
    from qiskit_ibm_runtime import SamplerV2, Session

    key = server.user("kim", "kims")
    sojourn(server, "devices", "pause", "bench")
    circuit = QuantumCircuit(2)
    circuit.measure_all()
    backend = server.service(key).backend("bench")
    session = Session(backend=backend)
    SamplerV2(mode=session).run([circuit], shots=10)
    job = SamplerV2(mode=backend).run([circuit], shots=11)
    done = sojourn(server, "users", "revoke", "kim")
    said = done.stdout.splitlines()
    assert said[:3] == ["kim is revoked", "1 session of kim left:", f"  {session.session_id} on bench: open"]
    assert "2 jobs of kim left:" in said
    assert f"  {job.job_id()} on bench: queued" in said
    assert "sojourn users revoke kim --close-sessions --cancel-jobs" in done.stderr
    closed = sojourn(server, "users", "revoke", "kim", "--close-sessions")
    assert "1 session closed" in closed.stdout
    assert "1 job of kim left:" in closed.stdout
    assert closed.stderr.rstrip().endswith("sojourn users revoke kim --cancel-jobs")
    ended = sojourn(server, "users", "revoke", "kim", "--close-sessions", "--cancel-jobs")
    assert ended.stdout.splitlines() == ["kim is revoked", "1 job cancelled"]
    assert ended.stderr == ""
    assert data(server, "users", "revoke", "kim")["jobs"] == {"count": 0, "oldest": []}
    assert data(server, "jobs", "show", job.job_id())["state"] == "cancelled"
    sojourn(server, "devices", "resume", "bench")


def test_an_instance_that_the_key_does_not_have_is_named_with_those_that_it_has(server: Embedded) -> None:
    key = server.user("emil", "optics")
    done = sojourn(
        server, "env", "--way", "A", "--url", server.url, "--token", key.api_key, "--instance", "optic"
    )
    assert done.returncode == 1
    assert "optics" in done.stderr


def test_way_a_binds_to_the_first_project_and_names_the_others(server: Embedded) -> None:
    """Way A is of one instance: also where any of them is asked for."""
    first = server.user("nora", "nora-one")
    server.user("nora", "nora-two")
    for asked in ((), ("--instance", "auto")):
        done = sojourn(server, "env", "--way", "A", "--url", server.url, "--token", first.api_key, *asked)
        assert f"export QISKIT_IBM_INSTANCE={first.instance};" in done.stdout.splitlines()
        remark = done.stdout.splitlines()[-1]
        assert "the project nora-one" in remark
        assert "nora-two" in remark


def test_an_embedded_server_is_gone_afterwards_and_says_why_when_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="port"), Embedded(tmp_path / "a", server={"prot": 1}):
        pass
    with Embedded(tmp_path / "b", devices=[MOCK]) as running:
        pid = running.pid
        assert (tmp_path / "b" / "server.json").exists()
    assert not (tmp_path / "b" / "server.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_port_that_is_taken_is_named_with_what_to_do(server: Embedded, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, "-m", "sojourn", "serve", "--port", port, "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
def test_an_embedded_server_ends_with_the_program_that_started_it(tmp_path: Path, end: str) -> None:
    program = (
        "import os\n"
        "from sojourn.embedded import Embedded\n"
        f"server = Embedded(__import__('pathlib').Path({str(tmp_path)!r}), devices=[{MOCK!r}]).start()\n"
        f"print(server.pid, flush=True)\n{end}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip().isdigit(), done.stderr
    with (tmp_path / "server.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the server's end, as long as the test may last
    assert not (tmp_path / "server.json").exists()

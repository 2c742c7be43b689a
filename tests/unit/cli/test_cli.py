"""The command line finds its server, ends with the right number and helps when it cannot go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.cli.connection import Where, address
from sojourn.cli.errors import CliError


def sojourn(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    return subprocess.run(
        [sys.executable, "-m", "sojourn", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**clean, **variables},
        check=False,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as the server leaves it."""
    (tmp_path / "operator.key").write_text("op\n", encoding="utf-8")
    (tmp_path / "local.key").write_text("lo\n", encoding="utf-8")
    return tmp_path


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys, sojourn.cli.main; "
        "heavy = ('qiskit', 'numpy', 'scipy', 'httpx', 'pydantic', 'fastapi', 'sqlalchemy', 'uvicorn'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
    assert sojourn("--version").stdout.startswith("sojourn ")
    assert "serve" in sojourn("--help").stdout


def test_a_server_given_by_url_wins_over_every_file(data: Path) -> None:
    where = Where(url="http://h:1/", token="t", data=data)
    assert (where.find_url(), where.find_key("operator")) == ("http://h:1", "t")


def test_the_running_server_is_found_by_its_data_folder(data: Path) -> None:
    (data / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": 1}), encoding="utf-8")
    where = Where(data=data)
    assert where.find_url() == "http://127.0.0.1:9"
    assert (where.find_key("operator"), where.find_key("local")) == ("op", "lo")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "ftp'])
def test_a_broken_note_of_the_server_is_not_believed(data: Path, text: str) -> None:
    (data / "server.json").write_text(text, encoding="utf-8")
    assert Where(data=data).find_url() == "http://127.0.0.1:8420"


def test_the_configuration_names_the_address_of_a_server_that_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[server]\nhost = '0.0.0.0'\nport = 77\n", encoding="utf-8")
    assert Where(config=path).find_url() == "http://127.0.0.1:77"
    assert address("::", 5) == "http://[::1]:5"
    assert address("fe80::1", 5) == "http://[fe80::1]:5"


def test_a_key_of_this_machine_is_never_sent_to_a_server_given_by_url(data: Path) -> None:
    with pytest.raises(CliError, match="--token"):
        Where(url="http://elsewhere:1", data=data).find_key("operator")


def test_without_a_key_the_message_says_where_one_comes_from(tmp_path: Path) -> None:
    done = sojourn("devices", cwd=tmp_path)
    assert done.returncode == 1
    assert "operator.key" in done.stderr
    assert "sojourn serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_named_with_the_way_to_start_it() -> None:
    done = sojourn("jobs", "--url", "http://127.0.0.1:1", "--token", "k")
    assert done.returncode == 1
    assert "http://127.0.0.1:1" in done.stderr
    assert "sojourn serve" in done.stderr


def test_variables_name_the_server_as_flags_do() -> None:
    done = sojourn("env", "--json", SOJOURN_URL="http://127.0.0.1:5", SOJOURN_TOKEN="k")
    assert json.loads(done.stdout)["QISKIT_IBM_TOKEN"] == "k"
    assert json.loads(done.stdout)["IAM_URL"] == "http://127.0.0.1:5"


def test_env_uses_the_local_user_of_the_data_folder(data: Path) -> None:
    found = json.loads(sojourn("env", "--data", str(data), "--shell", "json").stdout)
    assert found["QISKIT_IBM_TOKEN"] == "lo"
    assert found["QISKIT_IBM_INSTANCE"] == "auto"


def test_a_call_in_a_wrong_way_ends_with_2() -> None:
    assert sojourn("jobs", "--limit", "0").returncode == 2
    assert sojourn("users", "add", "ada").returncode == 2
    assert sojourn("nonsense").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("projects", "set", "physics", "--weight", "nan"), "--weight: 'nan' is not a number"),
        (("projects", "add", "physics", "--weight", "inf"), "--weight: 'inf' is not a number"),
        (("accounts", "set", "nope", "--weight", "1e400"), "--weight: '1e400' is not a number"),
        (("usage", "--csv", "--watch"), "--csv or --watch, one of the two"),
        (("projects", "set", "physics", "--limit", "payload_mb=nan"), "--limit payload_mb: 'nan' is not a"),
        (("projects", "set", "physics", "--limit", "circuits"), "NAME=VALUE"),
        (("projects", "set", "physics", "--user", "bob=nan"), "--user bob: 'nan' is not a number"),
        (("projects", "set", "physics", "--allocation", "nan"), "--allocation: 'nan' is not a number"),
        (("projects", "set", "physics"), "nothing to change"),
        (("usage", "--from", "yesterday"), "--from 'yesterday': it must be a date (2026-11-01)"),
        (("usage", "--to", "999999d"), "--to '999999d': it must be a date (2026-11-01)"),
        (("jobs", "--pending", "--final"), "one of the two"),
        (("reservations", "add", "bench", "--end", "+2h", "--for", "1h"), "one of the two"),
        (("jobs", "show", "j\udcff"), r"'j\udcff' is not text in UTF-8"),
        (("projects", "set", "physics", "--admin", "\udcff"), r"'\udcff' is not text in UTF-8"),
    ],
)
def test_what_the_command_sees_by_itself_is_one_sentence_and_ends_with_2(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = sojourn(*arguments, cwd=tmp_path)  # no server is asked
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("sojourn: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("key", ["schl\u00fcssel", "\udcff", "two words", "line\nend"])
def test_a_key_that_no_request_can_carry_is_a_sentence_that_does_not_show_it(data: Path, key: str) -> None:
    for command in ("devices", "env"):
        for done in (sojourn(command, cwd=data, SOJOURN_TOKEN=key), sojourn(command, "--token", key)):
            assert done.returncode == 1
            assert "the API key of --token (or SOJOURN_TOKEN) has a character" in done.stderr
            assert key not in done.stderr
            assert len(done.stderr.splitlines()) == 1
    (data / "operator.key").write_bytes(b"\xff\xfe")
    done = sojourn("devices", "--data", str(data))
    assert "the operator key at" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_configuration_stops_serve_with_the_key_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[policy]\npol_hold = 1\n", encoding="utf-8")
    done = sojourn("serve", "--config", str(path))
    assert done.returncode == 1
    assert "policy.pol_hold" in done.stderr
    assert "did you mean 'poll_hold'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_process_starts_without_qiskit_and_numpy() -> None:
    code = (
        "import sys, sojourn.api.server, sojourn.service.service; "
        "heavy = ('qiskit', 'qiskit_aer', 'qiskit_ibm_runtime', 'numpy', 'scipy'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )

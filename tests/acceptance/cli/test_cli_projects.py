"""`sojourn projects` and `sojourn usage` against a server."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import SamplerV2

from sojourn.embedded import Embedded

MOCK = {"name": "bench", "driver": "mock", "options": {"qubits": 5}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("data"), devices=[MOCK]) as running:
        yield running


def sojourn(server: Embedded, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    command = [sys.executable, "-m", "sojourn", *arguments, "--data", str(server.data)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean)


def printed(server: Embedded, *arguments: str) -> Any:
    done = sojourn(server, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_project_is_made_changed_listed_and_shown(server: Embedded) -> None:
    made = printed(server, "projects", "add", "chem", "--account", "uni", "--weight", "2")
    assert (made["account"], made["weight"]) == ("uni", 2)
    server.user("ada", "chem")
    flags: tuple[str, ...] = (
        "--allocation",
        "3600",
        "--plan",
        "open",
        "--limit",
        "circuits=7",
        "--user",
        "ada=3",
        "--admin",
        "ada",
    )
    made = printed(server, "projects", "set", "chem", *flags)
    assert (made["allocation"], made["plan"], made["limits"]["circuits"]) == (3600, "open", 7)
    assert (made["members"][0]["weight"], made["members"][0]["admin"]) == (3, True)
    flags = ("--allocation", "none", "--limit", "circuits=default", "--no-admin", "ada", "--weight", "0")
    made = printed(server, "projects", "set", "chem", *flags)
    assert (made["allocation"], made["own_limits"], made["members"][0]["admin"]) == (None, [], False)
    assert printed(server, "projects", "set", "chem", "--tags", "Teaching, night shift")["tags"] == [
        "teaching",
        "night shift",
    ]
    assert "teaching, night shift" in sojourn(server, "projects", "show", "chem").stdout
    assert printed(server, "projects", "set", "chem", "--tags", "")["tags"] == []
    listed = sojourn(server, "projects", "list")
    assert "chem" in listed.stdout
    assert max(map(len, listed.stdout.splitlines())) <= 80
    shown = sojourn(server, "projects", "show", "chem").stdout
    assert "pending_per_user 10000" in shown
    assert "ada" in shown
    assert printed(server, "accounts", "set", "uni", "--weight", "5")["accounts"] == [
        {"name": "uni", "weight": 5}
    ]
    assert "uni" in sojourn(server, "accounts").stdout
    nobody = sojourn(server, "accounts", "list", "nobody")
    assert (nobody.returncode, "nobody" in nobody.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "local", "--limit", "circus=1"), "circuits"),
        (("set", "local", "--weight", "-1"), "-1"),
        (("set", "nowhere", "--weight", "1"), "nowhere"),
        (("show", "no/where"), "404"),
    ],
)
def test_what_cannot_be_is_a_sentence(server: Embedded, arguments: tuple[str, ...], words: str) -> None:
    done = sojourn(server, "projects", *arguments)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_r49_usage_comes_as_a_table_as_json_and_as_csv(server: Embedded) -> None:
    assert "no usage" in sojourn(server, "usage", "--user", "local").stderr
    circuit = QuantumCircuit(2)
    circuit.measure_all()
    SamplerV2(server.service().backend("bench")).run([circuit], shots=10).result()
    found = printed(server, "usage", "--from", "7d", "--by", "user", "--by", "kind")
    assert [row["keys"] for row in found["rows"]] == [{"user": "local", "kind": "job"}]
    table = sojourn(server, "usage", "--by", "project").stdout
    assert "local" in table
    assert "100.0" in table
    text = sojourn(server, "usage", "--by", "day", "--by", "device", "--csv").stdout
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["device"], row["entries"]) == ("bench", "1")
    assert float(row["seconds"]) == pytest.approx(found["total_seconds"])
    bad = sojourn(server, "usage", "--from", "9999-12-31T23:59:59-14:00")
    assert bad.returncode == 1
    assert "years 1 to 9999" in bad.stderr


def test_keys_are_added_listed_rotated_and_revoked_by_operators_and_by_their_user(server: Embedded) -> None:
    server.user("kay", "keys")
    made = printed(server, "keys", "add", "kay", "--name", "ci", "--expires", "+90d", "-P", "keys")
    assert (made["key"]["name"], made["key"]["project"]) == ("ci", "keys")
    said = sojourn(server, "keys", "rotate", "kay", "ci", "--keep", "2h")
    assert "sojourn keys revoke kay ci-old" in said.stderr
    secret = said.stdout.split()[-1]
    table = sojourn(server, "keys", "list", "kay").stdout
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["key-1", "ci-old", "ci"]
    assert "sjn_" not in table
    own = {"SOJOURN_URL": server.url, "SOJOURN_TOKEN": secret}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")} | own
    command = [sys.executable, "-m", "sojourn", "keys", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean)
    assert [k["name"] for k in json.loads(done.stdout)["keys"] if k["present"]] == ["ci"]
    assert sojourn(server, "keys", "revoke", "kay", "ci").stdout == "key ci of kay is revoked\n"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    assert (done.returncode, "revoked" in done.stderr) == (1, True)
    assert "no key 'none'" in sojourn(server, "keys", "revoke", "kay", "none").stderr


def test_the_operators_key_is_rotated_under_the_command_line(server: Embedded) -> None:
    before = server.operator_key
    made = printed(server, "keys", "rotate", "operator", "operator.key", "--keep", "0")
    assert server.operator_key == made["api_key"] != before
    assert printed(server, "keys", "list")["keys"][0]["name"] == "operator.key"


def test_a_user_leaves_a_project_is_revoked_restored_and_followed_and_all_of_it_is_on_record(
    server: Embedded,
) -> None:
    server.user("lou", "one")
    server.user("lou", "two")
    assert sojourn(server, "projects", "remove-user", "two", "lou").stdout == "lou is not in two any more\n"
    assert [m["name"] for m in printed(server, "projects", "show", "two")["members"]] == []
    assert sojourn(server, "users", "revoke", "lou").returncode == 0
    assert "users restore lou" in sojourn(server, "users", "add", "lou", "-P", "one").stderr
    assert printed(server, "users", "restore", "lou")["api_key"].startswith("sjn_")
    assert sojourn(server, "users", "revoke", "lou").returncode == 0
    assert printed(server, "users", "add", "lou", "-P", "one", "--anew")["name"] == "lou"
    entries = printed(server, "audit", "--subject", "user lou", "--action", "user")["entries"]
    assert [e["action"].removeprefix("user.") for e in reversed(entries)] == [
        "added",
        "added",
        "removed",
        "revoked",
        "restored",
        "revoked",
        "added",
    ]
    table = sojourn(server, "audit", "-n", "1", "--by", "operator").stdout
    assert "anew=True" in table

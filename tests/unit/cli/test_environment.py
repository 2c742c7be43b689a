"""`sojourn env` prints what a shell can take and what the client needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sojourn.environment import Shell, around_proxies, render, variables

URL = "http://127.0.0.1:8420"
CRN = "crn:v1:sojourn:public:quantum-computing:local:a/1:2::"


def test_way_d_gives_the_client_its_search_and_its_catalog() -> None:
    assert variables(URL, "key") == {
        "QISKIT_IBM_TOKEN": "key",
        "QISKIT_IBM_URL": f"{URL}/experimental/api/v1",
        "QISKIT_IBM_INSTANCE": "auto",
        "IAM_URL": URL,
        "GLOBAL_SEARCH_URL": URL,
        "GLOBAL_CATALOG_URL": f"{URL}/catalog",
    }
    assert variables(f"{URL}/", "key", instance="chem")["QISKIT_IBM_INSTANCE"] == "chem"


def test_way_a_needs_the_crn_and_no_search() -> None:
    assert variables(URL, "key", instance=CRN, way="A") == {
        "QISKIT_IBM_TOKEN": "key",
        "QISKIT_IBM_URL": f"{URL}/experimental/api/v1",
        "IAM_URL": URL,
        "QISKIT_IBM_INSTANCE": CRN,
        "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",
    }
    for wrong in (None, "chem"):
        with pytest.raises(ValueError, match="CRN"):
            variables(URL, "key", instance=wrong, way="A")


NASTY = "a b'c\"d$HOME`ls`\\e;f"


@pytest.mark.parametrize(("shell", "interpreter"), [("sh", "sh"), ("sh", "bash"), ("fish", "fish")])
def test_a_shell_reads_back_exactly_what_was_meant(shell: Shell, interpreter: str) -> None:
    if shutil.which(interpreter) is None:
        pytest.skip(f"{interpreter} is not installed")
    script = render({"QISKIT_IBM_TOKEN": NASTY}, shell) + '\nprintf %s "$QISKIT_IBM_TOKEN"'
    done = subprocess.run([interpreter, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == NASTY


REMARKS = ["QISKIT_IBM_INSTANCE=auto is any of these; others need one, by --instance NAME:", "a crn:v1:x"]


@pytest.mark.parametrize(
    ("shell", "interpreter", "evaluate"),
    [
        ("sh", "sh", 'eval "$(cat {})"'),
        ("sh", "sh", "eval $(cat {})"),
        ("sh", "bash", 'eval "$(cat {})"'),
        ("sh", "bash", "eval $(cat {})"),
        ("sh", "bash", ". {}"),
        ("sh", "zsh", 'eval "$(cat {})"'),
        ("sh", "zsh", "eval $(cat {})"),
        ("fish", "fish", "cat {} | source"),
        ("fish", "fish", "eval (cat {})"),
    ],
)
def test_a_remark_hides_no_variable_however_a_shell_is_given_the_lines(
    shell: Shell, interpreter: str, evaluate: str, tmp_path: Path
) -> None:
    """Quoted, unquoted (where the shell makes one line of all) and read from a file."""
    if shutil.which(interpreter) is None:
        pytest.skip(f"{interpreter} is not installed")
    lines = tmp_path / "lines"
    lines.write_text(render(variables(URL, "key"), shell, REMARKS) + "\n")
    script = evaluate.format(lines) + '\nprintf "%s %s" "$QISKIT_IBM_TOKEN" "$GLOBAL_CATALOG_URL"'
    clean = {k: v for k, v in os.environ.items() if k not in variables(URL, "key")}
    done = subprocess.run([interpreter, "-c", script], capture_output=True, text=True, env=clean, check=True)
    assert (done.stdout, done.stderr) == (f"key {URL}/catalog", "")


def test_powershell_and_json_have_remarks_last_and_none() -> None:
    found = variables(URL, "key")
    assert render(found, "powershell", REMARKS).splitlines()[-2:] == [f"# {each}" for each in REMARKS]
    assert all(line.endswith(";") for line in render(found, "powershell").splitlines())
    assert json.loads(render(found, "json", REMARKS)) == found


def test_powershell_quotes_are_doubled() -> None:
    assert "$Env:QISKIT_IBM_TOKEN = 'it''s $5'" in render({"QISKIT_IBM_TOKEN": "it's $5"}, "powershell")


def test_variables_of_another_way_are_cleared() -> None:
    script = render(variables(URL, "k"), "sh")
    assert script.splitlines()[0] == "unset QISKIT_IBM_CHANNEL QISKIT_FUNCTIONS_EXPERIMENTAL;"
    assert "unset QISKIT_IBM_CHANNEL;\n" in render(variables(URL, "k", instance=CRN, way="A"), "sh") + "\n"


def test_json_is_the_variables_and_nothing_else() -> None:
    assert json.loads(render(variables(URL, "k"), "json")) == variables(URL, "k")


def test_a_proxy_of_the_environment_is_not_asked_for_the_server() -> None:
    assert around_proxies(URL, {}) == {}
    assert around_proxies(URL, {"HTTP_PROXY": "http://p:3128"}) == {"NO_PROXY": "127.0.0.1"}
    assert around_proxies(URL, {"http_proxy": "x", "no_proxy": "a,b"}) == {"no_proxy": "a,b,127.0.0.1"}
    assert around_proxies(URL, {"http_proxy": "x", "NO_PROXY": "127.0.0.1"}) == {}

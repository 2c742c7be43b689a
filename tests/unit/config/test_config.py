"""The configuration keeps its promises: layers, limits, and messages that name the key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.config import PROFILE_NUMBERS, ConfigError, DeviceSettings, RetentionSettings, Settings, load


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("SOJOURN_"):
            monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    path = folder / "sojourn.toml"
    path.write_text(text, encoding="utf-8")
    return path


def error_of(path: Path | None = None, overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return str(caught.value)


ISSUE = """
[server]
host = "127.0.0.1"
port = 8420
data = "./sojourn-data"          # SQLite database and blobs
[policy]
profile = "ibm2023"
interactive_ttl = 300            # seconds; also batch_ttl, max_time, unused_expiry
poll_hold = 2.0                  # longest time a waiting status poll is held, 0 = never
[[devices]]
name = "ibm_torino"
driver = "fake"
options = { backend = "FakeTorino" }
[[devices]]
name = "bench"
driver = "mock"
options = { seconds = 0.0, qubits = 127 }
"""


def test_without_a_configuration_there_are_two_fakes_and_an_ideal_simulator() -> None:
    settings = load()
    assert [(d.name, d.driver, d.options) for d in settings.devices] == [
        ("ibm_torino", "fake", {"backend": "FakeTorino"}),
        ("ibm_fez", "fake", {"backend": "FakeFez"}),
        ("aer", "aer", {"qubits": 30}),
    ]
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8420)
    assert settings.policy.profile == "ibm2023"
    assert settings.policy.interactive_ttl is None  # the profile's
    assert settings.policy.poll_hold == 2.0


def test_the_file_of_the_issue_is_taken(tmp_path: Path) -> None:
    settings = load(write(tmp_path, ISSUE))
    assert settings.server.data == tmp_path / "sojourn-data"
    assert [d.name for d in settings.devices] == ["ibm_torino", "bench"]
    assert settings.devices[1].options == {"seconds": 0.0, "qubits": 127}


def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "[server]\nport = 1\nhost = 'h'\nmax_body_mb = 3\n")
    monkeypatch.setenv("SOJOURN_SERVER__PORT", "2")
    monkeypatch.setenv("SOJOURN_SERVER__HOST", "i")
    settings = load(path, {"server": {"port": 3, "host": None}})
    assert (settings.server.port, settings.server.host, settings.server.max_body_mb) == (3, "i", 3)


def test_devices_come_from_a_variable_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOJOURN_DEVICES", '[{"name": "m", "driver": "mock", "options": {"qubits": 5}}]')
    assert load().devices == (DeviceSettings(name="m", driver="mock", options={"qubits": 5}),)


def test_variables_of_the_command_line_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOJOURN_URL", "SOJOURN_TOKEN", "SOJOURN_CONFIG"):
        monkeypatch.setenv(name, "x")
    # What a container platform sets for a service that is called sojourn.
    monkeypatch.setenv("SOJOURN_PORT", "tcp://10.0.0.1:8420")
    assert load().server.port == 8420


def test_a_relative_data_folder_is_relative_to_the_file_and_without_one_to_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    deeper = tmp_path / "etc"
    deeper.mkdir()
    assert load(write(deeper, "[server]\ndata = 'd'\n")).server.data == deeper / "d"
    assert load(None, {"server": {"data": Path("d")}}).server.data == tmp_path / "d"
    assert load(write(deeper, "[server]\ndata = '/d'\n")).server.data == Path("/d")


def test_a_device_may_have_its_own_times() -> None:
    settings = Settings(
        devices=(
            DeviceSettings(name="a", driver="mock", interactive_ttl=0.0, max_time=60.0),
            DeviceSettings(name="b", driver="mock"),
        )
    )
    assert (settings.profile("a").interactive_ttl, settings.profile("a").max_time) == (0.0, 60.0)
    assert settings.profile("b") == settings.profile("not configured") == settings.profile()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprt = 1", ["server.prt", "did you mean 'port'?", "Allowed: host, port, data"]),
        (
            "[serve]\nport = 1",
            ["serve: unknown key", "did you mean 'server'?", "server, access, policy, profiles, limits"],
        ),
        ("[policy]\nttl = 1", ["policy.ttl: unknown key", "interactive_ttl"]),
        ("[policy]\nprofile = 'ibm2025'", ["policy.profile = 'ibm2025'", "did you mean 'ibm2026'?"]),
        ("[policy]\npoll_hold = -1", ["policy.poll_hold = -1", "at least 0"]),
        ("[policy]\nmax_time = 0", ["policy.max_time = 0", "more than 0"]),
        ("[policy]\nmax_time = inf", ["policy.max_time = inf", "must be a number"]),
        ("[policy]\nbatch_ttl = true", ["policy.batch_ttl = True", "must be a number"]),
        ("[policy]\nbatch_ttl = 'long'", ["policy.batch_ttl = 'long'", "must be a number"]),
        ("[server]\nport = 65536", ["server.port = 65536", "at most 65535"]),
        (
            "[server]\nmax_body_mb = 100",
            ["memory_user_mb = 128: must be at least 200 (twice server.max_body_mb)"],
        ),
        (
            "[server]\nmemory_user_mb = 200",
            ["memory_mb = 256: must be at least 400 (twice server.memory_user_mb)"],
        ),
        (
            "[[devices]]\nname = 'a'\ndriver = 'mock'\nmemory_mb = 1e300",
            ["devices[0].memory_mb = 1e+300", "at most 1000000000"],
        ),
        (
            "[[devices]]\nname = 'a'\ndriver = 'mock'\nmemory_mb = 1e-3",
            ["devices[0].memory_mb = 0.001: must be 0 (no limit) or at least 1"],
        ),
        (
            "[access]\nwrong_keys_per_minute = 1e-300",
            ["access.wrong_keys_per_minute = 1e-300", "at least 0.01"],
        ),
        (
            "[reservations]\nhorizon = 60",
            ["reservations.horizon = 60: must be more than 3600 (reservations.notice), or 0 for no limit"],
        ),
        ("[server]\nspool_user_mb = 50", ["spool_user_mb = 50: must be at least 64 (server.max_body_mb)"]),
        ("[server]\nspool_mb = 900", ["spool_mb = 900: must be at least 1000 (twice server.spool_user_mb)"]),
        ("[server]\nport = 1.5", ["server.port = 1.5", "must be a whole number"]),
        ("[server]\ndata = ''", ["server.data = ''", "must not be empty"]),
        ("server = 1", ["server = 1", "[server]"]),
        ("[devices]\nname = 'x'", ["devices", "[[devices]]"]),
        (
            "[[accounts]]\nname = 'a'\n[[accounts]]\nname = 'b'\n[[accounts]]\nname = 'b'",
            ["accounts: two accounts are named 'b'; names must be unique"],
        ),
        (
            "[[projects]]\nname = 'a'\nlimits = { circuit = 1 }",
            [
                "projects[0].limits = {'circuit': 1}: 'circuit' is not a limit of a project",
                "did you mean 'circuits'?",
            ],
        ),
        (
            "[[projects]]\nname = 'a'\nlimits = { circuits = -1 }",
            ["projects[0].limits = {'circuits': -1", "circuits = -1", "must be at least 0"],
        ),
        (
            f"[[projects]]\nname = 'a'\ntags = {[f't{i}' for i in range(51)]}",
            ["projects[0].tags = ['t0', ", "an instance can have at most 50 tags; 51 were given"],
        ),
        (
            "[[devices]]\nname = 'a'\ndriver = 'mock'\ncalibrate = '0 0 30 2 *'",
            ["calibrate = '0 0 30 2 *': must be a cron expression", "Bad day-of-month"],
        ),
        ("[policy]\nprofile = 3", ["policy.profile = 3: must be a string"]),
        ("devices = []", ["devices: the list is empty"]),
        ("[[devices]]\nname = 'a'", ["devices[0].driver: must be set"]),
        (
            "[[devices]]\nname = 'Ibm X'\ndriver = 'fake'",
            ["devices[0].name = 'Ibm X': must be 1 to 64 characters of a-z, 0-9, '_' and '-' ("],
        ),
        (
            "[[projects]]\nname = 'a b'",
            ["projects[0].name = 'a b': must be 1 to 64 characters of a-z, A-Z, 0-9, '.', '_', '@' and '-'"],
        ),
        ("[[projects]]\nname = 'a'\nadmins = 'ada'", ["admins = 'ada': must be a list of user names"]),
        ("[[projects]]\nname = 'a'\ntags = 'x'", ["tags = 'x': must be a list of tags"]),
        ("[[projects]]\nname = 'a'\ntags = ['x,y']", ["'x,y' is not a tag"]),
        ("[[projects]]\nname = 'a'\nadmins = [1]", ["admins[0] = 1: must be a string"]),
        ("[server]\nhost = ''", ["server.host = '': must not be empty"]),
        ("[server]\njournal = 'maybe'", ["server.journal = 'maybe': must be true or false"]),
        (
            "[[devices]]\nname = 'a'\ndriver = 'mock'\ncalibrate = '* * * * * *'",
            ["calibrate = '* * * * * *': must be a cron expression of minute, hour, day", "has 6 fields"],
        ),
        (
            "[[devices]]\nname = 'a'\ndriver = 'fak'",
            ["devices[0] (a).driver = 'fak'", "did you mean 'fake'?"],
        ),
        ("[[devices]]\nname = 'a'\ndriver = 'aer'\ninteractive_tll = 1", ["did you mean 'interactive_ttl'?"]),
        (
            "[[devices]]\nname = 'a'\ndriver = 'aer'\nbatch_ttl = -1",
            ["devices[0].batch_ttl = -1", "at least 0"],
        ),
        (
            "[[devices]]\nname = 'a'\ndriver = 'aer'\n[[devices]]\nname = 'a'\ndriver = 'mock'",
            ["devices: two devices are named 'a'"],
        ),
        (
            "[[devices]]\nname = 'a'\ndriver = 'iqm'\npython = '/nowhere/python'",
            ["python = '/nowhere/python'", "program not found"],
        ),
        ("[server\n", ["not valid TOML", "line 1"]),
    ],
)
def test_an_error_names_the_key_the_value_and_what_is_allowed(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    message = error_of(write(tmp_path, text))
    for part in expected:
        assert part in message


LONGEST = {"days": 3660, "s": 316_224_000, "times": 1_000_000}


def unit(key: str) -> str:
    return "times" if key == "estimate_factor" else "s"


@pytest.mark.parametrize(
    ("section", "key", "most"),
    [
        *(("policy", key, unit(key)) for key in (*PROFILE_NUMBERS, "submit_retry_window")),
        *(("profiles.lab", key, unit(key)) for key in PROFILE_NUMBERS),
        *(("profiles.lab", key, "s") for key in ("cache_grace", "job_limit", "job_cap", "default_max_time")),
        *(("profiles.lab", key, "s") for key in ("fair_share_window", "half_life")),
        ("profiles.lab.program_limits", "sampler", "s"),
        *(("retention", key, "days") for key in RetentionSettings.model_fields),
    ],
)
def test_no_time_can_be_set_that_leads_out_of_the_calendar(
    tmp_path: Path, section: str, key: str, most: str
) -> None:
    # what these two must not be longer than
    fit = {
        "default_max_time": "max_time = 316224000",
        "reservation_minimum": "reservation_allowance = 316224000",
    }
    text = f"[{section}]\n{fit.get(key, '')}\n{key} ="
    load(write(tmp_path, f"{text} {LONGEST[most]}"))
    for value in (LONGEST[most] + 1, 1e300):
        message = error_of(write(tmp_path, f"{text} {value}"))
        assert f"{section}.{key} = {value}: " in message
        assert f"at most {LONGEST[most]}" in message


def test_a_time_of_a_device_is_bounded_as_well(tmp_path: Path) -> None:
    for key in PROFILE_NUMBERS:
        message = error_of(write(tmp_path, f"[[devices]]\nname = 'a'\ndriver = 'aer'\n{key} = 1e300"))
        assert f"devices[0].{key} = 1e+300: must be at most {LONGEST[unit(key)]}" in message


def test_every_error_is_reported_not_only_the_first(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, "[server]\nport = -1\n[policy]\npoll_hold = -1\n"))
    assert "server.port = -1" in message
    assert "policy.poll_hold = -1" in message


def test_an_error_of_a_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOJOURN_POLICY__POLL_HOLD", "soon")
    message = error_of()
    assert "policy.poll_hold = 'soon'" in message
    assert "SOJOURN_POLICY__POLL_HOLD" in message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SOJOURN_SERVER__PROT", "1", "did you mean 'port'?"),
        ("SOJOURN_SEVER__PORT", "1", "did you mean 'server'?"),
        ("SOJOURN_DEVICES__0__NAME", "x", "SOJOURN_DEVICES takes a JSON list"),
        ("SOJOURN_DEVICES", "[", "must be a list of tables"),
        ("SOJOURN_SERVER", "{", "SOJOURN_SERVER = '{': must be a table as JSON"),
        ("SOJOURN_SERVER", "[1]", "server = [1]: must be a table (from SOJOURN_SERVER)"),
    ],
)
def test_a_variable_that_is_not_a_setting_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    message = error_of()
    assert name in message
    assert expected in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none.toml") in error_of(tmp_path / "none.toml")


def test_a_driver_of_another_interpreter_is_left_to_that_interpreter(tmp_path: Path) -> None:
    text = f"[[devices]]\nname = 'a'\ndriver = 'elsewhere'\npython = {sys.executable!r}\n"
    assert load(write(tmp_path, text)).devices[0].driver == "elsewhere"


def test_reading_the_configuration_imports_no_driver_and_no_qiskit() -> None:
    code = (
        "import sys; from sojourn.config import load; load(); "
        "print([m for m in sys.modules if m.split('.')[0] in ('qiskit', 'numpy') or 'sojourn.devices' in m])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_a_project_cannot_be_configured_under_the_name_of_the_services_own_usage(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, '[[projects]]\nname = "system"\n'))
    assert "projects" in message
    assert "'system': this name is reserved for the service's own jobs" in message

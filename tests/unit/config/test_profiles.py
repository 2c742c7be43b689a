"""A site's own tables of rules: what is set wins over what is near, and errors are named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from sojourn.config import ConfigError, DeviceSettings, PolicySettings, ProfileSettings, Settings, load
from sojourn.core import PROFILES, JobState, Mode, Profile
from sojourn.core.profile import SESSION_PROGRAMS

LAB = """
[policy]
profile = "lab"
batch_ttl = 7

[profiles.lab]
base = "ibm2026"
interactive_ttl = 2
default_max_time = "root"
charge_holds = []
hard_close = "failed"
program_limits = { sampler = 60 }

[[devices]]
name = "a"
driver = "mock"
interactive_ttl = 3

[[devices]]
name = "b"
driver = "mock"
profile = "ibm2023"
max_time = 100
"""


def load_text(folder: Path, text: str) -> Settings:
    path = folder / "sojourn.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_every_field_of_a_profile_can_be_set() -> None:
    assert set(ProfileSettings.model_fields) == {f.name for f in fields(Profile)} - {"name"} | {"base"}
    limits = dict.fromkeys(SESSION_PROGRAMS, 60.0)
    own = ProfileSettings(program_limits=limits)
    assert (
        dict(Settings(profiles={"a": own}, policy=PolicySettings(profile="a")).profile().program_limits)
        == limits
    )


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (
            "[profiles.lab]\nreservation_allowance = 600",
            [
                "profiles.lab.reservation_allowance = 600: must be at least 900 "
                "(the reservation_minimum of 'ibm2023'); otherwise nothing can be reserved"
            ],
        ),
        (
            "[profiles.lab]\nreservation_allowance = 1000\nreservation_minimum = 3600",
            [
                "profiles.lab.reservation_allowance = 1000: must be at least 3600 "
                "(profiles.lab.reservation_minimum); otherwise nothing can be reserved"
            ],
        ),
        (
            "[policy]\nreservation_allowance = 600",
            [
                "policy.reservation_allowance = 600: must be at least 900 "
                "(the reservation_minimum of 'ibm2023'); otherwise nothing can be reserved"
            ],
        ),
        (
            "[policy]\nprofile = 'lab'\nreservation_minimum = 1000000.5\n"
            "[profiles.lab]\nreservation_allowance = 900",
            [
                "profiles.lab.reservation_allowance = 900: must be at least 1000000.5 "
                "(policy.reservation_minimum); otherwise nothing can be reserved"
            ],
        ),
        (
            "[policy]\nreservation_allowance = 1000\n"
            "[[devices]]\nname = 'a'\ndriver = 'mock'\nreservation_minimum = 2000",
            [
                "policy.reservation_allowance = 1000: must be at least 2000 "
                "(devices[0] (a).reservation_minimum); otherwise nothing can be reserved"
            ],
        ),
        (
            "[profiles.lab]\ndefault_max_time = 30000",
            [
                "profiles.lab.default_max_time = 30000: must be at most 28800 "
                "(the max_time of 'ibm2023'), the longest session"
            ],
        ),
        (
            "[profiles.lab]\nbase = 'ibm2026'\nmax_time = 60\ndefault_max_time = 61\n"
            "[profiles.b]\nreservation_minimum = 2\nreservation_allowance = 1",
            [
                "profiles.lab.default_max_time = 61: must be at most 60 "
                "(profiles.lab.max_time), the longest session",
                "profiles.b.reservation_allowance = 1: must be at least 2 "
                "(profiles.b.reservation_minimum); otherwise nothing can be reserved",
            ],
        ),
        (
            "[policy]\nprofile = 'lab'\nmax_time = 600\n[profiles.lab]\ndefault_max_time = 3600",
            [
                "profiles.lab.default_max_time = 3600: must be at most 600 "
                "(policy.max_time), the longest session"
            ],
        ),
    ],
)
def test_numbers_that_contradict_each_other_are_refused_with_both(
    tmp_path: Path, text: str, errors: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    *lines, last = str(caught.value).splitlines()
    assert [*lines, last.partition(" (configuration file")[0]] == errors


@pytest.mark.parametrize(
    "text",
    [
        "[policy]\nreservation_allowance = 900",
        "[policy]\nreservation_allowance = 600\nreservation_minimum = 600",
        "[policy]\nprofile = 'ibm2026'\nmax_time = 60",
        "[profiles.lab]\nmax_time = 60\ndefault_max_time = 'root'",
        "[profiles.lab]\nmax_time = 90000\ndefault_max_time = 90000",
        "[policy]\nreservation_minimum = 5000\n[profiles.lab]\nreservation_allowance = 1000\n"
        "[[devices]]\nname = 'a'\ndriver = 'mock'\nprofile = 'lab'",
    ],
)
def test_numbers_that_fit_each_other_are_taken(tmp_path: Path, text: str) -> None:
    load_text(tmp_path, text)


def test_a_configuration_that_says_nothing_is_the_profile_itself() -> None:
    for name, profile in PROFILES.items():
        assert Settings(policy=PolicySettings(profile=name)).profile("aer") == profile


def test_a_profile_is_its_base_with_its_changes_and_the_nearest_number_wins(tmp_path: Path) -> None:
    settings = load_text(tmp_path, LAB)
    a, b = settings.profile("a"), settings.profile("b")
    assert (a.name, a.interactive_ttl, a.batch_ttl) == ("lab", 3, 7)
    assert (a.default_max_time, a.charge_holds, a.hard_close) == (None, frozenset(), JobState.FAILED)
    assert dict(a.program_limits) == {"sampler": 60, "estimator": 18_000}
    assert a.open_plan_sessions is False  # the base's
    assert a.session_time("sampler", None) == 60
    assert (b.name, b.interactive_ttl, b.batch_ttl, b.max_time) == ("ibm2023", 300, 300, 100)
    assert b.charge_holds == frozenset(Mode)
    assert settings.profile("mock_a").interactive_ttl == 2  # a companion has the policy's


def test_profiles_come_from_variables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOJOURN_PROFILES__LAB__INTERACTIVE_TTL", "5")
    monkeypatch.setenv("SOJOURN_POLICY__PROFILE", "lab")
    assert load().profile("aer").interactive_ttl == 5
    monkeypatch.setenv("SOJOURN_PROFILES__LAB__INTERACTIVE_TLL", "5")
    with pytest.raises(ConfigError, match="did you mean 'interactive_ttl'"):
        load()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[profiles.lab]\ninteractive_tl = 1",
            ["profiles.lab.interactive_tl", "did you mean 'interactive_ttl'?"],
        ),
        (
            "[profiles.lab]\nprogram_limits = { smpler = 1 }",
            [
                "profiles.lab.program_limits = {'smpler': 1",
                "unknown program 'smpler'; did you mean 'sampler'?",
            ],
        ),
        (
            "[profiles.lab]\nprogram_limits = { sampler = 0 }",
            ["profiles.lab.program_limits.sampler = 0: must be more than 0"],
        ),
        ("[profiles.lab]\ndefault_max_time = 'rot'", ["default_max_time = 'rot'", "'root'"]),
        ("[profiles.lab]\ndefault_max_time = true", ["default_max_time = True", "a positive number"]),
        ("[profiles.lab]\nbase = 'lab'", ["profiles.lab.base = 'lab': must be 'ibm2023' or 'ibm2026'"]),
        ("[profiles.lab]\nhard_close = 'x'", ["profiles.lab.hard_close = 'x'", "'failed' or 'cancelled'"]),
        (
            "[profiles.lab]\ncharge_holds = 'batch'",
            ["profiles.lab.charge_holds = 'batch': must be a list of 'dedicated' and 'batch'"],
        ),
        (
            "[profiles.lab]\ncharge_holds = ['bath']",
            ["profiles.lab.charge_holds[0] = 'bath': must be 'dedicated' or 'batch'"],
        ),
        ("[profiles.lab]\njob_cap = 0", ["profiles.lab.job_cap = 0", "more than 0"]),
        (
            "[profiles.lab]\nestimate_factor = 0.5",
            ["profiles.lab.estimate_factor = 0.5: must be 0 (off) or at least 1"],
        ),
        ("[profiles.lab]\nestimate_factor = -1", ["estimate_factor = -1: must be at least 0"]),
        ("[profiles.lab]\nestimate_factor = true", ["estimate_factor = True: must be a number"]),
        ("[policy]\nestimate_factor = nan", ["policy.estimate_factor = nan: must be a number"]),
        ("[policy]\nestimate_floor = 0", ["policy.estimate_floor = 0: must be more than 0"]),
        ("[profiles.ibm2023]\nmax_time = 1", ["profiles.ibm2023", "a built-in profile; choose another name"]),
        (
            "[profiles.seed]\nmax_time = 1",
            ["profiles.seed: 'seed' is a former name of the built-in profile 'ibm2023'; choose another name"],
        ),
        ("[profiles.Lab]\nmax_time = 1", ["profiles.Lab", "a-z"]),
        ("[profiles]\nlab = 3", ["profiles.lab = 3", "must be a table"]),
        ("profiles = 3", ["profiles = 3", "[profiles]"]),
        (
            "[policy]\nprofile = 'lab'",
            ["policy.profile = 'lab'", "unknown profile", "Allowed: ibm2023, ibm2026"],
        ),
        (
            "[[devices]]\nname = 'a'\ndriver = 'mock'\nprofile = 'ibm202'",
            ["devices[0] (a).profile", "did you mean 'ibm2026'?"],
        ),
    ],
)
def test_an_error_in_a_profile_names_the_key_and_what_is_allowed(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    for part in expected:
        assert part in str(caught.value)


def test_the_policy_command_shows_what_holds_per_device(tmp_path: Path) -> None:
    load_text(tmp_path, LAB)
    command = [sys.executable, "-m", "sojourn", "policy", "--config", str(tmp_path / "sojourn.toml")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "interactive ttl" in shown
    (usual,) = (line for line in shown.splitlines() if line.startswith("default max time"))
    assert usual.count("as its first job may run") == 2
    assert "no limit" in shown
    assert "estimator 5h 00m" in shown
    assert "2h 46m 40s" in shown
    told = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
    by_name = {device["name"]: device["policy"] for device in told["devices"]}
    assert (by_name["a"]["name"], by_name["b"]["name"]) == ("lab", "ibm2023")
    assert by_name["a"]["program_limits"] == {"sampler": 60.0, "estimator": 18000.0}
    assert by_name["b"]["charge_holds"] == ["batch", "dedicated"]


def test_d22_limits_from_estimates_are_off_until_a_profile_the_policy_or_a_device_sets_a_factor(
    tmp_path: Path,
) -> None:
    text = """
[policy]
profile = "lab"
estimate_floor = 20

[profiles.lab]
estimate_factor = 5
estimate_floor = 10

[profiles.twice]
estimate_factor = 2

[[devices]]
name = "as-policy"
driver = "mock"

[[devices]]
name = "own"
driver = "mock"
estimate_factor = 1
estimate_floor = 30

[[devices]]
name = "off"
driver = "mock"
estimate_factor = 0

[[devices]]
name = "other"
driver = "mock"
profile = "twice"

[[devices]]
name = "built-in"
driver = "mock"
profile = "ibm2026"
"""
    settings = load_text(tmp_path, text)
    profiles = [settings.profile(device.name) for device in settings.devices]
    found = [(profile.estimate_factor, profile.estimate_floor) for profile in profiles]
    assert found == [(5, 20), (1, 30), (0, 20), (2, 300), (0, 300)]
    assert all(profile.estimate_factor == 0 for profile in PROFILES.values())
    command = [sys.executable, "-m", "sojourn", "policy", "--config", str(tmp_path / "sojourn.toml")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (row,) = (line for line in shown.splitlines() if line.startswith("estimate factor"))
    times = "times the estimate"
    assert " ".join(row.split()[2:]) == f"5 {times} 1 {times} off 2 {times} off"


def test_a_devices_own_profile_takes_nothing_from_the_policys_numbers() -> None:
    settings = Settings(
        policy=PolicySettings(interactive_ttl=20),
        devices=(DeviceSettings(name="a", driver="mock", profile="ibm2026"),),
    )
    assert settings.profile("a").interactive_ttl == 60


FORMER = """
[policy]
profile = "seed"

[profiles.lab]
base = "seed"
max_time = 60

[[devices]]
name = "a"
driver = "mock"

[[devices]]
name = "b"
driver = "mock"
profile = "seed"

[[devices]]
name = "c"
driver = "mock"
profile = "lab"
"""


def test_the_former_name_of_a_profile_is_the_profile_and_each_use_of_it_is_reported(tmp_path: Path) -> None:
    settings = load_text(tmp_path, FORMER)
    assert settings.profile("a") == settings.profile("b") == PROFILES["ibm2023"]
    assert (settings.profile("c").name, settings.profile("c").max_time) == ("lab", 60)
    deprecations = settings.deprecations()
    assert [text.partition(" = ")[0] for text in deprecations] == [
        "policy.profile",
        "devices[1] (b).profile",
        "profiles.lab.base",
    ]
    assert all("is now called 'ibm2023'" in text for text in deprecations)


def test_a_configuration_with_the_present_names_has_nothing_to_report(tmp_path: Path) -> None:
    assert load_text(tmp_path, FORMER.replace("seed", "ibm2023")).deprecations() == []
    assert Settings().deprecations() == []

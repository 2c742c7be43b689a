"""The options of the drivers for other services, and the key that is not among them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from sojourn.devices.driver import DriverError, OptionReader, load_driver
from sojourn.devices.remote.place import Place, read_place

URL = "https://lab-b.example.org:8420"


def read(**options: Any) -> Place:
    reader = OptionReader("far", "sojourn", options)
    place = read_place(reader)
    reader.finish()
    return place


@pytest.fixture
def key(tmp_path: Path) -> str:
    file = tmp_path / "lab-b.key"
    file.write_text("secret-of-lab-b\n")
    return str(file)


def test_an_address_without_a_path_is_that_of_a_sojourn(key: str) -> None:
    place = read(url=URL, backend="torino", key_file=key)
    assert (place.url, place.iam) == (f"{URL}/api/v1", URL)
    assert str(place) == "torino at lab-b.example.org:8420"


def test_another_service_has_its_own_addresses(key: str) -> None:
    place = read(
        url="https://quantum.example.org/api/v1/",
        backend="torino",
        key_file=key,
        iam_url="https://iam.example.org",
        instance="crn:v1:a:b",
    )
    assert (place.url, place.iam) == ("https://quantum.example.org/api/v1", "https://iam.example.org")
    assert place.instance == "crn:v1:a:b"


def test_the_key_is_read_when_it_is_used(key: str) -> None:
    place = read(url=URL, backend="torino", key_file=key)
    assert place.key() == "secret-of-lab-b"
    Path(key).write_text("another-one")
    assert place.key() == "another-one"


def test_the_key_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_B_KEY", "from-the-environment")
    assert read(url=URL, backend="torino", key_env="LAB_B_KEY").key() == "from-the-environment"


def test_the_key_is_never_in_the_configuration_nor_in_a_message(key: str) -> None:
    with pytest.raises(DriverError, match="does not belong into the configuration") as refused:
        read(url=URL, backend="torino", key="secret-of-lab-b")
    assert "secret-of-lab-b" not in str(refused.value)
    assert "secret-of-lab-b" not in repr(read(url=URL, backend="torino", key_file=key))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "torino"}, "option 'url'"),
        ({"url": URL}, "option 'backend'"),
        ({"url": "lab-b.example.org", "backend": "torino"}, "option 'url'"),
        ({"url": "ftp://lab-b.example.org", "backend": "torino"}, "option 'url'"),
        ({"url": "https://user:word@lab-b.example.org", "backend": "torino"}, "option 'url'"),
        ({"url": "https://lab-b.example.org:99999999", "backend": "torino"}, "option 'url'"),
        ({"url": URL, "backend": "torino"}, "'key_file' and 'key_env'"),
        ({"url": URL, "backend": "torino", "key_file": "/nonexistent/key"}, "cannot be read from"),
        ({"url": URL, "backend": "torino", "key_env": "NO_SUCH_KEY_HERE"}, "holds no API key"),
        ({"url": URL, "backend": "torino", "key_file": "a", "key_env": "b"}, "needs one of the options"),
    ],
)
def test_what_is_missing_or_wrong_is_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DriverError, match=words):
        read(**options)


def test_a_service_that_is_not_there_is_named_without_delay(key: str) -> None:
    """Nothing listens at that port: it is closed before it is used."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    options = {"url": f"http://127.0.0.1:{port}", "backend": "torino", "key_file": key}
    with pytest.raises(DriverError, match=f"torino at 127.0.0.1:{port} cannot be reached"):
        load_driver("far", "sojourn", options)


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "batch"}, {"qpy": 3}, {"timeout": 0}, {"patience": "long"}, {"refresh": 0}, {"warp": 9}],
)
def test_other_options_are_checked_before_anything_is_asked(key: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(DriverError, match=next(iter(wrong))):
        load_driver("far", "sojourn", {"url": URL, "backend": "torino", "key_file": key, **wrong})


def test_the_driver_qrmi_says_what_it_needs() -> None:
    try:
        import qrmi  # noqa: F401
    except ImportError:
        with pytest.raises(DriverError, match="needs the package qrmi"):
            load_driver("far", "qrmi", {"resource": "torino"})
    with pytest.raises(DriverError, match="option 'resource'"):
        load_driver("far", "qrmi", {})
    with pytest.raises(DriverError, match="option 'type'"):
        load_driver("far", "qrmi", {"resource": "torino", "type": "pasqal-cloud"})
    with pytest.raises(DriverError, match="a secret does not belong") as refused:
        load_driver("far", "qrmi", {"resource": "torino", "variables": {"QRMI_IBM_QCS_IAM_APIKEY": "hidden"}})
    assert "hidden" not in str(refused.value)

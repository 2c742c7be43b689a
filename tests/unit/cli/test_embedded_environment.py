"""The variables that embedded servers set in their program's environment, and take back.

The whole kind: lifetimes that are nested, that overlap and that follow each other; a variable that was there
before, or that the program has changed meanwhile; a look from another thread at any time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

import pytest

from sojourn.embedded_environment import ProcessEnvironment
from sojourn.environment import around_proxies

NAME = "SOJOURN_TEST_ADDRESS"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)


class Server:
    def __init__(self, environment: ProcessEnvironment, address: str) -> None:
        self.environment, self.address = environment, address

    def client(self) -> None:
        with self.environment.of(self, lambda _: {NAME: self.address}, {"SOJOURN_TEST_KEY": "k"}, ("HOME",)):
            assert (os.environ["SOJOURN_TEST_KEY"], "HOME" in os.environ) == ("k", False)

    def stop(self) -> None:
        self.environment.release(self)


def servers() -> tuple[Server, Server, Server]:
    environment = ProcessEnvironment()
    return Server(environment, "a"), Server(environment, "b"), Server(environment, "c")


@pytest.mark.parametrize("before", [None, "mine"])
def test_what_was_there_before_the_first_server_is_there_after_the_last(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is not None:
        monkeypatch.setenv(NAME, before)
    home = os.environ["HOME"]
    a, b, _ = servers()
    a.client()
    assert os.environ[NAME] == "a"
    b.client()
    assert os.environ[NAME] == "b"
    assert (os.environ["HOME"], os.environ.get("SOJOURN_TEST_KEY")) == (home, None)
    b.stop()
    assert os.environ[NAME] == "a"
    b.stop()
    a.stop()
    assert os.environ.get(NAME) == before


def test_lifetimes_may_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "mine")
    a, b, c = servers()
    for server in (a, b, c):
        server.client()
    a.stop()
    assert os.environ[NAME] == "c"
    b.client()  # asked last again
    assert os.environ[NAME] == "b"
    b.stop()
    assert os.environ[NAME] == "c"
    c.stop()
    assert os.environ[NAME] == "mine"
    a.client()
    a.stop()
    assert os.environ[NAME] == "mine"


@pytest.mark.parametrize("change", ["theirs", None])
def test_a_variable_that_the_program_has_changed_meanwhile_is_the_programs(
    monkeypatch: pytest.MonkeyPatch, change: str | None
) -> None:
    a, b, _ = servers()
    monkeypatch.setenv(NAME, "mine")

    def by_the_program() -> None:
        if change is None:
            del os.environ[NAME]
        else:
            os.environ[NAME] = change

    a.client()
    b.client()
    by_the_program()
    b.stop()
    assert os.environ.get(NAME) == change
    a.stop()
    assert os.environ.get(NAME) == change
    a.client()  # and what the program has set is what comes back
    assert os.environ[NAME] == "a"
    by_the_program()
    b.client()
    assert os.environ[NAME] == "b"
    b.stop()
    a.stop()
    assert os.environ.get(NAME) == change


def test_a_client_that_could_not_be_made_leaves_only_its_servers_address() -> None:
    a, _, _ = servers()
    with (
        pytest.raises(RuntimeError),
        a.environment.of(a, lambda _: {NAME: "a"}, {"SOJOURN_TEST_KEY": "k"}, ()),
    ):
        raise RuntimeError
    assert (os.environ[NAME], os.environ.get("SOJOURN_TEST_KEY")) == ("a", None)
    a.stop()
    assert NAME not in os.environ


def test_the_proxys_exception_is_made_from_the_environment_without_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    environment = ProcessEnvironment()

    def lasting(around: Mapping[str, str]) -> Mapping[str, str]:
        return around_proxies("http://127.0.0.1:1", around)

    for server in ("one", "two"):
        with environment.of(server, lasting, {}, ()):
            assert os.environ["NO_PROXY"] == "127.0.0.1"
    environment.release("one")
    assert os.environ["NO_PROXY"] == "127.0.0.1"  # the other one needs it as well
    environment.release("two")
    assert "NO_PROXY" not in os.environ


def test_another_thread_never_finds_the_address_missing() -> None:
    """For that moment its client would send the key to IBM's host."""
    a, b, c = servers()
    a.client()
    missed, stop = [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            if os.environ.get(NAME) is None:
                missed.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(300):
        b.client()
        c.client()
        b.stop()
        c.stop()
    stop.set()
    watcher.join()
    assert not missed
    a.stop()


def test_borrowed_variables_are_given_back_also_when_the_block_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "mine")
    monkeypatch.delenv("SOJOURN_TEST_KEY", raising=False)
    before = dict(os.environ)
    environment = ProcessEnvironment()
    seen: dict[str, str] = {}

    def block() -> None:
        with environment.borrowed({NAME: "b", "SOJOURN_TEST_KEY": "k"}, ("HOME",)):
            seen.update(os.environ)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        block()
    assert (seen[NAME], seen["SOJOURN_TEST_KEY"], "HOME" in seen) == ("b", "k", False)
    assert dict(os.environ) == before


def test_borrowed_variables_leave_those_of_a_server_that_lasts_in_force() -> None:
    a, _, _ = servers()
    a.client()
    with a.environment.borrowed({NAME: "b"}, ()):
        assert os.environ[NAME] == "b"
    assert os.environ[NAME] == "a"
    a.stop()
    assert NAME not in os.environ


def test_a_server_may_be_released_in_the_middle_of_a_block_of_the_same_thread() -> None:
    """As by the garbage collector, which runs when it likes."""
    a, b, _ = servers()
    a.client()
    with a.environment.borrowed({"SOJOURN_TEST_KEY": "k"}, ()):
        a.stop()
        b.stop()
    assert NAME not in os.environ
    assert "SOJOURN_TEST_KEY" not in os.environ

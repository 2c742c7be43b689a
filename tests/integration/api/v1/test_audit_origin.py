"""An entry of the audit says where the request came from, and under which id the log has it."""

from __future__ import annotations

from typing import Any

from tests.harness.api import Live, User


def entries(live: Live, **query: str) -> list[dict[str, Any]]:
    with live.operator() as http:
        reply = http.get("/audit", params=query)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["entries"]
    return found


def test_an_act_has_the_address_and_the_id_of_its_request(live: Live) -> None:
    with live.operator() as http:
        reply = http.post("/devices/bench/pause", headers={"x-request-id": "from-the-proxy-1"})
        http.post("/devices/bench/resume")
    assert reply.headers["uber-trace-id"] == "from-the-proxy-1"
    paused = next(e for e in entries(live, action="device") if e["action"] == "device.paused")
    assert (paused["address"], paused["request"]) == ("127.0.0.1", "from-the-proxy-1")
    resumed = entries(live, action="device.resumed")[0]
    assert resumed["request"] not in (None, "from-the-proxy-1")


def test_a_look_of_an_operator_has_them_too_and_what_the_server_does_by_itself_has_none(
    live: Live, ada: User, sampler_params: str
) -> None:
    from tests.harness.api import submit

    with ada.http() as http:
        job = submit(http, sampler_params)
    with live.operator() as http:
        seen = http.get(f"/jobs/{job}")
    while not (found := entries(live, subject=f"job {job}")):  # a look does not wait for its commit
        pass
    assert found[0]["address"] == "127.0.0.1"
    assert found[0]["request"] == seen.headers["uber-trace-id"]
    first = entries(live, by="(service)", limit="1000")
    assert first
    assert all(entry["address"] is entry["request"] is None for entry in first)


def test_entries_are_found_by_their_address(live: Live) -> None:
    with live.operator() as http:
        http.post("/devices/bench/resume")
    assert entries(live, address="192.0.2.1") == []
    assert all(entry["address"] == "127.0.0.1" for entry in entries(live, address="127.0.0.1"))

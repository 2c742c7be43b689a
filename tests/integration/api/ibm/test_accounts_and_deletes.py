"""What a program asks of its account over plain HTTP and with the real client, and what it takes back.

Whole kinds: each way in which a client names, finds or chooses an instance; each state in which a job may be
deleted; each method on a result that is given once; what a revoked user leaves behind.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from ibm_cloud_sdk_core import ApiException
from ibm_cloud_sdk_core.authenticators import IAMAuthenticator
from ibm_platform_services import ResourceControllerV2
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.exceptions import IBMInputValueError, RuntimeJobNotFound

from tests.harness.api import Live, User, complaint, submit, wait

# Instances


def test_an_instance_is_found_by_its_crn_and_its_guid_as_the_resource_controller_shows_it(
    live: Live, ada: User, bob: User
) -> None:
    """The CRN has a slash: encoded once, twice by a proxy on the way, or not at all."""
    once = quote(ada.crn, safe="")
    with ada.http("") as http:
        found = http.get(f"/v2/resource_instances/{once}").json()
        assert (found["crn"], found["id"], found["name"]) == (ada.crn, ada.crn, "chem")
        assert (found["region_id"], found["state"]) == ("us-east", "active")
        assert f":a/{found['account_id']}:{found['guid']}::" in ada.crn
        assert datetime.fromisoformat(found["created_at"])
        plan = http.get(f"/catalog/{found['resource_plan_id']}").json()
        assert plan["overview_ui"]["en"]["display_name"] == "Premium"
        for name in (ada.crn, quote(once, safe=""), found["guid"], found["url"].rsplit("/", 1)[1]):
            assert http.get(f"/v2/resource_instances/{name}").json() == found
        listed = http.get("/v2/resource_instances").json()
        assert (listed["resources"], listed["rows_count"], listed["next_url"]) == ([found], 1, None)
        for name in (quote(bob.crn, safe=""), "nothing", "chem", quote("crn:v1:x/../y", safe="")):
            assert ada.crn in complaint(http.get(f"/v2/resource_instances/{name}"), 404)
    complaint(httpx.get(f"{live.url}/v2/resource_instances/{once}"), 401)


def test_the_list_of_resource_instances_keeps_to_its_filters_and_pages(live: Live) -> None:
    user = live.user("cora", "rc-one")
    for project in ("rc-two", "rc-three"):
        live.user("cora", project)
    with live.operator() as operator:
        assert operator.patch("/projects/rc-two", json={"plan": "open"}).status_code == 200
    with user.http("") as http:

        def names(**query: str) -> list[str]:
            reply = http.get("/v2/resource_instances", params=query)
            return [each["name"] for each in reply.json()["resources"]]

        assert names() == ["rc-one", "rc-two", "rc-three"]
        assert names(resource_plan_id="sojourn-open") == ["rc-two"]
        assert names(name="rc-two", resource_plan_id="sojourn-premium") == []
        assert names(guid=user.crn.split(":")[-3], type="service_instance", state="active") == ["rc-one"]
        assert names(state="removed") == names(resource_group_id="x") == []
        found, url = [], "/v2/resource_instances?limit=2"
        while url:
            page = http.get(url).json()
            assert page["rows_count"] == len(page["resources"])
            found += [each["name"] for each in page["resources"]]
            url = page["next_url"]
        assert found == ["rc-one", "rc-two", "rc-three"]
        complaint(http.get("/v2/resource_instances?limit=x"), 400)


@pytest.mark.parametrize("auto", ["auto", "AUTO"])
def test_the_service_crn_auto_is_the_only_instance_and_a_400_with_all_where_there_are_several(
    live: Live, auto: str
) -> None:
    """On every path that reads the header, and in a body that repeats it."""
    user = live.user()
    token = {"authorization": f"Bearer {user.token()}", "service-crn": auto}
    usage = f"{live.url}/api/v1/instances/usage"
    assert httpx.get(usage, headers=token).json()["instance_id"] == user.crn
    assert httpx.get(f"{live.url}/sojourn/v1/me", headers=token).json()["instance"] == user.crn
    session = {"mode": "dedicated", "backend": "bench", "instance": auto}
    made = httpx.post(f"{live.url}/api/v1/sessions", json=session, headers=token).json()
    httpx.delete(f"{live.url}/api/v1/sessions/{made['id']}/close", headers=token)
    other = live.user(user.name, f"{user.project}-two")
    for path in ("/api/v1/instances/usage", "/sojourn/v1/me"):
        said = complaint(httpx.get(live.url + path, headers=token), 400)
        assert user.crn in said
        assert other.crn in said
        assert user.project in said
    assert httpx.get(usage, headers=token | {"service-crn": other.crn}).json()["instance_id"] == other.crn
    said = complaint(httpx.get(usage, headers=token | {"service-crn": "automatic"}), 400)
    assert "'auto'" in said


def test_ibms_own_client_of_the_resource_controller_reads_an_instance(ada: User, bob: User) -> None:
    controller = ResourceControllerV2(authenticator=IAMAuthenticator(ada.key, url=ada.url))
    controller.set_service_url(ada.url)
    found = controller.get_resource_instance(id=ada.crn).get_result()
    assert (found["crn"], found["name"]) == (ada.crn, "chem")
    assert controller.get_resource_instance(id=found["guid"]).get_result() == found
    assert controller.list_resource_instances(name="chem").get_result()["resources"] == [found]
    with pytest.raises(ApiException) as refused:
        controller.get_resource_instance(id=bob.crn)
    assert refused.value.code == 404


def test_the_client_chooses_an_instance_by_plan_and_by_tag(
    monkeypatch: pytest.MonkeyPatch, live: Live, tmp_path: Any
) -> None:
    user = live.user("tess", "tess-a")
    second, third = live.user("tess", "tess-b"), live.user("tess", "tess-c")
    with live.operator() as operator:
        operator.patch("/projects/tess-b", json={"plan": "open", "tags": ["Teaching", "2026"]})
        operator.patch("/projects/tess-c", json={"tags": ["teaching", "night shift"]})
        assert operator.get("/projects/tess-b").json()["tags"] == ["teaching", "2026"]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in (user.way_d() | {"QISKIT_IBM_INSTANCE": "auto"}).items():
        monkeypatch.setenv(name, value)

    def chosen(**wanted: Any) -> str:
        crn: str = QiskitRuntimeService(**wanted).backend("bench").service.active_instance()
        return crn

    assert [(i["name"], i["plan"], i["tags"]) for i in QiskitRuntimeService().instances()] == [
        ("tess-a", "premium", []),
        ("tess-b", "open", ["teaching", "2026"]),
        ("tess-c", "premium", ["teaching", "night shift"]),
    ]
    assert {i["pricing_type"] for i in QiskitRuntimeService().instances()} == {"free"}
    assert chosen() == user.crn
    assert chosen(plans_preference=["open"]) == second.crn
    assert chosen(plans_preference=["Premium", "open"]) == user.crn
    assert chosen(plans_preference=["premium"], tags=["teaching"]) == third.crn
    assert chosen(tags=["Teaching"]) == second.crn
    assert chosen(tags=["Night Shift"]) == third.crn
    for nothing in ({"plans_preference": ["gold"]}, {"tags": ["2027"]}, {"tags": ["teach"]}):
        with pytest.raises(IBMInputValueError, match="No matching instances"):
            QiskitRuntimeService(**nothing)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["a,b"], "'a,b'"),
        ([""], "''"),
        ([" a"], "does not begin or end with a space"),
        (["x" * 129], "1 to 128"),
        ([str(n) for n in range(51)], "at most 50 tags; 51"),
        ("a", "tags"),
        ([1], "tags"),
    ],
)
def test_tags_that_no_client_could_find_are_refused(live: Live, ada: User, tags: Any, words: str) -> None:
    with live.operator() as operator:
        assert words in complaint(operator.patch("/projects/chem", json={"tags": tags}), 400)
        assert operator.get("/projects/chem").json()["tags"] == []
    with ada.http("/sojourn/v1") as http:
        complaint(http.patch("/projects/chem", json={"tags": ["mine"]}), 403)


# Usage


@pytest.mark.parametrize(("allocation", "limit"), [(600, 600), (600.5, 601), (0.25, 1), (0, 0)])
def test_the_seconds_of_usage_are_integers_whatever_was_used_and_allocated(
    live: Live, sampler_params: str, allocation: float, limit: int
) -> None:
    user = live.user()
    with live.operator() as operator, user.http() as http:
        submitted = submit(http, sampler_params)
        used = wait(http, submitted)["usage"]["quantum_seconds"]
        operator.patch(f"/projects/{user.project}", json={"allocation": allocation})
        usage = http.get("/instances/usage").json()
        consumed = math.ceil(round(used, 6))
        assert usage["usage_consumed_seconds"] == consumed
        assert usage["usage_limit_seconds"] == usage["usage_allocation_seconds"] == limit
        assert usage["usage_remaining_seconds"] == max(0, limit - consumed)
        assert usage["usage_limit_reached"] is (used >= allocation)
        assert all(isinstance(usage[key], int) for key in usage if key.endswith("_seconds"))


# Jobs that go


@pytest.mark.parametrize("state", ["running", "queued"])
def test_a_job_that_has_not_ended_is_cancelled_and_deleted(
    live: Live, sampler_params: str, state: str
) -> None:
    """Any state: the two here and a final one, above; those of sessions in test_sessions_at_the_edges."""
    with live.user().http() as http, live.operator() as operator:
        first = submit(http, sampler_params, "slow")
        second = submit(http, sampler_params, "slow", tags=["second"])
        job_id = first if state == "running" else second
        while operator.get(f"/jobs/{first}").json()["state"] != "running":
            pass
        reply = http.delete(f"/jobs/{job_id}")
        assert (reply.status_code, reply.content) == (204, b"")
        complaint(http.get(f"/jobs/{job_id}"), 404)
        complaint(http.delete(f"/jobs/{job_id}"), 404)
        complaint(http.get(f"/jobs/{job_id}/results"), 404)
        complaint(operator.get(f"/jobs/{job_id}/story"), 404)
        left = [each["id"] for each in http.get("/jobs").json()["jobs"]]
        assert left == [second if state == "running" else first]
        for other in left:
            http.delete(f"/jobs/{other}")
        assert operator.get("/devices/slow").json()["queue_length"] == 0


def test_r56_a_look_at_the_head_of_a_private_result_does_not_take_it(live: Live, sampler_params: str) -> None:
    """HEAD has no effects: here on the one path of the dialect whose GET has some."""
    with live.user().http() as http:
        job_id = submit(http, sampler_params, private=True)
        wait(http, job_id)
        heads = [http.head(f"/jobs/{job_id}/results") for _ in range(2)]
        first = http.get(f"/jobs/{job_id}/results")
        assert "PrimitiveResult" in first.text
        for head in heads:
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == first.headers["content-length"]
        again = http.get(f"/jobs/{job_id}/results")
        assert (again.status_code, again.content) == (200, b"")
        assert again.headers["content-type"].startswith("text/plain")
        assert http.head(f"/jobs/{job_id}/results").headers["content-length"] == "0"
        (why,) = http.get(f"/jobs/{job_id}").json()["warnings"]
        assert "given once (R56)" in why
        assert http.get(f"/jobs/{job_id}/metrics").json()["warnings"] == [why]


def test_the_client_deletes_a_job_that_waits(
    monkeypatch: pytest.MonkeyPatch, live: Live, sampler_params: str, tmp_path: Any
) -> None:
    user = live.user()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in user.way_a().items():
        monkeypatch.setenv(name, value)
    with user.http() as http:
        running, queued = (
            submit(http, sampler_params, "slow"),
            submit(http, sampler_params, "slow", tags=["b"]),
        )
    service = QiskitRuntimeService()
    for job_id in (queued, running):
        service.delete_job(job_id)
        with pytest.raises(RuntimeJobNotFound):
            service.job(job_id)
        with pytest.raises(RuntimeJobNotFound):
            service.delete_job(job_id)


# A user who goes


def test_revoking_a_user_says_what_goes_on_and_ends_it_on_request(live: Live, sampler_params: str) -> None:
    """Sessions, jobs in and outside of them, running and queued; once, again, and by both verbs."""
    user = live.user()
    with user.http() as http, live.operator() as operator:
        session_id = http.post("/sessions", json={"mode": "batch", "backend": "slow"}).json()["id"]
        inside = submit(http, sampler_params, "slow", session_id=session_id)
        plain = [submit(http, sampler_params, "slow", tags=[str(n)]) for n in range(21)]
        while operator.get(f"/jobs/{inside}").json()["state"] != "running":
            pass
        left = operator.post(f"/users/{user.name}/revoke").json()
        assert left["sessions"] == {
            "count": 1,
            "oldest": [{"id": session_id, "device": "slow", "state": "active"}],
        }
        assert left["jobs"]["count"] == 22
        assert [each["id"] for each in left["jobs"]["oldest"]] == [inside, *plain[:19]]
        assert left["jobs"]["oldest"][0] == {"id": inside, "device": "slow", "state": "running"}
        assert (left["closed_sessions"], left["cancelled_jobs"]) == (0, 0)
        complaint(http.get("/jobs"), 401)
        assert operator.delete(f"/users/{user.name}").json() == left

        closing = operator.post(f"/users/{user.name}/revoke", json={"close_sessions": True}).json()
        assert (closing["closed_sessions"], closing["cancelled_jobs"]) == (1, 0)
        assert closing["sessions"]["oldest"][0]["state"] == "pending_closed"
        assert closing["jobs"]["count"] == 22
        ended = operator.post(
            f"/users/{user.name}/revoke", json={"close_sessions": True, "cancel_jobs": True}
        ).json()
        assert ended["cancelled_jobs"] == 22
        assert ended["jobs"] == ended["sessions"] == {"count": 0, "oldest": []}
        assert "by an operator" in operator.get(f"/jobs/{plain[0]}").json()["reason"]
        again = operator.post(f"/users/{user.name}/revoke", json={"cancel_jobs": True}).json()
        assert (again["closed_sessions"], again["cancelled_jobs"]) == (0, 0)
        assert again["jobs"]["count"] == 0


def test_what_is_not_to_end_with_a_key_is_refused_not_dropped(live: Live, ada: User) -> None:
    user = live.user()
    with live.operator() as operator, ada.http("/sojourn/v1") as http:
        for wrong in ({"cancel_job": True}, {"cancel_jobs": "yes"}, {"cancel_jobs": 1}):
            complaint(operator.post(f"/users/{user.name}/revoke", json=wrong), 400)
        assert not next(u for u in operator.get("/users").json()["users"] if u["name"] == user.name)[
            "revoked"
        ]
        complaint(http.post(f"/users/{user.name}/revoke", json={"cancel_jobs": True}), 403)

"""`/metrics` of a live server: what it has is in the table, and it names nobody."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from sojourn.service.metrics.table import LABELS, TABLE, Kind
from tests.harness.api import Live, User, submit, wait

SUFFIXES = {Kind.HISTOGRAM: ("_bucket", "_count", "_sum"), Kind.COUNTER: ("",), Kind.GAUGE: ("",)}
Series = tuple[str, tuple[tuple[str, str], ...]]


def fresh(live: Live) -> str:
    """The text as of now. One that was made before is kept for a second."""
    with live.operator() as http:
        first = text = http.get(f"{live.url}/metrics").text
        while text == first:  # the next one has counted these requests
            reply = http.get(f"{live.url}/metrics")
            assert reply.status_code == 200, reply.text
            text = reply.text
    return text


def scrape(live: Live) -> dict[Series, float]:
    """Every sample of the server, by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(fresh(live))
        for sample in family.samples
    }


def a_job(user: User, params: str) -> str:
    with user.http() as http:
        job = submit(http, params)
        assert wait(http, job)["state"]["status"] == "Completed"
        http.get(f"/jobs/{job}/results")
    return job


def test_what_the_server_has_is_in_the_table_and_what_is_in_the_table_the_server_has(
    live: Live, ada: User, sampler_params: str
) -> None:
    a_job(ada, sampler_params)
    families = {family.name: family for family in text_string_to_metric_families(fresh(live))}
    known = {metric.name.removesuffix("_total"): metric for metric in TABLE}
    assert set(families) == set(known)
    for name, metric in known.items():
        family = families[name]
        assert family.type == metric.kind, name
        allowed = {metric.name + suffix for suffix in SUFFIXES[metric.kind]}
        for sample in family.samples:
            assert sample.name in allowed
            assert set(sample.labels) - {"le"} == set(metric.labels), name


def test_a_new_user_with_a_job_and_a_session_adds_no_series(
    live: Live, ada: User, sampler_params: str
) -> None:
    """Kind: whatever names somebody. The values of the labels come from a list; no name is in them."""

    def all_of_it(user: User) -> set[str]:
        job = a_job(user, sampler_params)
        with user.http() as http:
            session = http.post("/sessions", json={"backend": "bench", "mode": "batch"}).json()["id"]
            http.delete(f"/sessions/{session}/close")
            http.get("/jobs/nothing")
        return {job, session, user.name, user.project, user.crn}

    all_of_it(ada)
    before = set(scrape(live))
    eve = live.user()
    named = all_of_it(eve)
    after = set(scrape(live))
    assert {name for name, _ in after - before} <= {"sojourn_http_requests_total"}, "a status may be new"
    assert named.isdisjoint(value for _, labels in after for _, value in labels)
    assert {label for _, labels in after for label, _ in labels} <= {*LABELS, "le"}


def test_requests_and_polls_are_counted_by_kind_and_status(
    live: Live, ada: User, sampler_params: str
) -> None:
    def count(kind: str, status: str, of: dict[Series, float]) -> float:
        return of.get(("sojourn_http_requests_total", (("kind", kind), ("status", status))), 0.0)

    before = scrape(live)
    a_job(ada, sampler_params)
    with ada.http() as http:
        assert http.get("/jobs/nothing").status_code == 404
    after = scrape(live)
    assert count("submit", "200", after) - count("submit", "200", before) == 1
    assert count("poll", "404", after) - count("poll", "404", before) == 1
    assert count("result", "200", after) - count("result", "200", before) == 1
    assert count("poll", "200", after) > count("poll", "200", before)
    commits: Series = ("sojourn_store_commit_duration_seconds_count", ())
    assert after[commits] > before[commits]


def test_counters_never_go_down(live: Live, ada: User, sampler_params: str) -> None:
    before = scrape(live)
    a_job(ada, sampler_params)
    after = scrape(live)
    counters = {metric.name for metric in TABLE if metric.kind is Kind.COUNTER}
    assert [series for series in before if series[0] in counters and after[series] < before[series]] == []

"""Values out of query strings and bodies: each fault is named with the value and what is allowed."""

from __future__ import annotations

import pytest

from sojourn.api.http.values import Query, duration, json_object
from sojourn.api.ibm.jobs import job_filter
from sojourn.service.errors import BadRequest


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"limit=0", "limit=0 is out of range"),
        (b"limit=-3", "limit=-3 is out of range"),
        (b"limit=ten", "limit='ten' must be a whole number"),
        (b"limit=1e3", "limit='1e3'"),
        (b"limit=99999999999999999999999", "must be a whole number"),
        (b"offset=-1", "offset=-1"),
        (b"pending=maybe", "pending='maybe' is not a boolean"),
        (b"sort=UP", "must be one of ASC, DESC"),
        (b"created_after=yesterday", "is not a time"),
        (b"created_after=2026-02-01&created_before=2026-01-01", "Swap them"),
        (b"created_before=9999-12-31T23:59:59-14:00", "years 1 to 9999"),
        (b"created_after=0001-01-01T00:00:00%2B14:00", "years 1 to 9999"),
        (b"tags=%ff%fe", "not percent-encoded UTF-8"),
        (b"tags=\xff", "not percent-encoded UTF-8"),
        (b"&".join(b"a=%d" % i for i in range(300)), "200 fields"),
    ],
)
def test_a_bad_query_value_is_a_400_that_says_what_is_allowed(raw: bytes, part: str) -> None:
    with pytest.raises(BadRequest) as caught:
        job_filter(Query(raw))
    assert part in caught.value.message


def test_every_filter_of_the_client_is_understood() -> None:
    raw = (
        b"exclude_params=true&limit=5&offset=10&backend=ibm_torino&pending=true&program=sampler&tags=a&tags=b"
        b"&session_id=s1&created_after=2025-01-02T03%3A04%3A05%2B00%3A00&sort=ASC&include_mocks=True"
    )
    found = job_filter(Query(raw))
    assert (found.limit, found.offset, found.device, found.pending) == (5, 10, "ibm_torino", True)
    assert (found.program_id, found.tags, found.session_id) == ("sampler", ("a", "b"), "s1")
    assert found.created_after == 1735787045.0
    assert found.ascending
    assert found.include_mocks


def test_a_plus_sign_that_was_not_encoded_is_understood() -> None:
    query = Query(b"created_after=2025-01-02T03:04:05+00:00")
    assert query.time("created_after") == 1735787045.0


def test_a_limit_above_200_counts_as_200_so_that_the_client_pages_on() -> None:
    assert job_filter(Query(b"limit=1000")).limit == 200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (600, 600),
        (2.5, 2.5),
        ("600", 600),
        ("10m", 600),
        ("2h 30m 40s", 9040),
        ("1d", 86400),
        ("2 hours", 7200),
        ("2 hrs., 30 min.", 9000),
    ],
)
def test_r18_a_time_may_be_seconds_or_text(value: object, seconds: float) -> None:
    assert duration(value, "max_ttl", 28800) == seconds


@pytest.mark.parametrize(
    "value",
    [0, -1, True, "", "soon", "-5m", "2h30", "2ms", "3 months", [], float("nan"), float("inf"), 10**400],
)
def test_r18_a_bad_time_is_a_400_that_names_the_limit(value: object) -> None:
    with pytest.raises(BadRequest, match="28800"):
        duration(value, "max_ttl", 28800)


@pytest.mark.parametrize("value", [1e99, 10**99, "9" * 99, "4000d", float("inf")])
def test_r20_a_time_that_no_device_allows_is_refused_with_the_limit_in_few_words(value: object) -> None:
    with pytest.raises(BadRequest, match="more than ten years; it must be at most 28800 s") as caught:
        duration(value, "max_ttl", 28800)
    assert len(caught.value.message) < 200


def test_r20_what_some_device_could_allow_is_left_to_the_policy() -> None:
    assert duration(28801, "max_ttl", 28800) == 28801


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"a": "\xff"}', "not"),
        (b"[1]", "JSON array"),
        (b"null", "JSON null"),
        (b"true", "JSON boolean"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_400(raw: bytes, part: str) -> None:
    with pytest.raises(BadRequest) as caught:
        json_object(raw, "the session")
    assert part in caught.value.message

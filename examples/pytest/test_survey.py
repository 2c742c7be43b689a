"""Tests of `survey`. The fixtures `sojourn` and `sojourn_service` come with Sojourn; no more is needed."""

import pytest
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError
from survey import SurveyFailed, survey


def test_it_counts_every_shot_of_every_round(sojourn_service):
    counts = survey(sojourn_service.backend("noisy"), 3)
    assert [sum(each.values()) for each in counts] == [100, 100, 100]


def test_it_outlives_its_session(sojourn, sojourn_service):
    seen = []

    def a_night_passes(session):
        sojourn.advance("8h")
        seen.append(session.status())

    assert len(survey(sojourn_service.backend("mock"), 2, between=a_night_passes)) == 2
    assert seen == ["Closed", "Closed"]


def test_it_goes_on_when_the_device_was_given_to_others_meanwhile(sojourn, sojourn_service):
    seen = []

    def lunch(session):
        sojourn.advance("5min")
        seen.append(session.status())

    assert len(survey(sojourn_service.backend("mock"), 2, between=lunch)) == 2
    assert seen == ["Pending", "Pending"]


def test_it_submits_a_job_that_failed_again(sojourn, sojourn_service):
    with sojourn.faults(next_jobs=["completed", "failed", "ran_too_long"]) as faults:
        assert len(survey(sojourn_service.backend("mock"), 2)) == 2
        assert faults.left["next_jobs"] == 0


def test_it_gives_up_in_the_end(sojourn, sojourn_service):
    sojourn.faults(next_jobs=["failed"] * 3)
    with pytest.raises(SurveyFailed):
        survey(sojourn_service.backend("mock"), 1)


def test_it_survives_a_server_that_is_busy(sojourn, sojourn_service):
    sojourn.faults(http=[503, {"status": 503, "method": "POST", "path": "/jobs"}])
    assert len(survey(sojourn_service.backend("mock"), 1)) == 1


def test_it_does_not_try_again_when_its_key_was_revoked(sojourn, sojourn_service):
    backend = sojourn_service.backend("mock")
    sojourn.faults(reject_tokens=True)
    with pytest.raises(IBMNotAuthorizedError):
        survey(backend, 1)

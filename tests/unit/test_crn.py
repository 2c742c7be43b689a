"""The client's names of instances."""

from __future__ import annotations

from sojourn import crn

ACCOUNT, GUID = "0123456789abcdef0123456789abcdef", "5f2b6c1e-7f0c-4b8e-9d7a-1f2e3d4c5b6a"


def test_the_parts_that_the_client_reads_are_found_again() -> None:
    assert crn.parts(crn.of(ACCOUNT, GUID)) == crn.Parts(region="us-east", account=ACCOUNT)


def test_the_name_of_a_project_is_not_taken_for_a_crn() -> None:
    assert crn.is_crn(crn.of(ACCOUNT, GUID))
    assert not crn.is_crn("chem")
    assert len(crn.of(ACCOUNT, GUID)) < crn.LONGEST


def test_what_is_shorter_than_a_crn_has_empty_parts() -> None:
    assert crn.parts("(system)") == crn.Parts(region="", account="")

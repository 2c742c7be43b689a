"""R48: shares over all devices, changed while the server runs; what the configuration states holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sojourn.config import DeviceSettings
from sojourn.service.errors import BadRequest, Conflict, NotFound
from sojourn.service.projects.projects import MemberChange, ProjectChange
from sojourn.service.views import Principal
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
ONE = DeviceSettings(name="one", driver="mock", options={"qubits": 5, "seconds": 3600.0})
TWO = DeviceSettings(name="two", driver="mock", options={"qubits": 5, "seconds": 3600.0})


async def use(h: ServiceHarness, who: Principal, seconds: float, device: str = "one") -> None:
    """Charge device seconds: a job that is cancelled while it runs."""
    job = await h.submit(who, job_body(device))
    await h.running(who, job.id)
    h.clock.advance(seconds)
    await h.service.jobs.cancel(who, job.id)
    await h.ended(who, job.id)


async def order(h: ServiceHarness, device: str) -> list[str]:
    """Who would start on the device, in order."""
    await h.settled()
    jobs = h.service.parts.lanes.dispatchers[device].lane.jobs
    return [
        h.service.accounts.user_name(jobs[j].user)
        for j in h.service.parts.lanes.dispatchers[device].lane.order()
    ]


def test_r48_what_was_used_on_one_device_counts_on_every_other(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob, eve = await h.user("ann"), await h.user("bob"), await h.user("eve")
        await use(h, ann, 1000, "one")
        await use(h, bob, 200, "one")
        blocker = await h.submit(eve, job_body("two"))
        await h.running(eve, blocker.id)
        for who in (ann, bob, ann, bob):
            await h.submit(who, job_body("two"))
        assert await order(h, "two") == ["bob", "bob", "ann", "ann"]

    async def after_a_restart(h: ServiceHarness) -> None:
        # eve's job was running and is run again
        assert [name for name in await order(h, "two") if name != "eve"] == ["bob", "bob", "ann", "ann"]

    run_service(body, after_a_restart, devices=(ONE, TWO))


def test_r48_a_new_weight_holds_at_once_on_every_device_for_jobs_that_wait(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob, eve = await h.user("ann"), await h.user("bob"), await h.user("eve")
        await use(h, ann, 1000)
        await use(h, bob, 200)
        for device in ("one", "two"):
            blocker = await h.submit(eve, job_body(device))
            await h.running(eve, blocker.id)
            for who in (bob, ann):
                await h.submit(who, job_body(device))
            assert await order(h, device) == ["bob", "ann"]
        await h.service.projects.change(eve, "anns", ProjectChange(weight=10.0))
        for device in ("one", "two"):
            assert await order(h, device) == ["ann", "bob"]
        await h.service.projects.change(eve, "anns", ProjectChange(weight=0.0))
        assert await order(h, "two") == ["bob", "ann"]
        await h.service.projects.change(eve, "anns", ProjectChange(weight=10.0))

    async def after_a_restart(h: ServiceHarness) -> None:
        # eve's job was running and is run again
        assert [name for name in await order(h, "two") if name != "eve"] == ["ann", "bob"]

    run_service(body, after_a_restart, devices=(ONE, TWO))


def test_r48_the_weight_of_an_account_is_shared_by_its_projects(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob, eve = await h.user("ann"), await h.user("bob"), await h.user("eve")
        await use(h, ann, 300)
        await use(h, bob, 200)
        blocker = await h.submit(eve, job_body("one"))
        await h.running(eve, blocker.id)
        for who in (ann, bob):
            await h.submit(who, job_body("one"))
        await h.service.projects.change(eve, "anns", ProjectChange(account="physics"))
        await h.service.projects.change(eve, "bobs", ProjectChange(account="chemistry"))
        assert await order(h, "one") == ["bob", "ann"]
        await h.service.projects.weigh(eve, "physics", 2.0)
        assert await order(h, "one") == ["ann", "bob"]
        assert h.service.projects.accounts()["physics"] == 2.0

    run_service(body, devices=(ONE, TWO))


def test_r48_the_weight_of_a_user_counts_within_the_project(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, eve = await h.user("ann"), await h.user("eve")
        key = await h.service.users.add("abe", "anns")
        abe = h.service.accounts.principal(h.service.accounts.by_key(key.api_key) or "", None)
        await use(h, ann, 300)
        await use(h, abe, 200)
        blocker = await h.submit(eve, job_body("one"))
        await h.running(eve, blocker.id)
        for who in (ann, abe):
            await h.submit(who, job_body("one"))
        assert await order(h, "one") == ["abe", "ann"]
        await h.service.projects.change(
            eve, "anns", ProjectChange(members={"ann": MemberChange(weight=2.0, admin=True)})
        )
        assert await order(h, "one") == ["ann", "abe"]
        assert h.service.accounts.principal(ann.user_id, None).admin
        assert not h.service.accounts.principal(abe.user_id, None).admin

    run_service(body, devices=(ONE, TWO))


STATED = {
    "accounts": [{"name": "physics", "weight": 3}],
    "projects": [
        {
            "name": "anns",
            "account": "physics",
            "allocation": 60,
            "limits": {"circuits": 7},
            "users": {"ann": 2},
            "admins": ["ann"],
            "tags": ["Teaching"],
        }
    ],
}


def test_what_the_configuration_states_holds_and_commands_change_the_rest(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, boss = await h.user("ann"), await h.user("boss")
        assert ann.admin
        change = h.service.projects.change
        info = await change(boss, "anns", ProjectChange(weight=5.0, plan="open"))
        assert (info.project.account, info.project.allocation, info.project.weight) == ("physics", 60, 5.0)
        assert (info.account_weight, info.limits.circuits, info.members[0].weight) == (3, 7, 2)
        assert set(info.configured) == {"account", "allocation", "limits", "tags", "users", "admins"}
        assert info.project.tags == ("teaching",)
        for stated in (
            ProjectChange(account="other"),
            ProjectChange(allocation=1.0),
            ProjectChange(unlimited=True),
            ProjectChange(limits={"circuits": None}),
            ProjectChange(tags=[]),
            ProjectChange(members={"ann": MemberChange(weight=1.0)}),
            ProjectChange(members={"ann": MemberChange(admin=False)}),
        ):
            with pytest.raises(Conflict, match="configuration"):
                await change(boss, "anns", stated)
        with pytest.raises(Conflict, match="configuration"):
            await h.service.projects.weigh(boss, "physics", 1.0)

    async def after_a_restart(h: ServiceHarness) -> None:
        boss = h.service.accounts.principal(h.service.accounts.user_id("boss"), None)
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        assert [info.project.name for info in h.service.projects.find(boss)] == ["bosss"]
        info = h.service.projects.get(ann, "anns")
        assert (info.project.weight, info.project.plan, info.project.allocation) == (5.0, "open", 60)

    run_service(body, after_a_restart, sections=STATED)


def test_r50_an_allocation_of_0_lets_nothing_run_whoever_sets_it(run_service: RunService) -> None:
    made: dict[str, Principal] = {}

    async def stated(h: ServiceHarness) -> None:
        ann = made["ann"] = await h.user("ann")
        bob, boss = await h.user("bob"), await h.user("boss")
        await h.service.projects.change(boss, "bobs", ProjectChange(allocation=0.0))
        for who in (ann, bob):
            assert h.service.usage.window(who).limit_seconds == 0
            job = await h.submit(who, job_body("one"))
            assert "an operator raises the allocation" in " ".join(job.warnings)
            await h.settled()
            assert (await h.service.jobs.get(who, job.id)).state == "queued"

    async def not_stated(h: ServiceHarness) -> None:
        ann = made["ann"]
        assert h.service.usage.window(ann).limit_seconds == 0  # what is stored stays
        assert "allocation" not in h.service.projects.get(ann, "anns").configured
        await h.service.projects.change(ann, "anns", ProjectChange(unlimited=True))
        assert h.service.usage.window(ann).limit_seconds is None

    zero = {"projects": [{"name": "anns", "allocation": 0}]}
    run_service(stated, devices=(ONE,), sections=zero)
    run_service(not_stated, devices=(ONE,), sections={"projects": [{"name": "anns"}]})


def test_a_project_can_be_made_ahead_of_its_first_user(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        boss = await h.user("boss")
        boss = Principal(boss.user_id, boss.user, boss.project_id, boss.project, operator=True)
        info = await h.service.projects.create(boss, "anns", ProjectChange(weight=2.0))
        assert (info.project.weight, info.members) == (2.0, ())
        ann = await h.user("ann")
        assert ann.project_id == info.project.id
        with pytest.raises(Conflict, match="already"):
            await h.service.projects.create(boss, "anns", ProjectChange())
        with pytest.raises(BadRequest, match="project name"):
            await h.service.projects.create(boss, "no name", ProjectChange())

    run_service(body)


def test_a_new_project_is_made_as_it_is_to_be_or_not_at_all(run_service: RunService) -> None:
    wanted = ProjectChange(
        account="uni", weight=2.0, allocation=5.0, plan="open", limits={"circuits": 3.0}, tags=["a b", "A b"]
    )

    async def body(h: ServiceHarness) -> None:
        boss = await h.user("boss")
        for refused in (
            ProjectChange(weight=2.0, members={"boss": MemberChange(weight=2.0)}),
            ProjectChange(weight=-1.0),
        ):
            with pytest.raises(BadRequest):
                await h.service.projects.create(boss, "half", refused)
        with pytest.raises(NotFound):
            h.service.accounts.project_named("half")
        await h.service.projects.create(boss, "whole", wanted)

    async def after(h: ServiceHarness) -> None:
        found = h.service.accounts.project_named("whole")
        assert (found.account, found.weight, found.allocation, found.plan) == ("uni", 2.0, 5.0, "open")
        assert (found.limits, found.tags) == ({"circuits": 3.0}, ("a b",))

    run_service(body, after)


def test_nobody_can_be_called_what_the_services_own_usage_is_shown_under(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        boss = await h.user("boss")
        for name, project in (("system", "anns"), ("ann", "system")):
            with pytest.raises(BadRequest, match="'system'"):
                await h.service.users.add(name, project)
        with pytest.raises(BadRequest, match="'system'"):
            await h.service.projects.create(boss, "system", ProjectChange())

    run_service(body)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ProjectChange(weight=-1.0), "-1"),
        (ProjectChange(weight=float("nan")), "nan"),
        (ProjectChange(allocation=-5.0), "-5"),
        (ProjectChange(plan="gold"), "open, premium"),
        (ProjectChange(account="a b"), "account name"),
        (ProjectChange(tags=["a,b"]), "'a,b' is not a tag"),
        (ProjectChange(limits={"pending_per_usr": 1.0}), "pending_per_user"),
        (ProjectChange(limits={"pending_per_device": 1.0}), "not a limit of a project"),
        (ProjectChange(limits={"circuits": 1.5}), "whole number"),
        (ProjectChange(members={"ann": MemberChange(weight=-2.0)}), "-2"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_what_is_possible(
    run_service: RunService, change: ProjectChange, words: str
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        before = h.service.projects.get(ann, "anns")
        with pytest.raises(BadRequest, match=words):
            await h.service.projects.change(ann, "anns", change)
        assert h.service.projects.get(ann, "anns") == before
        with pytest.raises(NotFound, match="anns"):
            await h.service.projects.change(ann, "nowhere", ProjectChange(weight=1.0))
        with pytest.raises(NotFound, match="ann"):
            await h.service.projects.change(ann, "anns", ProjectChange(members={"x": MemberChange(1.0)}))

    run_service(body)

"""Makes the parts of a service: each gets in its constructor what it uses. Nothing runs yet."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from sojourn.config import ServerSettings, Settings
from sojourn.core import Lane, Mode
from sojourn.core.effects import Effect
from sojourn.core.fair_share.usage import UsageMeter
from sojourn.execution.engine import Engine, EngineFactory, Pace, WorkerState
from sojourn.journal.recorder import Journal
from sojourn.service.accounts.accounts import Accounts
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.key_files import KeyFiles
from sojourn.service.accounts.users import Users
from sojourn.service.background import Background
from sojourn.service.companions import external_queues, models, schedules, specs
from sojourn.service.data.disk import Disk
from sojourn.service.data.opening import DATABASE, open_store
from sojourn.service.devices.calibrations import Calibrations
from sojourn.service.devices.catalog import Catalog
from sojourn.service.devices.checks import Checks
from sojourn.service.devices.control import DeviceControl
from sojourn.service.devices.leases import Leases
from sojourn.service.devices.schedule import Schedule
from sojourn.service.events.streams import Streams
from sojourn.service.forecasts.forecasts import Forecasts
from sojourn.service.forecasts.offers import Offers
from sojourn.service.jobs.admission import Admission
from sojourn.service.jobs.contents import Contents
from sojourn.service.jobs.jobs import Jobs
from sojourn.service.jobs.polling import Polls
from sojourn.service.jobs.submits import Submits
from sojourn.service.jobs.texts import Texts
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.feed import Feed
from sojourn.service.lanes.following import Following
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.lanes.records import Records
from sojourn.service.lanes.registry import Lanes
from sojourn.service.lanes.system_jobs import SystemJobs
from sojourn.service.lanes.usage_reports import UsageReports
from sojourn.service.lanes.view_maker import ViewMaker
from sojourn.service.metrics.measures import Measures
from sojourn.service.metrics.readings import Readings
from sojourn.service.projects.crashes import Crashes
from sojourn.service.projects.limits import Limits
from sojourn.service.projects.projects import Projects
from sojourn.service.projects.storage import Storage
from sojourn.service.projects.usage import Usage
from sojourn.service.readiness import Readiness
from sojourn.service.recovery import Recovery
from sojourn.service.requests.holds import Holds
from sojourn.service.requests.rooms import Rooms
from sojourn.service.requests.turns import Turns
from sojourn.service.reservations.reservations import Reservations
from sojourn.service.reservations.timeline import Timeline
from sojourn.service.retention import Retention
from sojourn.service.revocation import Revocation
from sojourn.service.sessions import Sessions
from sojourn.service.timing.clock import Clock
from sojourn.service.timing.steps import Steps
from sojourn.service.tracing.traces import Traces
from sojourn.service.webhooks.addresses import Addresses
from sojourn.service.webhooks.receivers import Receivers
from sojourn.service.webhooks.sender import Sender
from sojourn.service.webhooks.webhooks import Webhooks
from sojourn.store import Database
from sojourn.store import jobs as stored_jobs
from sojourn.store.clock import newest
from sojourn.store.database import DiskSpace, unawaited
from sojourn.store.database.disk_space import MB
from sojourn.worker.confinement import landlock_version
from sojourn.worker.protocol.types import CALIBRATE, CHECK

log = structlog.get_logger("sojourn.service")

StoreFactory = Callable[..., Awaitable[Database]]


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of a running service. No part gets this: the service starts and stops them, and its facets
    are among them."""

    # facets
    jobs: Jobs
    sessions: Sessions
    devices: Catalog
    control: DeviceControl
    timeline: Timeline
    reservations: Reservations
    leases: Leases
    users: Users
    revocation: Revocation
    projects: Projects
    accounts: Accounts
    usage: Usage
    storage: Storage
    limits: Limits
    audit: Audit
    lookup: Lookup
    rooms: Rooms
    turns: Turns
    streams: Streams
    webhooks: Webhooks
    offers: Offers

    # what they stand on
    store: Database
    engine: Engine
    records: Records
    lanes: Lanes
    calibrations: Calibrations
    meter: UsageMeter
    disk: Disk
    crashes: Crashes
    admission: Admission
    submits: Submits
    polls: Polls
    key_files: KeyFiles
    recovery: Recovery
    readiness: Readiness
    schedule: Schedule
    retention: Retention
    following: Following
    background: Background
    readings: Readings
    forecasts: Forecasts


async def assemble(
    settings: Settings,
    clock: Clock,
    data: Path,
    *,
    make_engine: EngineFactory,
    open_database: StoreFactory,
    on_state: Callable[[str, WorkerState], None],
    on_fatal: Callable[[BaseException], None],
    measures: Measures,
    traces: Traces,
) -> Parts:
    """Open the store in the folder `data`, load what is asked for at once, and put the parts together.

    Raises ServiceFailed when the database is missing, damaged or of another version.
    """
    server = settings.server
    space = DiskSpace(data, int(server.disk_reserve_mb * MB))
    store = await open_store(functools.partial(open_database, disk=space), data / DATABASE)
    store.when_committed(measures.commit)
    clock.begin(await store.read(newest))  # before any part reads the time
    background = Background(_task_failed)

    # who there is
    accounts = Accounts(store, clock.date, settings.access.keys_per_user)
    await accounts.load()
    audit = Audit(store, clock)
    key_files = KeyFiles(data, accounts, audit)

    # devices and their lanes
    devices = specs(settings.devices, settings.policy.default_resilience_level)
    companions = models(devices)
    feed = Feed()
    lanes, records, steps = Lanes(devices, companions), Records(feed), await Steps.load(store)
    measures.know(devices)
    engine = make_engine(
        list(devices.values()),
        on_state=on_state,
        preparers=server.preparers,
        prepare_limit=server.prepare_seconds,
        pace=_pace(server),
        hung_limit=server.hung_seconds,
        hidden=_hidden(data) if settings.access.confine_workers else "",
    )

    def apply_calibration(device: str, properties: bytes) -> None:
        if device in devices:
            engine.calibrate(device, properties)

    calibrations = Calibrations(store, clock.now, companions, apply_calibration, feed)
    await calibrations.load()
    checks = Checks(clock.now)
    system_jobs = SystemJobs({CALIBRATE: calibrations, CHECK: checks})

    def room_changed(reason: str | None) -> None:
        """Nothing is started whose result would find no room. With room again, the private inputs are
        forgotten that a full disk kept (R56)."""
        if reason is None:
            store.write(stored_jobs.forget_params).add_done_callback(unawaited)
        lanes.hold(reason)

    disk = Disk(store, room_changed)

    # what each may use
    policy = settings.profile()
    meter = UsageMeter(policy.fair_share_window, policy.half_life)
    crashes = Crashes(store, clock, steps, accounts)
    limits = Limits(settings.limits, accounts, records, crashes)
    storage = Storage(store, accounts, limits)
    projects = Projects(
        settings=settings,
        clock=clock,
        accounts=accounts,
        audit=audit,
        records=records,
        lanes=lanes,
        limits=limits,
        meter=meter,
    )
    usage_reports = UsageReports(lanes, meter, steps)

    def mode_of(session_id: str) -> Mode | None:
        record = records.session(session_id)
        return record.session.mode if record is not None else None

    def observe(device: str, effects: Sequence[Effect]) -> None:
        measures.committed(device, effects, mode_of)
        traces.committed(device, effects)

    def dispatcher(lane: Lane, journal: Journal | None) -> Dispatcher:
        return Dispatcher(
            lane,
            store=store,
            clock=clock,
            engine=engine,
            records=records,
            system_jobs=system_jobs,
            on_charge=usage_reports.charged,
            on_crash=crashes.note,
            on_fatal=on_fatal,
            over=storage.over,
            observe=observe,
            journal=journal,
        )

    # what is asked of them
    rooms, holds = Rooms(server), Holds(measures.held)
    turns = Turns(lambda who: limits.looks(who.project_id))
    streams = Streams(
        store=store,
        feed=feed,
        accounts=accounts,
        limits=limits,
        turns=turns,
        most=server.streams,
        heartbeat=server.heartbeat_seconds,
    )
    addresses = Addresses(settings.webhooks.allow)
    receivers = Receivers(
        store=store,
        clock=clock,
        accounts=accounts,
        audit=audit,
        streams=streams,
        sender=Sender(addresses, settings.webhooks.timeout_seconds),
        most=settings.webhooks.disable_after,
    )
    lookup = Lookup(store, records, accounts, audit, lanes)
    views = ViewMaker(settings, clock, accounts, lanes)
    control = DeviceControl(clock, records, lanes, audit, views)
    schedule = Schedule(
        clock,
        schedules(settings.devices),
        lambda device: background.spawn(control.calibrate_by_schedule(device)),
    )
    webhooks = Webhooks(
        settings.webhooks,
        store=store,
        clock=clock,
        accounts=accounts,
        audit=audit,
        addresses=addresses,
        receivers=receivers,
    )
    forecasts = Forecasts(
        store=store,
        clock=clock,
        lanes=lanes,
        project_name=accounts.project_name,
        next_calibrations=schedule.next,
    )
    retention = Retention(settings.retention, store, clock, records)
    leases = Leases(
        external_queues(settings.devices),
        store=store,
        clock=clock,
        steps=steps,
        accounts=accounts,
        audit=audit,
        records=records,
        lanes=lanes,
    )
    following = Following(
        store=store,
        clock=clock,
        steps=steps,
        lanes=lanes,
        meter=meter,
        on_step=(schedule.step_clock, retention.step_clock, leases.step_clock),
        on_fatal=on_fatal,
    )
    admission = Admission(
        settings=settings,
        store=store,
        records=records,
        lanes=lanes,
        accounts=accounts,
        lookup=lookup,
        engine=engine,
        calibrations=calibrations,
        limits=limits,
        storage=storage,
        disk=disk,
        rooms=rooms,
        leases=leases,
        traces=traces,
        on_prepared=measures.prepared,
    )
    polls = Polls(settings.policy.poll_hold)
    submits = Submits(
        store=store,
        clock=clock,
        steps=steps,
        lookup=lookup,
        views=views,
        admission=admission,
        polls=polls,
        data=data,
        window=settings.policy.submit_retry_window,
    )
    contents = Contents(
        store=store,
        clock=clock,
        blobs=records.blobs,
        texts=Texts(store, records.blobs, rooms, data),
        lookup=lookup,
        results_days=settings.retention.results_days,
    )
    reservations = Reservations(
        settings.reservations,
        store=store,
        clock=clock,
        accounts=accounts,
        audit=audit,
        lanes=lanes,
    )
    return Parts(
        jobs=Jobs(
            store=store,
            clock=clock,
            accounts=accounts,
            audit=audit,
            records=records,
            lanes=lanes,
            lookup=lookup,
            views=views,
            submits=submits,
            polls=polls,
            holds=holds,
            contents=contents,
            forecasts=forecasts,
        ),
        sessions=Sessions(
            store=store,
            accounts=accounts,
            audit=audit,
            limits=limits,
            lanes=lanes,
            lookup=lookup,
            views=views,
            leases=leases,
        ),
        devices=Catalog(
            clock=clock,
            engine=engine,
            lanes=lanes,
            lookup=lookup,
            calibrations=calibrations,
            checks=checks,
            disk=disk,
            next_calibrations=schedule.next,
            background=background,
        ),
        control=control,
        timeline=Timeline(
            store=store,
            clock=clock,
            accounts=accounts,
            records=records,
            lanes=lanes,
            calibrations=calibrations,
            reservations=reservations,
        ),
        reservations=reservations,
        leases=leases,
        users=Users(
            clock=clock,
            accounts=accounts,
            audit=audit,
            files=key_files,
            crashes=crashes.count,
            added=projects.user_added,
        ),
        revocation=Revocation(
            clock=clock,
            accounts=accounts,
            audit=audit,
            records=records,
            lanes=lanes,
            membership_changed=projects.publish,
        ),
        projects=projects,
        accounts=accounts,
        usage=Usage(store, clock, accounts, meter, lookup),
        storage=storage,
        limits=limits,
        audit=audit,
        lookup=lookup,
        rooms=rooms,
        turns=turns,
        streams=streams,
        webhooks=webhooks,
        offers=Offers(lanes=lanes, limits=limits, forecasts=forecasts),
        store=store,
        engine=engine,
        records=records,
        lanes=lanes,
        calibrations=calibrations,
        meter=meter,
        disk=disk,
        crashes=crashes,
        admission=admission,
        submits=submits,
        polls=polls,
        key_files=key_files,
        recovery=Recovery(
            settings=settings,
            store=store,
            clock=clock,
            steps=steps,
            meter=meter,
            records=records,
            lanes=lanes,
            dispatcher=dispatcher,
            following=following,
            admission=admission,
        ),
        readiness=Readiness(data / DATABASE, store, engine, lanes, disk),
        schedule=schedule,
        retention=retention,
        following=following,
        background=background,
        readings=Readings(
            clock=clock,
            store=store,
            engine=engine,
            lanes=lanes,
            disk=disk,
            rooms=rooms,
            holds=holds,
            streams=streams,
            webhooks=webhooks,
            forecasts=forecasts,
        ),
        forecasts=forecasts,
    )


def _task_failed(error: BaseException) -> None:
    log.error("service.task", exc_info=error)


def _pace(server: ServerSettings) -> Pace:
    return Pace(
        small=server.prepare_small_seconds,
        per_mb=server.prepare_seconds_per_mb,
        rate=server.prepare_rate,
        burst=server.prepare_burst,
    )


def _hidden(data: Path) -> str:
    """The folder that no worker may reach; "" where it cannot be kept from them."""
    if not landlock_version():
        log.warning("workers.unconfined", why="the kernel has no Landlock", folder=str(data))
        return ""
    return str(data.resolve())

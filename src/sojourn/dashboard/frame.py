"""What every page has: who looks at it, the way around, and what is shown when the server does not answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import ui
from starlette.responses import RedirectResponse, Response

from sojourn.dashboard import moments
from sojourn.dashboard.following import Event, Following, Listener
from sojourn.dashboard.looking import OFTEN, SLOW, Looking
from sojourn.dashboard.sign_in import Door
from sojourn.dashboard.upstream import Upstream, UpstreamError
from sojourn.dashboard.visitors import Visitor
from sojourn.dashboard.ways import SIGN_IN

NAVIGATION = (
    ("Devices", "/"),
    ("Jobs", "/jobs"),
    ("Sessions", "/sessions"),
    ("Calendar", "/calendar"),
    ("Usage", "/usage"),
)
FOR_OPERATORS = (("Operators", "/operators"),)
LIVE, CUT = "● live", "○ reconnecting"

log = logging.getLogger("sojourn.dashboard")

_STYLE = """
:root { --ink: #1c1e21; --ground: #f4f5f7; --panel: #ffffff; --quiet: #5b616a; --link: #0b5cad;
  --line: #e3e5e9; }
.body--dark { --ink: #e8e8e8; --ground: #17191c; --panel: #22252a; --quiet: #aab0b8; --link: #7ab8f5;
  --line: #363a41; }
body { background: var(--ground); color: var(--ink); }
.panel { background: var(--panel); border-radius: 8px; padding: 1rem; width: 100%;
  box-shadow: 0 1px 3px #0003; }
.quiet { color: var(--quiet); }
a.plain { color: var(--link); }
.facts { display: flex; flex-wrap: wrap; gap: .8rem 2.5rem; margin: 0; }
.facts dd { margin: 0; }
.list { border-collapse: collapse; width: 100%; }
.list th { text-align: left; font-weight: 600; }
.list th, .list td { padding: .3rem 1.2rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
.list tr:last-child td { border-bottom: 0; }
.list td { min-width: 14rem; }
.list .whole { min-width: 0; white-space: nowrap; }
main { gap: 16px; }
main > * { max-width: 100%; }
main > div:empty { display: none; }
nav { gap: 4px 16px; }
nav a { text-decoration: none; padding: 5px 2px 3px; border-bottom: 2px solid transparent; }
nav a:hover, nav a[aria-current] { border-bottom-color: #fff; }
h1 { font-size: 1.5rem; font-weight: 600; line-height: 1.2; margin: 0; }
h2 { font-size: 1.1rem; font-weight: 600; line-height: 1.2; margin: 0; }
.body--dark .q-btn--outline, .body--dark .q-btn--flat { --q-primary: #7ab8f5; --q-negative: #ff9b9b; }
time { white-space: nowrap; }
.mono { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
.followed .away, body[data-away] .followed .here { display: none; }
body[data-away] .followed .away { display: inline; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: #fff; color: #000; z-index: 9999; }
@media (max-width: 600px) {
  .q-header { position: absolute; }
  main { gap: 12px; }
  .panel { padding: .8rem; }
  .facts { gap: .6rem 1.5rem; }
}
"""


class Caller:
    """Asks the server for one visitor."""

    def __init__(self, upstream: Upstream, following: Following, visitor: Visitor) -> None:
        self.visitor = visitor
        self._upstream = upstream
        self._following = following

    async def get(self, path: str, **query: Any) -> Any:
        return await self._upstream.get(self.visitor.key, path, **query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None, once: str | None = None) -> Any:
        return await self._upstream.post(self.visitor.key, path, body, once)

    async def dialect(self, path: str, most: int | None = None) -> Any:
        return await self._upstream.dialect(self.visitor.key, path, most)

    def join(self, listener: Listener) -> Callable[[], None]:
        return self._following.join(self.visitor.key, listener)

    def doubt(self) -> None:
        self._following.doubt(self.visitor.key)

    @property
    def slow(self) -> float:
        """Seconds between two looks at what belongs to others as well, which only operators are told of."""
        return SLOW if self.visitor.operator else OFTEN


Body = Callable[..., Awaitable[None]]


class Frame:
    def __init__(self, upstream: Upstream, following: Following, door: Door) -> None:
        self._upstream = upstream
        self._following = following
        self._door = door

    def page(self, path: str, title: str) -> Callable[[Body], Body]:
        """A page for who has signed in: `body(caller, **parameters of the path)` builds it."""

        def made(body: Body) -> Body:
            async def built(request: Request) -> Response | None:
                visitor = self._door.visitor(request)
                if visitor is None:
                    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                    return RedirectResponse(f"{SIGN_IN}?next={quote(where, safe='')}", 303)
                opened = _Opened(visitor)
                caller = Caller(self._upstream, self._following, visitor)
                _around(caller, request.url.path)
                content = ui.element("main").props("tabindex=-1").classes("w-full column no-wrap")
                _skip_to(content)
                with content:
                    try:
                        await body(caller, **request.path_params)
                    except UpstreamError as error:
                        _failed(caller, error)
                return opened.built()

            ui.page(path, title=f"{title} - Sojourn", response_timeout=30.0)(built)
            return body

        return made


class _Opened:
    """A page, until it is closed or its visit is over. Then it shows nothing more, follows nothing more, and
    leads to the sign-in."""

    def __init__(self, visitor: Visitor) -> None:
        self._client = ui.context.client
        self._built = self._over = False
        self._client.on_delete(visitor.opened(self._gone))

    def _gone(self) -> None:
        self._over = True
        if self._built:
            self._client.layout.clear()  # with what it looks at and listens to
            self._client.open(SIGN_IN)

    def built(self) -> Response | None:
        """What is answered instead of the page, when the visit has ended meanwhile."""
        self._built = True
        return RedirectResponse(SIGN_IN, 303) if self._over else None


def _around(caller: Caller, path: str) -> None:
    visitor = caller.visitor
    ui.add_css(_STYLE)
    ui.add_head_html(moments.script())
    ui.colors(primary="#0b5cad", negative="#a50026")
    with (
        ui.header().classes("items-center q-px-md").style("background: #12355b; color: #fff"),
        ui.element("nav").props('aria-label="Pages"').classes("row items-center full-width"),
    ):
        ui.label("Sojourn").classes("text-bold text-lg")
        for name, target in (*NAVIGATION, *(FOR_OPERATORS if visitor.operator else ())):
            link = ui.link(name, target).classes("text-white")
            if path == target:
                link.props('aria-current="page"')
        ui.space()
        _say_whether_live(caller)
        ui.label(f"{visitor.user} in {visitor.project}" + (" (operator)" if visitor.operator else ""))
        ui.html(
            '<form method="post" action="/sign-out"><button style="color: #fff; background: none; '
            'border: 1px solid #fff; border-radius: 4px; padding: 2px 10px">Sign out</button></form>',
            sanitize=False,
        )


def _say_whether_live(caller: Caller) -> None:
    """A word that says whether the page follows what happens. While the browser itself has lost the
    dashboard it shows the other one, which is there from the beginning."""
    with ui.element("span").props('role="status"').classes("followed"):
        with ui.element("span").classes("here"):
            word = ui.label(CUT).classes("inline")
            why = ui.tooltip("")
        ui.label(CUT).classes("away")

    def said(cut: str | None) -> None:
        word.set_text(LIVE if cut is None else CUT)
        why.set_text(cut or "The page shows what happens as it happens.")

    _while_open(caller, Listener(_nothing, said))


def _while_open(caller: Caller, listener: Listener, run: Callable[[], Awaitable[None]] | None = None) -> None:
    """Listen, and meanwhile `run`, until the page is closed."""

    async def follow() -> None:
        leave = caller.join(listener)
        try:
            await (run() if run is not None else asyncio.get_running_loop().create_future())
        finally:
            leave()

    ui.timer(0.0, follow, once=True)


def _nothing(_: Event) -> None:
    """What a page does about events that only asks whether there is a stream."""


def _skip_to(content: ui.element) -> None:
    """The first thing that the tabulator key reaches."""
    link = ui.html(f'<a class="skip" href="#{content.html_id}">Skip to the content</a>', sanitize=False)
    link.move(target_index=0)


def _failed(caller: Caller, error: UpstreamError) -> None:
    """What could not be shown, and why. A page that had no answer is asked for again when there is one."""
    with ui.element("div").classes("panel").props('role="alert"') as panel:
        ui.label(str(error))
        if error.status:
            return
        ui.label("The page comes when the server answers again.").classes("quiet")
    was_cut = False

    def said(cut: str | None) -> None:
        nonlocal was_cut
        if cut is not None:
            was_cut = True
        elif was_cut:
            with panel:
                ui.navigate.reload()

    caller.doubt()
    _while_open(caller, Listener(_nothing, said))


def refreshing(
    caller: Caller,
    look: Callable[[], Awaitable[None]],
    concerns: Callable[[Event], bool],
    every: float = SLOW,
) -> None:
    """Look now, soon after each event that concerns the page, and `every` so many seconds, while somebody has
    the page open; a server that is away is said once."""
    told = ui.label("").classes("panel quiet").props('role="status"')
    told.set_visibility(False)

    async def again() -> None:
        try:
            await look()
            told.set_visibility(False)
        except UpstreamError as error:
            if not error.status:
                caller.doubt()
            told.set_text(str(error))
            told.set_visibility(True)
        except Exception:
            log.exception("a page could not be shown")  # the next look may succeed

    looking = Looking(again, every)

    def heard(event: Event) -> None:
        if concerns(event):
            looking.soon()

    def said(cut: str | None) -> None:
        looking.every(every if cut is None else min(every, OFTEN))
        if cut is None:  # not all that can be seen raises an event for everybody
            looking.soon()

    _while_open(caller, Listener(heard, said), looking.run)

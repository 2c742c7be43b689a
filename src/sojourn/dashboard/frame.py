"""What every page has: who looks at it, the way around, and what is shown when the server does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import ui
from starlette.responses import RedirectResponse, Response

from sojourn.dashboard.sign_in import Door
from sojourn.dashboard.upstream import Upstream, UpstreamError
from sojourn.dashboard.visitors import Visitor

NAVIGATION = (
    ("Devices", "/"),
    ("Jobs", "/jobs"),
    ("Sessions", "/sessions"),
    ("Calendar", "/calendar"),
    ("Usage", "/usage"),
)
FOR_OPERATORS = (("Operators", "/operators"),)
REFRESH = 2.0
"""Seconds between two looks of a page at what it shows."""

_STYLE = """
:root { --ink: #1c1e21; --ground: #f4f5f7; --panel: #ffffff; --quiet: #5b616a; --link: #0b5cad; }
.body--dark { --ink: #e8e8e8; --ground: #17191c; --panel: #22252a; --quiet: #aab0b8; --link: #7ab8f5; }
body { background: var(--ground); color: var(--ink); }
.panel { background: var(--panel); border-radius: 8px; padding: 1rem; width: 100%;
  box-shadow: 0 1px 3px #0003; }
.quiet { color: var(--quiet); }
a.plain { color: var(--link); }
h1 { font-size: 1.5rem; font-weight: 600; line-height: 1.2; margin: 0; }
h2 { font-size: 1.1rem; font-weight: 600; line-height: 1.2; margin: 0; }
.body--dark .q-btn--outline, .body--dark .q-btn--flat { --q-primary: #7ab8f5; --q-negative: #ff9b9b; }
.mono { font-family: ui-monospace, monospace; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: #fff; color: #000; z-index: 9999; }
"""


class Caller:
    """Asks the server for one visitor."""

    def __init__(self, upstream: Upstream, visitor: Visitor) -> None:
        self.visitor = visitor
        self._upstream = upstream

    async def get(self, path: str, **query: Any) -> Any:
        return await self._upstream.get(self.visitor.key, path, **query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._upstream.post(self.visitor.key, path, body)

    async def dialect(self, path: str) -> Any:
        return await self._upstream.dialect(self.visitor.key, path)


Body = Callable[..., Awaitable[None]]


class Frame:
    def __init__(self, upstream: Upstream, door: Door) -> None:
        self._upstream = upstream
        self._door = door

    def page(self, path: str, title: str) -> Callable[[Body], Body]:
        """A page for who has signed in: `body(caller, **parameters of the path)` builds it."""

        def made(body: Body) -> Body:
            async def built(request: Request) -> Response | None:
                visitor = self._door.visitor(request)
                if visitor is None:
                    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                    return RedirectResponse(f"/sign-in?next={quote(where, safe='')}", 303)
                self._around(visitor, request.url.path)
                content = ui.element("main").props("tabindex=-1").classes("w-full column q-gutter-md")
                content.style("margin-top: -24px; padding: 0 16px")
                _skip_to(content)
                with content:
                    try:
                        await body(Caller(self._upstream, visitor), **request.path_params)
                    except UpstreamError as error:
                        failed(error)
                return None

            ui.page(path, title=f"{title} - Sojourn", response_timeout=30.0)(built)
            return body

        return made

    def _around(self, visitor: Visitor, path: str) -> None:
        ui.add_css(_STYLE)
        ui.colors(primary="#0b5cad", negative="#a50026")
        with (
            ui.header().classes("items-center q-px-md").style("background: #12355b; color: #fff"),
            ui.element("nav").props('aria-label="Pages"').classes("row items-center q-gutter-md full-width"),
        ):
            ui.label("Sojourn").classes("text-bold text-lg")
            for name, target in (*NAVIGATION, *(FOR_OPERATORS if visitor.operator else ())):
                link = ui.link(name, target).classes("text-white")
                if path == target:
                    link.props('aria-current="page"').style("text-decoration: underline")
            ui.space()
            ui.label(f"{visitor.user} in {visitor.project}" + (" (operator)" if visitor.operator else ""))
            ui.html(
                '<form method="post" action="/sign-out"><button style="color: #fff; background: none; '
                'border: 1px solid #fff; border-radius: 4px; padding: 2px 10px">Sign out</button></form>',
                sanitize=False,
            )


def _skip_to(content: ui.element) -> None:
    """The first thing that the tabulator key reaches."""
    link = ui.html(f'<a class="skip" href="#{content.html_id}">Skip to the content</a>', sanitize=False)
    link.move(target_index=0)


def failed(error: UpstreamError) -> None:
    """What could not be shown, and why."""
    with ui.element("div").classes("panel").props('role="alert"'):
        ui.label(str(error))
        ui.label("The page looks again by itself.").classes("quiet")


def refreshing(look: Callable[[], Awaitable[None]], every: float = REFRESH) -> None:
    """Look now, and again and again while somebody has the page open; a server that is away is said once."""
    told = ui.label("").classes("panel quiet").props('role="status"')
    told.set_visibility(False)

    async def again() -> None:
        try:
            await look()
            told.set_visibility(False)
        except UpstreamError as error:
            told.set_text(str(error))
            told.set_visibility(True)

    ui.timer(every, again, immediate=True)

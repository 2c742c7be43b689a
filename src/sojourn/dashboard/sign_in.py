"""The way in and out: a page that offers the ways, and a cookie. Plain pages that work without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sojourn.dashboard.upstream import NO_KEY, Upstream, UpstreamError
from sojourn.dashboard.visitors import COOKIE, Visitor, Visitors
from sojourn.dashboard.ways import SIGN_IN, Way, of_this_site

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in - Sojourn</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; display: grid; place-items: center;
  min-height: 100vh; background: light-dark(#f4f5f7, #17191c); color: light-dark(#1c1e21, #e8e8e8); }}
main {{ width: min(26rem, 90vw); background: light-dark(#fff, #22252a); padding: 2rem; border-radius: 8px;
  box-shadow: 0 1px 4px #0004; }}
h1 {{ font-size: 1.4rem; margin: 0 0 1rem; }}
label {{ display: block; margin-bottom: .3rem; }}
input {{ width: 100%; box-sizing: border-box; font: inherit; padding: .5rem; border: 1px solid #767b83;
  border-radius: 4px; }}
button {{ margin-top: 1rem; font: inherit; padding: .5rem 1.4rem; border: 0; border-radius: 4px;
  background: #0b5cad; color: #fff; cursor: pointer; }}
p.error {{ color: light-dark(#a11, #ff9b9b); }} code {{ font-size: .9em; }}
</style></head><body><main><h1>Sojourn</h1>{said}
{ways}</main></body></html>"""


class Door:
    """Lets people in by one of the `ways`, and out again."""

    def __init__(self, upstream: Upstream, visitors: Visitors, ways: Sequence[Way]) -> None:
        self._upstream = upstream
        self._visitors = visitors
        self._ways = ways

    def add_routes(self, app: FastAPI) -> None:
        app.add_api_route(SIGN_IN, self.form, methods=["GET"], include_in_schema=False)
        app.add_api_route("/sign-out", self.leave, methods=["POST"], include_in_schema=False)
        for way in self._ways:
            way.add_routes(app, self._welcome, self._page)

    def visitor(self, request: Request) -> Visitor | None:
        return self._visitors.of(request.cookies.get(COOKIE))

    async def form(self, request: Request) -> Response:
        return self._page(request, "", 200)

    async def leave(self, request: Request) -> Response:
        if of_this_site(request):
            self._visitors.leave(request.cookies.get(COOKIE))
        reply = RedirectResponse(SIGN_IN, 303)
        reply.delete_cookie(COOKIE)
        return reply

    async def _welcome(self, request: Request, key: str) -> Response:
        try:
            me = await self._upstream.get(key, "/me")
        except UpstreamError as error:
            return self._page(request, str(error), 401 if error.status == NO_KEY else 502)
        self._visitors.leave(request.cookies.get(COOKIE))  # its pages are another's from now on
        token = self._visitors.enter(key, me["user"], me["project"], bool(me["operator"]))
        reply = RedirectResponse(_next(request), 303)
        # A session cookie: it ends with the browser, and the server forgets it earlier.
        reply.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return reply

    def _page(self, request: Request, said: str, status: int) -> HTMLResponse:
        where = quote(_next(request), safe="")
        told = f'<p class="error" role="alert">{escape(said)}</p>' if said else ""
        page = _PAGE.format(said=told, ways="".join(way.offer(where) for way in self._ways))
        headers = {"cache-control": "no-store", "content-security-policy": "frame-ancestors 'none'"}
        return HTMLResponse(page, status, headers)


def _next(request: Request) -> str:
    """A path of this site, and nothing else."""
    wanted = request.query_params.get("next", "/")
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) else "/"

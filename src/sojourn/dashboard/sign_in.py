"""The way in and out: a form, a one-time link, a cookie. Plain pages that work without scripts."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sojourn.dashboard.upstream import Upstream, UpstreamError
from sojourn.dashboard.visitors import COOKIE, Visitor, Visitors

SIGN_IN = "/sign-in"
_LONGEST_FORM = 4000

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
<form method="post" action="/sign-in?next={next}"><label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form>
<p>An operator makes keys: <code>sojourn keys add USER</code>. On the machine of the server the link that
<code>sojourn serve</code> prints signs the user <code>local</code> in.</p></main></body></html>"""


class Door:
    def __init__(self, upstream: Upstream, visitors: Visitors) -> None:
        self._upstream = upstream
        self._visitors = visitors

    def add_routes(self, app: FastAPI) -> None:
        app.add_api_route(SIGN_IN, self.form, methods=["GET"], include_in_schema=False)
        app.add_api_route(SIGN_IN, self.enter, methods=["POST"], include_in_schema=False)
        app.add_api_route("/sign-out", self.leave, methods=["POST"], include_in_schema=False)
        app.add_api_route("/link/{link}", self.link, methods=["GET"], include_in_schema=False)

    def visitor(self, request: Request) -> Visitor | None:
        return self._visitors.of(request.cookies.get(COOKIE))

    async def form(self, request: Request) -> Response:
        return _page("", _next(request))

    async def enter(self, request: Request) -> Response:
        where = _next(request)
        if not _of_this_site(request):
            return _page("This form was sent from another site.", where, 403)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LONGEST_FORM:
                return _page("That is not an API key.", where, 413)
        key = parse_qs(body.decode("ascii", "replace")).get("key", [""])[0].strip()
        if not (key and key.isascii() and key.isprintable() and " " not in key):
            return _page("That is not an API key.", where, 400)
        return await self._welcome(request, key, where)

    async def link(self, request: Request, link: str) -> Response:
        key = self._visitors.redeem(link)
        if key is None:
            return _page("This link has been used, or is not one of this server.", "/", 403)
        return await self._welcome(request, key, "/")

    async def leave(self, request: Request) -> Response:
        if _of_this_site(request):
            self._visitors.leave(request.cookies.get(COOKIE))
        reply = RedirectResponse(SIGN_IN, 303)
        reply.delete_cookie(COOKIE)
        return reply

    async def _welcome(self, request: Request, key: str, where: str) -> Response:
        try:
            me = await self._upstream.get(key, "/me")
        except UpstreamError as error:
            return _page(str(error), where, 401 if error.status == 401 else 502)
        self._visitors.leave(request.cookies.get(COOKIE))  # its pages are another's from now on
        token = self._visitors.enter(key, me["user"], me["project"], bool(me["operator"]))
        reply = RedirectResponse(where, 303)
        # A session cookie: it ends with the browser, and the server forgets it earlier.
        reply.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return reply


def _page(said: str, where: str, status: int = 200) -> HTMLResponse:
    told = f'<p class="error" role="alert">{escape(said)}</p>' if said else ""
    page = _PAGE.format(said=told, next=quote(where, safe=""))
    headers = {"cache-control": "no-store", "content-security-policy": "frame-ancestors 'none'"}
    return HTMLResponse(page, status, headers)


def _next(request: Request) -> str:
    """A path of this site, and nothing else."""
    wanted = request.query_params.get("next", "/")
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) else "/"


def _of_this_site(request: Request) -> bool:
    """Browsers name the origin of every form that is sent; a request without one comes from no page."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")

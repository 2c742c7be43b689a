"""The ways to say who one is: each finds a key of the API for the person, and the door does the rest.

Another way, such as a provider of identities, is another class here and one more in the list of the app: it
has its part of the sign-in page, routes of its own, and welcomes with the key that it has for the person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Request
from starlette.responses import Response

from sojourn.dashboard.visitors import Visitors

SIGN_IN = "/sign-in"
_LONGEST_FORM = 4000

Welcome = Callable[[Request, str], Awaitable[Response]]
"""Let in who has this key, if the server knows it; the answer to the request."""
Refuse = Callable[[Request, str, int], Response]
"""The sign-in page with a sentence that says why not, and a status."""


class Way(Protocol):
    def offer(self, where: str, /) -> str:
        """HTML for the sign-in page; `where` is the path to which the person goes afterwards, quoted."""

    def add_routes(self, app: FastAPI, welcome: Welcome, refuse: Refuse) -> None: ...


class ByKey:
    """The form for an API key."""

    def offer(self, where: str, /) -> str:
        return f"""<form method="post" action="{SIGN_IN}?next={where}"><label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form>
<p>An operator makes keys: <code>sojourn keys add USER</code>. On the machine of the server the link that
<code>sojourn serve</code> prints signs the user <code>local</code> in.</p>"""

    def add_routes(self, app: FastAPI, welcome: Welcome, refuse: Refuse) -> None:
        async def enter(request: Request) -> Response:
            if not of_this_site(request):
                return refuse(request, "This form was sent from another site.", 403)
            body = b""
            async for piece in request.stream():
                body += piece
                if len(body) > _LONGEST_FORM:
                    return refuse(request, "That is not an API key.", 413)
            key = parse_qs(body.decode("ascii", "replace")).get("key", [""])[0].strip()
            if not (key and key.isascii() and key.isprintable() and " " not in key):
                return refuse(request, "That is not an API key.", 400)
            return await welcome(request, key)

        app.add_api_route(SIGN_IN, enter, methods=["POST"], include_in_schema=False)


class ByLink:
    """The link that the server prints at its start: it has no part of the page."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors

    def offer(self, _: str, /) -> str:
        return ""

    def add_routes(self, app: FastAPI, welcome: Welcome, refuse: Refuse) -> None:
        async def enter(request: Request, link: str) -> Response:
            key = self._visitors.redeem(link)
            if key is None:
                return refuse(request, "This link has been used, or is not one of this server.", 403)
            return await welcome(request, key)

        app.add_api_route("/link/{link}", enter, methods=["GET"], include_in_schema=False)


def of_this_site(request: Request) -> bool:
    """Browsers name the origin of every form that is sent; a request without one comes from no page."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")

"""Another way to sign in needs no change of the others: it finds a key, and the door does the rest."""

from __future__ import annotations

import asyncio
import json

import httpx
from fastapi import FastAPI, Request
from starlette.responses import Response

from sojourn.dashboard.sign_in import Door
from sojourn.dashboard.upstream import Upstream
from sojourn.dashboard.visitors import COOKIE, Visitors
from sojourn.dashboard.ways import ByKey, ByLink, Refuse, Way, Welcome

KEYS = {"sjn_ann": "ann", "sjn_elsewhere": "eve"}


class Elsewhere:
    """Who comes from elsewhere has a key there."""

    def offer(self, where: str, /) -> str:
        return f'<a href="/elsewhere?next={where}">Sign in elsewhere</a>'

    def add_routes(self, app: FastAPI, welcome: Welcome, refuse: Refuse) -> None:
        async def enter(request: Request) -> Response:
            if "stranger" in request.query_params:
                return refuse(request, "Nobody knows you <there>.", 403)
            return await welcome(request, "sjn_elsewhere")

        app.add_api_route("/elsewhere", enter, methods=["GET"])


async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers who has the key, as `GET /me` of the real one does."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    user = next((name for key, name in KEYS.items() if f"Bearer {key}\r\n" in head), None)
    found = {"user": user, "project": "chem", "operator": False}
    body = json.dumps(found if user else {"error": {"message": "The API key is not known."}})
    status = "200 OK" if user else "401 No"
    writer.write(
        f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
    )
    writer.close()


async def _asked(visitors: Visitors, method: str, path: str, text: str, token: str) -> httpx.Response:
    ways: list[Way] = [ByKey(), ByLink(visitors), Elsewhere()]
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    upstream = Upstream(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    app = FastAPI()
    Door(upstream, visitors, ways).add_routes(app)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://dashboard") as http:
        reply = await http.request(method, path, content=text, headers={"cookie": f"{COOKIE}={token}"})
    await upstream.close()
    listening.close()
    return reply


def ask(visitors: Visitors, method: str, path: str, text: str = "", token: str = "") -> httpx.Response:
    """`token` is that of an earlier visit of the browser."""
    return asyncio.run(_asked(visitors, method, path, text, token))


def who(visitors: Visitors, reply: httpx.Response) -> str | None:
    visitor = visitors.of(reply.cookies.get(COOKIE))
    return None if visitor is None else visitor.user


def test_all_ways_are_offered_on_one_page_and_lead_back_to_where_one_went() -> None:
    page = ask(Visitors(), "GET", "/sign-in?next=/jobs").text
    assert 'action="/sign-in?next=%2Fjobs"' in page
    assert 'href="/elsewhere?next=%2Fjobs"' in page


def test_each_way_lets_in_by_its_key() -> None:
    visitors = Visitors("once", "sjn_ann")
    for method, path, text, name in (
        ("POST", "/sign-in?next=/jobs", "key=sjn_ann", "ann"),
        ("GET", "/link/once", "", "ann"),
        ("GET", "/elsewhere?next=/jobs", "", "eve"),
    ):
        reply = ask(visitors, method, path, text)
        assert reply.status_code == 303, reply.text
        assert reply.headers["location"] == ("/jobs" if "next" in path else "/")
        assert who(visitors, reply) == name


def test_a_way_that_refuses_says_why_on_the_same_page() -> None:
    visitors = Visitors()
    for path in ("/elsewhere?stranger", "/link/none"):
        reply = ask(visitors, "GET", path)
        assert reply.status_code == 403
        assert COOKIE not in reply.cookies
        assert "Sign in elsewhere" in reply.text
    assert "Nobody knows you &lt;there&gt;." in ask(visitors, "GET", "/elsewhere?stranger").text
    assert ask(visitors, "POST", "/sign-in", "key=sjn_wrong").status_code == 401


def test_who_signs_in_again_in_the_same_browser_has_one_visit() -> None:
    visitors = Visitors()
    token = visitors.enter("sjn_ann", "ann", "chem", False)
    gone: list[str] = []
    visitor = visitors.of(token)
    assert visitor is not None
    visitor.opened(lambda: gone.append("page"))

    assert who(visitors, ask(visitors, "GET", "/elsewhere", token=token)) == "eve"
    assert visitors.of(token) is None
    assert gone == ["page"]

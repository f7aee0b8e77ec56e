"""The guard: who is refused, and what every answer carries."""

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pellucid.show.studio.request_filter import RequestFilter, refusal

HOST = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize(
    "headers",
    [
        HOST,
        {"host": "localhost:1"},
        {"host": "[::1]:7860"},
        {**HOST, "origin": "http://127.0.0.1:7860"},
        {**HOST, "sec-fetch-site": "same-origin"},
        {**HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},  # a link followed
        {**HOST, "content-length": "1000"},
    ],
)
def test_a_window_on_this_machine_is_welcome(headers):
    """Rejects a guard that lets nobody in."""
    assert refusal(Headers(headers), 1000) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 421),
        ({"host": "evil.example"}, 421),  # a name that resolves to this machine
        ({"host": "127.0.0.1.evil.example:7860"}, 421),
        ({"host": "evil.example@x:["}, 421),
        ({**HOST, "origin": "http://evil.example"}, 403),
        ({**HOST, "origin": "null"}, 403),
        ({**HOST, "origin": "http://127.0.0.1:9999"}, 403),  # another program's page
        ({**HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({**HOST, "content-length": "1001"}, 413),
        ({**HOST, "content-length": "-1"}, 413),
        ({**HOST, "transfer-encoding": "chunked"}, 413),  # of any length, that is
    ],
)
def test_others_are_refused(headers, status):
    """Rejects pages of other sites, by whatever way they come."""
    assert refusal(Headers(headers), 1000)[0] == status


def test_answers_forbid_other_addresses():
    """Rejects a page that may load from elsewhere, and an app that is reached in spite of a refusal."""
    inner = Starlette(routes=[Route("/", lambda request: PlainTextResponse("inside"))])
    client = TestClient(RequestFilter(inner, 1000), base_url="http://127.0.0.1:7860")
    answer = client.get("/")
    assert answer.text == "inside"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]
    refused = client.get("/", headers={"host": "evil.example"})
    assert refused.status_code == 421
    assert "inside" not in refused.text


def test_a_studio_open_to_a_network_asks_for_its_token():
    """Rejects a studio that any machine may use, a token that is only asked of the first page, one that another name of
    the machine is refused with, and other sites that use the cookie."""
    inner = Starlette(routes=[Route("/", lambda request: PlainTextResponse("inside"))])
    client = TestClient(RequestFilter(inner, 1000, "right"), base_url="http://192.168.1.7:7860")
    for path in ("/", "/?token=", "/?token=wrong", "/?token=righ%C3%A4"):
        refused = client.get(path)
        assert (refused.status_code, "token" in refused.text, "inside" in refused.text) == (401, True, False)
        assert "set-cookie" not in refused.headers
    assert client.get("/", headers={"cookie": "pellucid-token=wrong"}).status_code == 401
    welcome = client.get("/?token=right")
    assert (welcome.status_code, welcome.text) == (200, "inside")
    assert {"HttpOnly", "SameSite=Strict"} <= set(welcome.headers["set-cookie"].split("; "))
    assert client.get("/").text == "inside"  # by the cookie
    assert client.get("/", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/", content=b"x" * 1001).status_code == 413

"""Request filter: lets only a browser window that shows the studio, on this machine, speak to it.

RequestFilter: an ASGI app -> the same, for requests to 127.0.0.1 or localhost that no other site has sent; where it is
               open to a network, for requests to any name that bring the token, in the address or then in a cookie

A page anywhere on the web can make a browser send requests to 127.0.0.1, and by a name that resolves to it even read
the answers; so foreign names (`Host`), foreign senders (`Origin`, `Sec-Fetch-Site`) and bodies that are overlong, or of
unknown length, are refused. The answers in turn forbid the page every address but its own.
"""

import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HERE, COOKIE = ("127.0.0.1", "localhost", "::1"), "pellucid-token"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
PROXIED = {"forwarded", "via", "x-forwarded-for", "x-real-ip"}  # headers of what stands between
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RequestFilter:
    """Around an app; `most`: bytes of the largest body; `token`: what everybody is asked for, None for nothing."""

    def __init__(self, app: ASGIApp, most: int, token: str | None = None) -> None:
        self._app, self._most, self._token = app, most, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        brought = QueryParams(scope["query_string"]).get("token", "")
        refused = refusal(Headers(scope=scope), self._most, self._token, brought)
        if refused is not None:
            status, words = refused  # the line is closed with it, so that what else is on its way is not even read
            await PlainTextResponse(f"{words}\n", status, {"Connection": "close"})(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers.setdefault(name, value)
                if self._token is not None and brought:  # the right one, or it would have been refused
                    headers.append("Set-Cookie", f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        await self._app(scope, receive, send_safely)


def refusal(headers: Headers, most: int, token: str | None = None, brought: str = "") -> tuple[int, str] | None:
    """The status and the words with which a request of these headers is refused; None where it is welcome.

    token: what is asked for, by `brought` or by the cookie; None for no token, and requests to this machine alone.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if token is not None:
        given = brought or cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if not secrets.compare_digest(given.encode(), token.encode()):
            return 401, "Open the studio by the whole address that it printed, with its token."
    elif _name(f"//{host}") not in HERE:
        return 421, "The studio answers to 127.0.0.1 and localhost only."
    if origin is not None and (urlsplit(origin).netloc != host or urlsplit(origin).scheme not in ("http", "https")):
        return 403, "The studio takes nothing from other sites."
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        return 403, "The studio takes nothing from other sites."
    # Browsers say how long a body is, and the server holds them to it.
    length = "unknown" if "transfer-encoding" in headers else headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > most:
        return 413, f"That is too large, or of unknown length; at most {most // 10**6} MB are taken."
    return None


def _name(address: str) -> str | None:
    """The host of an address, without its port."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None

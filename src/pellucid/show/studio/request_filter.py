"""Request filter: lets only a browser window that shows the studio, on this machine, speak to it.

RequestFilter: an ASGI app -> the same, for requests to 127.0.0.1 or localhost that no other site has sent

A page anywhere on the web can make a browser send requests to 127.0.0.1, and by a name that resolves to it even read
the answers; so foreign names (`Host`), foreign senders (`Origin`, `Sec-Fetch-Site`) and bodies that are overlong, or of
unknown length, are refused. The answers in turn forbid the page every address but its own.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HERE = ("127.0.0.1", "localhost", "::1")
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
    """Around an app; `most`: bytes of the largest body."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = refusal(Headers(scope=scope), self._most)
        if refused is not None:
            await _answer(*refused)(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_safely)


def refusal(headers: Headers, most: int) -> tuple[int, str] | None:
    """The status and the words with which a request of these headers is refused; None where it is welcome."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if _name(f"//{host}") not in HERE:
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


def _answer(status: int, words: str) -> PlainTextResponse:
    """A refusal; the line is closed with it, so that what else is on its way is not even read."""
    return PlainTextResponse(f"{words}\n", status, {"Connection": "close"})


def _name(address: str) -> str | None:
    """The host of an address, without its port."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None

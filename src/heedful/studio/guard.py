"""What every request passes before any route: host name, origin, size; and what every answer carries."""

from __future__ import annotations

import json
from urllib.parse import SplitResult, urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heedful.studio.settings import Settings

SAFE = ("GET", "HEAD", "OPTIONS")
LARGEST = 256 * 1024  # bytes of a request
LARGEST_UPLOAD = 512 * 1024 * 1024  # of a file to import
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class Guard:
    """Pure ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = settings.hosts
        self.netloc = urlsplit(settings.url).netloc
        transport = {"Strict-Transport-Security": "max-age=31536000"} if settings.secure else {}
        self.always = _raw(HEADERS | transport)
        self.unkept = self.always + _raw({"Cache-Control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(scope, message)
            await send(message)

        headers = Headers(scope=scope)
        if fault := self._host_fault(headers):
            await _refuse(400, fault, with_headers)
        elif scope["method"] not in SAFE and (fault := self._origin_fault(headers)):
            await _refuse(403, fault, with_headers)
        else:
            await self._within_size(scope, headers, receive, with_headers)

    def _host_fault(self, headers: Headers) -> str:
        given = headers.get("host", "")
        if _parts(f"//{given}").hostname in self.hosts:
            return ""
        return (
            f"this studio does not answer to the host name '{given[:80]}'; "
            f"start it with --public-url http://{given[:80]} if that is its address, "
            "or with https:// where a proxy with TLS stands before it"
        )

    def _origin_fault(self, headers: Headers) -> str:
        """Refuse what another site's page sent with this browser's cookie. No browser sends a token by itself."""
        if "authorization" in headers:
            return ""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        said = "this request came from another site's page and was refused"
        if site and site not in ("same-origin", "none"):
            return said
        if origin:
            return "" if _parts(origin).netloc in (self.netloc, headers.get("host", "")) else said
        return said if "cookie" in headers and not site else ""

    async def _within_size(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        largest = LARGEST_UPLOAD if scope["path"].endswith("/import") else LARGEST
        said = f"the request is larger than {largest // 1024:,} KiB"
        told = headers.get("content-length", "0")
        if not told.isdigit() or int(told) > largest:
            await _refuse(413, said, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > largest:
                raise HTTPException(413, said)  # which the framework's own parsing of bodies lets through
            return message

        await self.app(scope, counted, send)

    def _add_headers(self, scope: Scope, message: Message) -> None:
        """What a route has set itself stays."""
        ours = self.always if scope["path"].startswith("/static/") else self.unkept
        theirs = {name for name, _ in message["headers"]}
        message["headers"] = [*message["headers"], *(one for one in ours if one[0] not in theirs)]


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """As servers take them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _parts(url: str) -> SplitResult:
    """The parts of an address that came from outside; of one that can't be read, none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


async def _refuse(status: int, said: str, send: Send) -> None:
    body = json.dumps({"error": said}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

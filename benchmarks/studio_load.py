"""Raters by the dozen over HTTP: each takes its next item, answers it, and notes what was acknowledged and when.

The client is bare (`http.client`, one connection a rater), so that it measures the server and not itself.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

IDLE = 2.0  # seconds after which a connection is not used again


class Refused(Exception):
    """The server answered with an error, or with nothing."""


class Line:
    """One browser's connection: keeps its cookies, sends JSON, waits for no delayed acknowledgement."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.headers = {"Host": f"127.0.0.1:{port}", **(headers or {})}
        self.cookies: dict[str, str] = {}
        self._open: http.client.HTTPConnection | None = None
        self._used = 0.0

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """JSON, or text where the answer is none. Refused: a status from 400 on, or no answer."""
        data = body if isinstance(body, bytes | str) else None if body is None else json.dumps(body)
        if data is not None:
            headers = {"Content-Type": "application/json"} | headers
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            answer, text = self._ask(method, path, data, {**self.headers, **headers})
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Refused(f"{method} {path}: {error!r}") from None
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status} {text[:200]!r}")
        kind = answer.getheader("content-type") or ""
        return json.loads(text) if "json" in kind and "ndjson" not in kind else text.decode()

    def _ask(
        self, method: str, path: str, data: bytes | str | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        if time.monotonic() > self._used + IDLE:
            self.close()  # the server may be just closing it
        self._used = time.monotonic()
        if self._open is None:
            self._open = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            self._open.connect()
            self._open.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.request(method, path, data, dict(headers))
        if hasattr(socket, "TCP_QUICKACK") and self._open.sock:  # a server that sends head and body apart waits for it
            self._open.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        answer = self._open.getresponse()
        text = answer.read()
        if answer.will_close:
            self.close()
        return answer, text

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None


class Rater(Protocol):
    """One rater at a desk."""

    def next(self) -> int:
        """Take an item: what the tool calls it; 0 where nothing is left."""

    def submit(self, item: int, marker: str) -> None:
        """Answer it. Returns once the server says that the answer is kept."""


@dataclass
class Load:
    """What a crowd saw. Times are in seconds."""

    seconds: float = 0.0
    acknowledged: list[str] = field(default_factory=list)  # markers
    taken: list[int] = field(default_factory=list)  # items, one entry for each time that one was handed to a rater
    nexts: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def twice(self) -> int:
        """How many items went to a second rater."""
        return sum(count - 1 for count in Counter(self.taken).values())

    def figures(self) -> dict[str, Any]:
        return {
            "answers_per_second": round(len(self.acknowledged) / self.seconds, 1),
            "acknowledged": len(self.acknowledged),
            "submit_ms": spread(self.submits),
            "next_ms": spread(self.nexts),
            "handed_out_twice": self.twice,
            "errors": len(self.errors),
        }


def spread(times: Sequence[float]) -> dict[str, float]:
    """p50, p95 and the longest, in milliseconds."""
    if not times:
        return {}
    line = sorted(times)
    at = {"p50": line[len(line) // 2], "p95": line[int(0.95 * len(line))], "max": line[-1]}
    return {name: round(1000 * value, 1) for name, value in at.items()}


def crowd(raters: Sequence[Rater], seconds: float, *, clock: Callable[[], float] = time.perf_counter) -> Load:
    """All raters at work at once, each as fast as it is served."""
    start = clock()
    with ThreadPoolExecutor(len(raters)) as pool:
        parts = list(pool.map(lambda one: _work(one, start + seconds, clock), raters))
    found = Load(seconds=clock() - start)
    for part in parts:
        found.acknowledged += part.acknowledged
        found.taken += part.taken
        found.nexts += part.nexts
        found.submits += part.submits
        found.errors += part.errors
    return found


def _work(rater: Rater, until: float, clock: Callable[[], float]) -> Load:
    mine = Load()
    while clock() < until:
        try:
            start = clock()
            item = rater.next()
            mine.nexts.append(clock() - start)
            if not item:
                break
            mine.taken.append(item)
            marker = str(uuid.uuid4())
            start = clock()
            rater.submit(item, marker)
            mine.submits.append(clock() - start)
            mine.acknowledged.append(marker)
        except Refused as error:
            mine.errors.append(str(error))
            time.sleep(0.2)
    return mine

"""The thread that tells other programs: it looks for what happened, and sends what waits to the URLs of webhooks.

An address inside a network is asked only where the studio was started with its name: otherwise whoever may set a URL
could make the server ask its neighbours. So names are looked up here, every address found has to be public, and the
very address that was checked is connected to; redirects are not followed and proxies of the environment not used.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from heedful.errors import HeedfulError, InputError
from heedful.feedback.store import Store
from heedful.feedback.webhooks import Letter, any_hook, claim, collect, hand_back, settle, signature
from heedful.run.progress import console

EVERY = 2.0  # seconds between two looks
TIMEOUT = 10.0
NAT64 = IPv6Network("64:ff9b::/96")


def address_of(url: str, named: Collection[str]) -> str:
    """The address to connect to. InputError: no URL that may be told.

    named: hosts, or host:port, that the studio was started with; they may be private, and without TLS.
    """
    parts = _parts(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = str(parts.hostname)
    if {host, f"{host}:{port}"} & set(named):
        return _addresses(host, port)[0]
    if parts.scheme != "https":
        raise InputError(
            f"{url}: a webhook's URL begins with https:// (or start the studio with --webhook-host {host})"
        )
    found = _addresses(host, port)
    if private := [address for address in found if not is_public(address)]:
        raise InputError(
            f"{url}: leads to {private[0]}, which is no public address; if it is meant, start the studio with "
            f"--webhook-host {host}"
        )
    return found[0]


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine or parts.username is not None or any(ord(c) <= 32 or ord(c) >= 127 for c in url):
        raise InputError(
            f"{url[:200]!r}: is no URL of a webhook; write https://host/path in ASCII (a host's name of other letters "
            "begins with xn--), without a name or password"
        )
    return parts


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(f"{host}: no such host is known") from None
    return [str(one[4][0]) for one in found]


def is_public(address: str) -> bool:
    """Whether everyone has it in common; an IPv6 address that carries an IPv4 one is as public as that."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        inner = inner or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None)
        if ip.is_site_local:
            return False
        ip = inner or ip
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def send(letter: Letter, named: Collection[str], now: float) -> tuple[bool, str]:
    """Whether it arrived (any 2xx), and in a few words how it went."""
    import httpx  # loads a good deal that a studio without webhooks does without

    try:
        address, parts = address_of(letter.url, named), _parts(letter.url)
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": "heedful-studio",
            "Heedful-Event": letter.event,
            "Heedful-Delivery": str(letter.id),
            "Heedful-Signature": signature(letter.secret, int(now), letter.body),
        }
        with (
            httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client,
            client.stream(
                "POST",
                httpx.URL(letter.url).copy_with(host=address),
                content=letter.body.encode(),
                headers=headers,
                extensions={"sni_hostname": str(parts.hostname)},
            ) as answer,
        ):
            return answer.is_success, f"answered {answer.status_code}"
    except (InputError, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:  # no letter stops the others
        return False, str(error) or type(error).__name__


def tell(store: Store, named: Collection[str], clock: Callable[[], float] = time.time) -> int:
    """Look once for what happened, and send once what is due; returns how much was sent."""
    while collect(store, clock()) > 0:
        pass
    with store.write() as connection:
        letters = claim(connection, clock())
    return deliver(store, letters, named, clock)


def deliver(store: Store, letters: Sequence[Letter], named: Collection[str], clock: Callable[[], float]) -> int:
    """Send them in their order, and hand the rest back where one doesn't arrive; returns how many were tried."""
    for number, letter in enumerate(letters, 1):
        arrived, said = send(letter, named, clock())
        with store.write() as connection:
            settle(connection, letter, arrived, said, clock())
            if not arrived:
                hand_back(connection, letters[number:], clock())
                return number
    return len(letters)


class Teller:
    """The thread; `with Teller(store, named):` runs it. Each webhook has a sender of its own while letters go to it, so
    that a slow receiver delays no other."""

    def __init__(self, store: Store, named: Collection[str], every: float = EVERY) -> None:
        self.store, self.named, self.every = store, named, every
        self._stop = threading.Event()
        self._busy: set[int] = set()  # webhooks whose letters are being sent
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def __enter__(self) -> Teller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            with _patiently():
                self._look()

    def _look(self) -> None:
        with self.store.read() as connection:
            if not any_hook(connection):
                return
        while collect(self.store, time.time()) > 0 and not self._stop.is_set():
            pass
        with self.store.write() as connection:
            letters = claim(connection, time.time(), self._busy.copy())
        for hook in {letter.webhook_id for letter in letters}:
            self._busy.add(hook)
            own = [letter for letter in letters if letter.webhook_id == hook]
            threading.Thread(target=self._send, args=(hook, own), name=f"webhook {hook}", daemon=True).start()

    def _send(self, hook: int, letters: Sequence[Letter]) -> None:
        try:
            with _patiently():
                deliver(self.store, letters, self.named, time.time)
        finally:
            self._busy.discard(hook)


@contextmanager
def _patiently() -> Iterator[None]:
    try:
        yield
    except HeedfulError as error:  # the database is busy: what waits, waits
        console.print(f"      studio webhooks wait: {error}", markup=False)

"""Starting the studio: the database opened, the first owner's link printed, then served until stopped."""

from __future__ import annotations

import ctypes
import gc
import time
from contextlib import suppress

import uvicorn

from heedful.feedback.accounts import create_link, owners
from heedful.feedback.store import Store, open_store
from heedful.run.listening import listen
from heedful.run.progress import console
from heedful.studio.app import create_app
from heedful.studio.settings import Settings
from heedful.studio.telling import Teller

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, LARGE = -1, -3, 4 * 2**20  # malloc.h's numbers, and bytes


def first_owner_link(settings: Settings, store: Store) -> str:
    """A fresh one-time link while nobody owns the studio; empty once somebody does."""
    with store.write() as connection:
        if owners(connection):
            return ""
        return f"{settings.url}/join/{create_link(connection, 'owner', time.time(), role='owner')}"


def serve_studio(settings: Settings) -> None:
    """Serve until stopped. ResourceError: the port is taken, or the host is no address of this machine."""
    config = uvicorn.Config(
        "heedful.studio.app:create_app",
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    _give_large_blocks_back()
    listening = listen(settings.host, settings.port)
    store = open_store(settings.database)
    config.app = create_app(settings, store)
    _greet(settings, store)
    gc.freeze()  # whatever is loaded by now stays, and need not be looked at again
    gc.enable()
    try:
        with Teller(store, settings.webhook_hosts):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        store.close()
        listening.close()


def _give_large_blocks_back() -> None:
    """Have glibc return blocks from 4 MiB on to the system when they are free, as it does until the first one is.

    It then takes them to be wanted often, and keeps as much in every thread: of a password's hash 19 MiB.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, LARGE)


def _greet(settings: Settings, store: Store) -> None:
    where = store.place
    console.print(f"      studio {settings.url} · labels in {where} (Ctrl-C stops)", soft_wrap=True, markup=False)
    for one in settings.languages.values():
        if one.missing:
            said = (
                f"      studio {one.tag}.json lacks {one.missing} of {len(one.words)} sentences; English stands there"
            )
            console.print(said, soft_wrap=True, markup=False)
    if link := first_owner_link(settings, store):
        said = f"      studio open this link once to become its owner:\n\n  {link}\n"
        console.print(said, soft_wrap=True, markup=False)

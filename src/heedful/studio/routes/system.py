"""Whether the studio is well, and whether the way to it is set up right."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import select

from heedful import __version__
from heedful.feedback.migrate import HEAD, version_of
from heedful.feedback.tables import project
from heedful.studio.access import House, Owner

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """The studio answers, and so does its database."""

    status: str
    """`ok`."""
    version: str
    """Of heedful."""


class Check(BaseModel):
    """One thing that was looked at: whether it is right, and what to do if not."""

    name: str
    """What was looked at."""
    right: bool
    """Whether it is as it should be."""
    said: str
    """What was found, and what to do about it."""


@router.get("/health")
def health(studio: House) -> Health:
    """For load balancers: 200 while the database answers, else 503."""
    with studio.store.read() as connection:
        connection.execute(select(project.c.id).limit(1)).first()
    return Health(status="ok", version=__version__)


@router.get("/selfcheck")
def selfcheck(
    request: Request, studio: House, who: Owner, browser_time: float = 0.0, browser_url: str = ""
) -> list[Check]:
    """What commonly goes wrong between a browser and the studio, in words. The page sends its own clock and address."""
    settings, headers = studio.settings, request.headers
    seen, wanted = urlsplit(browser_url), urlsplit(settings.url)
    same = (seen.scheme, seen.netloc) == (wanted.scheme, wanted.netloc) or not browser_url
    away = seen.hostname not in (None, "127.0.0.1", "localhost", "::1")
    skew = abs(browser_time - studio.clock()) if browser_time else 0.0
    database = "SQLite" if studio.store.sqlite else "PostgreSQL"
    return [
        Check(
            name="Address",
            right=same or not away,
            said=f"browsers come by {wanted.scheme}://{wanted.netloc}"
            if same
            else f"your browser came by {seen.scheme}://{seen.netloc}, and the studio thinks it is at {settings.url}: "
            f"start it with --public-url {seen.scheme}://{seen.netloc}",
        ),
        Check(
            name="Encryption",
            right=not away or seen.scheme == "https",
            said="what goes over the network is encrypted, or stays on this machine"
            if not away or seen.scheme == "https"
            else "passwords go over the network in the clear: put a proxy with TLS before the studio",
        ),
        Check(
            name="Proxy",
            right=headers.get("host", "") in (wanted.netloc, seen.netloc) or not away,
            said="the proxy passes the host name on"
            if headers.get("host", "") in (wanted.netloc, seen.netloc) or not away
            else f"the proxy sends the host name '{headers.get('host', '')[:80]}': let it pass on the browser's own",
        ),
        Check(
            name="Clock",
            right=skew < 60,
            said="the clocks agree"
            if skew < 60
            else f"this browser's clock and the server's differ by {skew:.0f} seconds",
        ),
        Check(
            name="Database",
            right=version_of(studio.store) == HEAD,
            said=f"{database}, tables {version_of(studio.store)}",
        ),
    ]

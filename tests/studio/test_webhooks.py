"""Webhooks: signed letters to a real server, over restarts, told once, and never to the server's neighbours."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import select
from tests.feedback.conftest import new_item, plain, say
from tests.studio.conftest import Place

from heedful.errors import InputError
from heedful.feedback import drift
from heedful.feedback.drift import Drift
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.projects import rater_named
from heedful.feedback.queue import lease
from heedful.feedback.sheet import Answered, in_shown_order
from heedful.feedback.store import Store, open_store
from heedful.feedback.tables import assignment, delivery
from heedful.feedback.webhooks import FIRST_WAIT, GIVE_UP, Letter, add_hook, collect
from heedful.studio import telling
from heedful.studio.client import verify_webhook
from heedful.studio.telling import Teller, address_of, is_public, tell

LOCAL = ("127.0.0.1",)


@dataclass
class Receiver:
    """A server that keeps what it is sent, and answers as told."""

    url: str = ""
    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.got.append((dict(self.headers), body))
            self.send_response(found.status)
            self.send_header("location", "http://127.0.0.1:9/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def work(store: Store, project: Any, rater: str, most: int = 99, preferred: int = 0) -> None:
    """Answer what comes, always with the same stored answer."""
    with store.write() as connection:
        who = rater_named(connection, "human", rater)
        for _ in range(most):
            if not (held := lease(connection, project, who, 0.0, 1)):
                break
            shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held[0])).scalar_one()
            value = in_shown_order(Answered(verdict="prefer", preferred=preferred, strength=1), tuple(shown))
            say(connection, project, held[0], who, value.model_dump(mode="json", exclude_defaults=True))


@pytest.fixture
def hooked(place: Place, receiver: Receiver) -> tuple[Place, Receiver, str]:
    with place.store.write() as connection:
        every: Any = ("item_completed", "project_completed", "dispute_opened", "drift_alarm")
        _, secret = add_hook(connection, place.project.id, receiver.url, every, 0.0)
    return place, receiver, secret


def states(store: Store) -> list[tuple[str, int]]:
    with store.read() as connection:
        rows = connection.execute(select(delivery.c.state, delivery.c.tries).order_by(delivery.c.id)).all()
    return [(row.state, row.tries) for row in rows]


def test_what_happens_is_told_once_and_signed(hooked: tuple[Place, Receiver, str]) -> None:
    place, receiver, secret = hooked
    for rater in ("ann", "bob"):
        work(place.store, place.project, rater)
    assert tell(place.store, LOCAL) == 0  # each item wants three
    work(place.store, place.project, "eve", preferred=1)
    while tell(place.store, LOCAL):
        pass
    told = receiver.told()
    events = [one["event"] for one in told]
    # two of three is less than three quarters: each item is in dispute once nobody more is asked
    assert events.count("item_completed") == 6 and events.count("project_completed") == 1
    assert events.count("dispute_opened") == 6 and len(events) == 13
    headers, body = receiver.got[0]
    assert verify_webhook(secret, headers["Heedful-Signature"], body) == told[0]
    assert told[0]["project"] == {"id": place.project.id, "name": "p"} and told[0]["data"]["judgements"] == 3
    assert headers["Heedful-Event"] == told[0]["event"] and headers["Host"] in receiver.url
    assert len({one["Heedful-Delivery"] for one, _ in receiver.got}) == 13
    assert b"answer" not in body and b"question" not in body
    assert collect(place.store, 0.0) == 0
    assert tell(place.store, LOCAL) == 0


def test_a_letter_that_was_changed_or_is_old_is_not_believed(hooked: tuple[Place, Receiver, str]) -> None:
    place, receiver, secret = hooked
    for rater in ("ann", "bob", "eve"):
        work(place.store, place.project, rater, most=1)
    tell(place.store, LOCAL)
    headers, body = receiver.got[0]
    sent = headers["Heedful-Signature"]
    for bad in (
        lambda: verify_webhook(secret, sent, body.replace(b"item", b"itme")),
        lambda: verify_webhook(secret + "x", sent, body),
        lambda: verify_webhook(secret, sent.replace("t=1", "t=2"), body),
        lambda: verify_webhook(secret, "", body),
        lambda: verify_webhook(secret, "t=²,v1=0", body),
        lambda: verify_webhook(secret, "t=1,v1=é", body),
        lambda: verify_webhook(secret, sent, body, now=time.time() + 301),
    ):
        with pytest.raises(InputError, match="the letter"):
            bad()


def test_what_fails_is_tried_later_and_later_over_a_restart_and_given_up_at_last(
    hooked: tuple[Place, Receiver, str],
) -> None:
    place, receiver, _ = hooked
    now = [time.time()]
    for rater in ("ann", "bob", "eve"):
        work(place.store, place.project, rater, most=1)
    receiver.status = 500
    tell(place.store, LOCAL, lambda: now[0])
    assert states(place.store) == [("waiting", 1)] and tell(place.store, LOCAL, lambda: now[0]) == 0
    now[0] += FIRST_WAIT
    assert tell(place.store, LOCAL, lambda: now[0]) == 1
    now[0] += FIRST_WAIT
    assert tell(place.store, LOCAL, lambda: now[0]) == 0  # the second wait is longer
    receiver.status = 302
    now[0] += 2 * FIRST_WAIT
    assert tell(place.store, LOCAL, lambda: now[0]) == 1 and states(place.store) == [("waiting", 3)]
    reopened = open_store(place.settings.database)  # as after a restart
    receiver.status = 204
    now[0] += 4 * FIRST_WAIT
    assert tell(reopened, LOCAL, lambda: now[0]) == 1 and states(reopened) == [("done", 4)]
    reopened.close()
    assert len({headers["Heedful-Delivery"] for headers, _ in receiver.got}) == 1 and len(receiver.got) == 4
    for rater in ("ann", "bob", "eve"):
        work(place.store, place.project, rater, most=1)
    receiver.status = 500
    tell(place.store, LOCAL, lambda: now[0])
    now[0] += GIVE_UP + 1
    tell(place.store, LOCAL, lambda: now[0])
    assert states(place.store)[-1] == ("given_up", 2)


def test_an_alarm_of_drift_is_told_once(hooked: tuple[Place, Receiver, str]) -> None:
    place, receiver, _ = hooked
    project = replace(place.project, queue=plain(overlap=3, probe=0.5))
    right = Answered(verdict="prefer", preferred=0, strength=1)
    import_items(place.store, project, [new_item(900, part="probe", expected=right)], Imported())
    import_items(place.store, project, [new_item(100 + i) for i in range(60)], Imported())
    work(place.store, project, "ann", most=50)
    work(place.store, project, "ann", most=30, preferred=1)
    while tell(place.store, LOCAL):
        pass
    work(place.store, project, "ann", most=10, preferred=1)
    while tell(place.store, LOCAL):
        pass
    [told] = [one for one in receiver.told() if one["event"] == "drift_alarm"]
    assert told["data"]["rater"] == "ann" and "judges otherwise since check" in told["data"]["said"]


def test_an_alarm_whose_time_was_shifted_is_the_same_alarm(
    hooked: tuple[Place, Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others' answers to a probe without a right answer decide later which of a rater's answers were misses."""
    place, receiver, _ = hooked
    project = replace(place.project, queue=plain(overlap=3, probe=0.5))
    right = Answered(verdict="prefer", preferred=0, strength=1)
    import_items(place.store, project, [new_item(900, part="probe", expected=right)], Imported())
    import_items(place.store, project, [new_item(100 + i) for i in range(60)], Imported())
    now = Drift("ann", "", 40, 30, 30, 10, 2, 50.0, 60.0, 1000.0, 20.0, False, "judges otherwise")
    for since, at in ((50.0, 60.0), (50.0, 63.0), (50.0, 58.0), (52.0, 60.0), (70.0, 80.0)):
        seen = [replace(now, since=since, at=at)]
        monkeypatch.setattr(drift, "drifts", lambda *_, seen=seen, **__: seen)
        work(place.store, project, "ann", most=6)
        while tell(place.store, LOCAL):
            pass
    assert [one["data"]["since"] for one in receiver.told() if one["event"] == "drift_alarm"] == [50.0, 70.0]


def test_a_letter_that_fails_hands_the_others_back(hooked: tuple[Place, Receiver, str]) -> None:
    place, receiver, _ = hooked
    now = [time.time()]
    for rater in ("ann", "bob", "eve"):
        work(place.store, place.project, rater, most=3)
    receiver.status = 500
    assert tell(place.store, LOCAL, lambda: now[0]) == 1 and len(receiver.got) == 1
    receiver.status = 204
    now[0] += FIRST_WAIT
    assert tell(place.store, LOCAL, lambda: now[0]) == 3
    assert states(place.store) == [("done", 2), ("done", 1), ("done", 1)]


def test_a_slow_receiver_delays_no_other(place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with place.store.write() as connection:
        slow, _ = add_hook(connection, place.project.id, receiver.url + "/slow", ["item_completed"], 0.0)
        add_hook(connection, place.project.id, receiver.url, ["item_completed"], 0.0)
    let_go, really = threading.Event(), telling.send

    def send(letter: Letter, named: Any, now: float) -> tuple[bool, str]:
        if letter.webhook_id == slow:
            let_go.wait(20)
        return really(letter, named, now)

    monkeypatch.setattr(telling, "send", send)
    with Teller(place.store, LOCAL, every=0.02):
        for rater in ("ann", "bob", "eve"):
            work(place.store, place.project, rater, most=3)
        end = time.monotonic() + 10
        while len(receiver.got) < 3 and time.monotonic() < end:
            time.sleep(0.02)
        assert len(receiver.got) == 3
        let_go.set()
        while states(place.store) != [("done", 1)] * 6 and time.monotonic() < end:
            time.sleep(0.02)
    assert states(place.store) == [("done", 1)] * 6


def test_the_thread_tells_by_itself(hooked: tuple[Place, Receiver, str]) -> None:
    place, receiver, _ = hooked
    with Teller(place.store, LOCAL, every=0.02):
        for rater in ("ann", "bob", "eve"):
            work(place.store, place.project, rater, most=1)
        end = time.monotonic() + 10
        while not receiver.got and time.monotonic() < end:
            time.sleep(0.02)
    assert [one["event"] for one in receiver.told()] == ["item_completed"]


def test_the_pages_api(place: Place, receiver: Receiver) -> None:
    place.app.state.studio = replace(place.app.state.studio, settings=replace(place.settings, webhook_hosts=LOCAL))
    client, where = place.client("owner"), f"/api/projects/{place.project.id}/webhooks"
    answer = client.post(where, json={"url": receiver.url, "events": ["item_completed"]})
    assert answer.status_code == 200 and answer.json()["secret"].startswith("whsec_")
    assert client.post(where, json={"url": receiver.url, "events": []}).status_code == 400
    assert client.post(where, json={"url": "https://10.0.0.1/x"}).status_code == 400
    for rater in ("ann", "bob", "eve"):
        work(place.store, place.project, rater, most=1)
    receiver.status = 503
    tell(place.store, LOCAL)
    [hook] = client.get(where).json()
    assert (hook["done"], hook["waiting"], hook["events"]) == (0, 1, ["item_completed"]) and "secret" not in hook
    [letter] = client.get(f"{where}/{hook['id']}/deliveries").json()
    assert letter["said"] == "answered 503"
    receiver.status = 200
    assert client.post(f"{where}/{hook['id']}/retry").json() == {"due": 1} and tell(place.store, LOCAL) == 1
    assert client.delete(f"{where}/{hook['id']}").status_code == 200 and client.get(where).json() == []
    assert client.post(f"{where}/{hook['id']}/retry").status_code == 400


# ── where it never sends ────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "fe80::1%eth0",
        "fec0::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_public_addresses_are_told() -> None:
    assert is_public("93.184.215.14") and is_public("2606:2800:21f::1") and is_public("::ffff:93.184.215.14")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x", "https://[::1]/x", "https://localhost/x", "http://93.184.215.14/x", "ftp://93.184.215.14/x",
        "https://me:pass@93.184.215.14/", "https:///x", "https://93.184.215.14:99999/", "https://0x7f000001/",
        "https://93.184.215.14/a b", "https://münchen.example/", "nothing",
    ],
)  # fmt: skip
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        address_of(url, ())


def test_a_host_in_other_letters_stops_no_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header holds ASCII alone: the URL is refused in words, and the thread goes on."""
    monkeypatch.setattr(telling, "_addresses", lambda host, port: ["127.0.0.1"])
    letter = Letter(1, 1, "http://münchen.example:9/x", "s", "item_completed", "{}", 0, 0.0)
    arrived, said = telling.send(letter, ("münchen.example",), 0.0)
    assert not arrived and "xn--" in said


def test_a_name_that_leads_elsewhere_later_is_refused_when_it_is_sent(
    hooked: tuple[Place, Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is looked up once a try, and the address that was looked at is the one connected to."""
    place, receiver, _ = hooked
    looked: list[str] = []
    real: Callable[[str, int], list[str]] = telling._addresses

    def lookup(host: str, port: int) -> list[str]:
        looked.append(host)
        return real(host, port)

    monkeypatch.setattr(telling, "_addresses", lookup)
    for rater in ("ann", "bob", "eve"):
        work(place.store, place.project, rater, most=1)
    tell(place.store, ())  # started without the name
    assert receiver.got == [] and states(place.store) == [("waiting", 1)]
    monkeypatch.setattr(telling, "_addresses", lambda host, port: ["127.0.0.1"])
    assert address_of("http://hooks.example/x", ("hooks.example",)) == "127.0.0.1"
    with pytest.raises(InputError, match="no public address"):
        address_of("https://hooks.example/x", ())

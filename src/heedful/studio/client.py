"""A small client of the studio's API, for judges and other programs."""

from __future__ import annotations

import hmac
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from heedful.errors import InputError, ResourceError
from heedful.feedback.projects import QueuePolicy
from heedful.feedback.sheet import Sheet, in_stored_order, read_answered
from heedful.feedback.webhooks import signature
from heedful.studio.routes.labelling import Desk, Saved
from heedful.studio.routes.machines import MachineItem, MachineReport
from heedful.studio.routes.projects import ImportReport, Made, NewProject
from heedful.studio.routes.shapes import ProjectCard

Decide = Callable[[Sequence[Mapping[str, str]], Sequence[str]], Mapping[str, Any]]
PAGE = 50
FRESH = 300.0  # seconds for which a letter of a webhook is believed


def verify_webhook(secret: str, signature_sent: str, body: bytes, now: float | None = None) -> dict[str, Any]:
    """What a webhook's letter says, from its header `Heedful-Signature` and its body as it came.

    InputError: it is not from the studio that gave the secret, was changed on the way, or is old.
    """
    at = dict(part.partition("=")[::2] for part in signature_sent.split(",")).get("t", "")
    told_right = signature_sent.isascii() and at.isdigit() and len(at) < 20  # anyone may send anything
    if not told_right or not hmac.compare_digest(signature(secret, int(at), body), signature_sent):
        raise InputError("the letter's signature does not fit: it is not of this webhook, or was changed")
    if abs((time.time() if now is None else now) - int(at)) > FRESH:
        raise InputError(f"the letter is older than {FRESH:g} seconds: it may have been sent anew by somebody else")
    told: dict[str, Any] = json.loads(body)
    return told


class StudioClient:
    """The API by a token. InputError: the studio refused, in its own words. ResourceError: it can't be reached."""

    def __init__(self, url: str, token: str, *, timeout: float = 60.0, transport: httpx.BaseTransport | None = None):
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api", headers=headers, timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise ResourceError(f"the studio at {self._http.base_url} can't be reached ({error})") from None
        if answer.is_success:
            return answer
        said = (
            answer.json().get("error", "") if "json" in answer.headers.get("content-type", "") else answer.reason_phrase
        )
        raise (ResourceError if answer.status_code >= 500 else InputError)(f"the studio: {said}")

    def projects(self) -> list[ProjectCard]:
        return [ProjectCard.model_validate(row) for row in self._ask("GET", "/projects").json()]

    def create_project(
        self, name: str, *, preset: str = "", sheet: Sheet | None = None, guidelines: str = "",
        queue: Mapping[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """A new project's number. preset: a sheet by its key; or give one of your own. queue: settings that differ."""
        body = NewProject(
            name=name, preset=preset, sheet=sheet, guidelines=guidelines, queue=QueuePolicy.model_validate(queue or {})
        )
        made = self._ask("POST", "/projects", json=body.model_dump(mode="json", exclude_defaults=True))
        return Made.model_validate(made.json()).id

    def import_file(self, project: int, path: str | Path, rater: str = "") -> ImportReport:
        """Send a file's items; bad rows are named in the report. rater: of judgements whose rows name nobody."""
        with Path(path).open("rb") as file:
            query = {"name": Path(path).name, "rater": rater}
            answer = self._ask("POST", f"/projects/{project}/import", params=query, content=file)
        return ImportReport.model_validate(answer.json())

    def export(self, project: int, kind: str = "rankings", *, without_leaks: bool = False) -> Iterator[str]:
        """JSON lines. without_leaks: none of items in which an answer names who wrote it."""
        query = {"kind": kind, "without_leaks": without_leaks}
        text = self._ask("GET", f"/projects/{project}/export", params=query).text
        yield from (line for line in text.split("\n") if line)  # splitlines also cuts at characters inside of answers

    def desk(self, project: int) -> Desk:
        """The items that the token's account holds."""
        return Desk.model_validate(self._ask("POST", f"/projects/{project}/desk").json())

    def answer(
        self, assignment: int, value: Mapping[str, Any], *, client_uuid: str = "", seconds: float = 0.0
    ) -> Saved:
        """Answer an item. Send again with the same client_uuid after a broken connection: it counts once."""
        body = {"client_uuid": client_uuid or str(uuid.uuid4()), "value": dict(value), "seconds": seconds}
        return Saved.model_validate(self._ask("POST", f"/assignments/{assignment}/judgements", json=body).json())

    def judge(
        self, project: int, judge: str, decide: Decide, *, both_orders: bool = True, draws: int = 1, seed: int = 0
    ) -> MachineReport:
        """Label every item that is left; `decide(messages, answers)` sees the answers in a drawn order.

        It returns a filled-in sheet, as {"verdict": "prefer", "preferred": 0, "strength": 1}. both_orders: it is asked
        once more with the answers the other way round, and an item on which the two differ is a tie, with that as its
        reason. draws: how often it is asked in each order. All that it said is kept. What is refused is in the report,
        and the judge goes on; running again asks about those items once more.
        """
        report = MachineReport(saved=0, there_already=0, faults=[])
        after = 0
        while items := self._page(project, judge, after):
            after = items[-1].item
            labels = [self._label(one, judge, decide, both_orders, draws, seed) for one in items]
            answer = self._ask("POST", f"/projects/{project}/machine-labels", json={"judge": judge, "labels": labels})
            one = MachineReport.model_validate(answer.json())
            report.saved += one.saved
            report.there_already += one.there_already
            report.faults += one.faults
        return report

    def _page(self, project: int, judge: str, after: int) -> list[MachineItem]:
        query = {"judge": judge, "limit": PAGE, "after": after}
        answer = self._ask("GET", f"/projects/{project}/machine-items", params=query)
        return [MachineItem.model_validate(row) for row in answer.json()]

    @staticmethod
    def _label(
        one: MachineItem, judge: str, decide: Decide, both_orders: bool, draws: int, seed: int
    ) -> dict[str, Any]:
        n = len(one.answers)
        drawn = tuple(random.Random(f"{seed}/{judge}/{one.item}").sample(range(n), n))
        said = []
        for shown in [drawn, drawn[::-1]] if both_orders and n > 1 else [drawn]:
            for _ in range(draws):
                seen = read_answered(decide(one.prompt, [one.answers[place] for place in shown]))
                value = in_stored_order(seen, shown).model_dump(mode="json", exclude_defaults=True)
                said.append({"value": value, "shown": shown})
        return {"item": one.item, "client_uuid": str(uuid.uuid4()), "draws": said}

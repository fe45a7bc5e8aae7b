"""The OpenAPI document: what routes tell of themselves, and in words what fields mean, who may call, what errors are.

Fields are described where they are written, in the doc strings behind them, which are read only when somebody asks.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from heedful.feedback.sheet import Answered
from heedful.records import Message
from heedful.studio.access import Allow, Need, scope_of

REF = "#/components/schemas/"
SHEETS = ("value", "filled_in", "said", "expected", "suggestions")  # fields that hold filled-in sheets
SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token, `heedful_…`: for programs."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "heedful_session",
        "description": "A session, begun by `POST /api/session`: for pages.",
    },
}
PARAMETERS = {
    "project_id": "The project's number.",
    "assignment_id": "The number of a place of the caller's, as the desk gives it.",
    "item_id": "The item's number.",
    "account_id": "The account's number.",
    "token_id": "The token's number.",
    "appeal_id": "The appeal's number.",
    "notice_id": "The notice's number.",
    "conversation_id": "The conversation's number.",
    "webhook_id": "The webhook's number.",
    "secret": "What stands at the end of the link.",
    "stage": "The stage's name.",
    "points": "Most points of a curve.",
    "limit": "Most items.",
    "after": "Only items of a higher number.",
    "judge": "The judge's name: items that it has labelled are left out.",
    "kind": "The format; see docs/formats.md.",
    "raters": "Whose judgements.",
    "checks": "Hidden checks, training items and probes too.",
    "without_leaks": "None of items in which an answer names who wrote it.",
    "by_chance": "Of items alone whose place in the queue was drawn: where a rule chose, they speak for the whole.",
    "name": "The file's name, whose end tells its kind; of a run, its folder's name.",
    "rater": "Under whose name judgements are kept whose rows name nobody; empty: they are left out.",
    "browser_time": "The browser's clock, in seconds since 1970.",
    "browser_url": "The address by which the browser came.",
}
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "NewProject": [{"name": "first project", "preset": "pair", "queue": {"overlap": 3}}],
    "ProjectChange": [{"guidelines": "Prefer the **true** answer.", "queue": {"gold": 0.1}}, {"open": False}],
    "NewToken": [{"name": "my program", "scopes": ["read", "label", "manage"], "days": 30}],
    "SignIn": [{"login": "ann", "password": "a plain pass phrase"}],
    "Invitation": [{"role": "rater", "projects": [1]}],
    "NewService": [{"login": "judge-1", "projects": [1]}],
    "Order": [{"rule": "interval"}],
    "Submission": [
        {
            "client_uuid": "7f1c8a52-6d1e-4a0b-9a54-5b1f0a2f3c11",
            "value": {"verdict": "prefer", "preferred": 0, "strength": 2, "reason": "the other one is wrong"},
            "seconds": 21.5,
        }
    ],
    "Aside": [{"text": "the prompt breaks off"}],
    "MachineLabels": [
        {
            "judge": "judge-1",
            "labels": [
                {
                    "item": 1,
                    "client_uuid": "0b9f3a0e-55f0-4a3c-8f0f-2b3a1c4d5e6f",
                    "value": {"verdict": "prefer", "preferred": 1, "strength": 1},
                    "shown": [1, 0],
                }
            ],
        }
    ],
    "Answered": [
        {"verdict": "prefer", "preferred": 0, "strength": 2},
        {"verdict": "both_bad", "reason": "neither answers"},
        {"ranks": [0, 2, 1, 1]},
        {"verdict": "tie", "ratings": [{"tone": 3}, {"tone": 1}], "flags": [[], ["made_up"]]},
        {"steps": ["right", "right", "wrong", None]},
        {"verdict": "prefer", "preferred": 1, "strength": 1, "edited": "The answer.", "edited_from": 1},
    ],
}


def document(app: FastAPI, prefix: str, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The whole document, made once. routers: those that the app includes under the prefix."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = made["components"]["schemas"]
        schemas["Answered"] = Answered.model_json_schema()
        for name, schema in schemas.items():
            _describe(name, schema)
        for route in (one for router in routers for one in router.routes if isinstance(one, APIRoute)):
            for method in route.methods or ():
                _complete(made["paths"][prefix + route.path_format][method.lower()], _need(route), method)
        made["components"]["securitySchemes"] = SCHEMES
        app.openapi_schema = made
    return app.openapi_schema


def _describe(name: str, schema: dict[str, Any]) -> None:
    """A schema's fields in their own words, and an example where there is one."""
    said = next((dict(_doc_strings(model)) for model in (*_models(), Message) if name in _names(model)), {})
    for field, told in schema.get("properties", {}).items():
        told |= {"description": said[field]} if field in said else {}
        if field in SHEETS and (inner := told.get("items", told)).get("type") == "object":
            inner |= {"$ref": f"{REF}Answered"}
            for key in ("type", "additionalProperties", "title"):
                inner.pop(key, None)
    if name in EXAMPLES:
        schema["examples"] = EXAMPLES[name]


def _complete(operation: dict[str, Any], need: Need, method: str) -> None:
    """What a route's own parts don't say: who may call it, and what its parameters mean."""
    for parameter in operation.get("parameters", []):
        parameter.setdefault("description", PARAMETERS.get(parameter["name"], ""))
    if need is Need.NOTHING:
        operation["security"] = []
        return
    operation["security"] = [{"token": []}, {"session": []}]
    said = f"Needs {need.value}; of a token, the scope `{scope_of(need, method)}`."
    operation["description"] = f"{operation['description']}\n\n{said}"


def _need(route: APIRoute) -> Need:
    asked = (one.call.need for one in route.dependant.dependencies if isinstance(one.call, Allow))
    return next(asked, Need.NOTHING)


def _models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """The studio's own: other rooms have models of the same names, loaded or not."""
    for model in base.__subclasses__():
        if model.__module__.startswith(("heedful.studio.", "heedful.feedback.")):
            yield model
        yield from _models(model)


def _names(model: type[Any]) -> tuple[str, str]:
    """What FastAPI may call a model: its name, with its module before it where another one has the same."""
    return model.__name__, f"{model.__module__.replace('.', '__')}__{model.__name__}"


def _doc_strings(model: type[Any]) -> Iterator[tuple[str, str]]:
    """Field and the doc string behind it, of a model and those that it is made from."""
    for part in reversed(model.__mro__):
        if not part.__module__.startswith("heedful."):
            continue
        [body] = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for field, behind in pairwise(lines):
            match field, behind:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    yield name, " ".join(text.split())

"""The OpenAPI document: fields, parameters and errors are described, examples are valid, and pages use nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.studio.conftest import Place
from tests.studio.test_access import NOBODY, ROUTES

from heedful.feedback.sheet import Answered
from heedful.studio.document import EXAMPLES, PARAMETERS, _models
from heedful.studio.routes.labelling import Submission
from heedful.studio.routes.machines import MachineLabels
from heedful.studio.routes.projects import NewProject

SCRIPTS = Path(__file__).parents[2] / "src" / "heedful" / "studio" / "static" / "js"


@pytest.fixture
def document(place: Place) -> dict[str, Any]:
    return dict(place.client().get("/api/openapi.json").json())


def test_every_schema_and_every_field_is_described(place: Place) -> None:
    from heedful.serve import server  # noqa: F401  another room's models, two of the same names

    document = dict(place.client().get("/api/openapi.json").json())
    schemas = document["components"]["schemas"]
    assert {"NewProject", "Answered", "Sheet", "Problem"} <= set(schemas) and "HTTPValidationError" not in schemas
    bare = [name for name, schema in schemas.items() if not schema.get("description")]
    bare += [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, told in schema.get("properties", {}).items()
        if not told.get("description")
    ]
    assert not bare, "write a doc string behind each"


def test_every_operation_says_who_may_call_it_what_it_reads_and_what_an_error_is(document: dict[str, Any]) -> None:
    used = set()
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            for parameter in one.get("parameters", []):
                assert parameter["description"], (path, parameter["name"])
                used.add(parameter["name"])
            problem = one["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"} and "422" not in one["responses"]
            free = ROUTES[f"{method.upper()} {path}"] == NOBODY
            assert (one["security"] == []) == free == ("Needs " not in one["description"]), (method, path)
    assert used == set(PARAMETERS)
    desk = document["paths"]["/api/projects/{project_id}/desk"]["post"]["description"]
    assert desk.endswith("Needs the right to label; of a token, the scope `label`.")


def test_choices_and_filled_in_sheets_are_told(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Order"]["properties"]["rule"]["enum"] == ["random", "interval", "ensemble", "disagreement"]
    assert schemas["Sheet"]["properties"]["compare"]["enum"] == ["none", "pair", "rank"]
    answered = {"$ref": "#/components/schemas/Answered"}
    for name, field in (("Submission", "value"), ("MachineDraw", "value"), ("Task", "filled_in"), ("Opinion", "value")):
        assert answered.items() <= schemas[name]["properties"][field].items()
    assert schemas["Task"]["properties"]["suggestions"]["items"] == answered


def test_every_example_is_a_valid_body() -> None:
    models = {model.__name__: model for model in _models()}
    assert {NewProject, Submission, MachineLabels, Answered} <= {models[name] for name in EXAMPLES}
    for name, examples in EXAMPLES.items():
        for example in examples:
            models[name].model_validate(example)


CALL = re.compile(r"(?<![\w.])(get|post|put|patch|remove|upload)\((?:`([^`?]*)|\"([^\"?]*))")
METHODS = {"remove": "delete", "upload": "post"}


def test_pages_use_nothing_that_is_not_in_the_document(document: dict[str, Any]) -> None:
    """Every call of a script, its method and address; what a script fills in fits whatever stands at its place."""
    known = [(method, path.split("/")[2:]) for path, methods in document["paths"].items() for method in methods]
    asked = [
        (METHODS.get(name, name), re.sub(r"\$\{[^}]+\}", "{}", quoted or plain).split("/")[1:])
        for script in sorted(SCRIPTS.glob("*.js"))
        for name, quoted, plain in CALL.findall(script.read_text())
        if (quoted or plain).startswith("/")
    ]

    def fits(one: tuple[str, list[str]], other: tuple[str, list[str]]) -> bool:
        pairs = zip(one[1], other[1], strict=True) if len(one[1]) == len(other[1]) else [("", " ")]
        return one[0] == other[0] and all(a == b or "{" in a or "{" in b for a, b in pairs)

    assert len(asked) > 40
    assert [one for one in asked if not any(fits(one, other) for other in known)] == []

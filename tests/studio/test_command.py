"""`heedful studio` from the terminal: what it prints, what it imports, how it refuses."""

from __future__ import annotations

import ast
import json
import platform
import re
import socket
import subprocess
import sys
import tomllib
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import select
from tests.feedback.conftest import new_item, plain, say
from typer.testing import CliRunner

from heedful.cli import app
from heedful.errors import HeedfulError, InputError
from heedful.feedback.accounts import create_account
from heedful.feedback.erase import erase
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.labels import read_labels
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import all_projects, create_project, progress, rater_for, read_project
from heedful.feedback.queue import lease
from heedful.feedback.store import open_store
from heedful.feedback.tables import completion, prompt
from heedful.studio_demo import PAIR, add_demo

ROOT = Path(__file__).parents[2]
PYPROJECT = ROOT / "pyproject.toml"
FASTAPIS_OWN = {"starlette", "anyio"}  # it is made of them
DISTRIBUTIONS = {"argon2": "argon2-cffi", "markdown_it": "markdown-it-py"}  # where modules are called otherwise


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["studio", *arguments])
    if isinstance(result.exception, HeedfulError):
        raise result.exception
    assert result.exit_code in (0, 2), result.output
    return result.output


def test_one_command_makes_training_data(tmp_path: Path) -> None:
    """All labels of a prompt stand on one side, by votes or each, and what is left out is told."""
    row = {"chosen": "a", "rejected": "b", "rater_kind": "human"}
    rows = [row | {"prompt": f"q{number}", "rater": f"r{k}"} for number in range(12) for k in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    database = ("--database", str(tmp_path / "studio.db"))
    run("import", "mine", str(tmp_path / "rows.jsonl"), *database)
    split = ("--heldout", "0.4", "--seed", "1", *database)
    for more, each in (((), 3), (("--labels", "majority", "--fewest", "3"), 1)):
        told = run("export", "mine", str(tmp_path / "out"), "--format", "trl", *more, *split)
        sides = [
            [json.loads(line)["prompt"][0]["content"] for line in (tmp_path / "out" / name).read_text().splitlines()]
            for name in ("train.jsonl", "heldout.jsonl")
        ]
        assert len(sides[0]) + len(sides[1]) == 12 * each and "heldout.jsonl" in told
        assert set(sides[0]) and set(sides[1]) and not set(sides[0]) & set(sides[1])


def test_rows_in_and_labels_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr("heedful.studio_cli.console", Console(file=screen, width=500))
    rows = [
        {"prompt": "q", "chosen": "a", "rejected": "b", "rater": "x", "rater_kind": "ai"},
        {"prompt": "", "chosen": "a"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    database = str(tmp_path / "studio.db")
    run("import", "mine", str(tmp_path / "rows.jsonl"), "--database", database)
    said = screen.getvalue()
    assert "1 new items, 1 labels" in said and "rows.jsonl:2" in said
    for kind, word in (("rankings", "ranks"), ("trl", "chosen"), ("raw", "shown")):
        out = tmp_path / kind
        assert "1 rows on 1 prompts" in run("export", "mine", str(out), "--format", kind, "--database", database)
        assert word in json.loads((out / "train.jsonl").read_text())
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["inputs"] == {"project 'mine'": "judgements up to number 1"}
        assert manifest["query"]["format"] == kind and manifest["counts"]["judgements"] == 1
    tie = {"prompt": "q2", "chosen": "a", "rejected": "b", "tie": True, "rater": "x", "rater_kind": "ai"}
    (tmp_path / "tie.jsonl").write_text(json.dumps(tie) + "\n")
    run("import", "mine", str(tmp_path / "tie.jsonl"), "--database", database)
    told = run("export", "mine", str(tmp_path / "trl"), "--format", "trl", "--database", database)
    assert "1 rows" in told and "left out 1: a tie has no better answer" in told
    with pytest.raises(InputError, match="--format xml: expected one of raw"):
        run("export", "mine", str(tmp_path / "x"), "--format", "xml", "--database", database)
    with pytest.raises(InputError, match="no project"):
        run("export", "other", str(tmp_path / "x"), "--database", database)
    with pytest.raises(InputError, match="is none of pair"):
        run("import", "mine", str(tmp_path / "rows.jsonl"), "--preset", "x", "--database", database)
    run("import", "mine", str(tmp_path / "rows.jsonl"), "--preset", "pair", "--database", database)
    with pytest.raises(InputError, match="has another sheet"):
        run("import", "mine", str(tmp_path / "rows.jsonl"), "--preset", "rank", "--database", database)
    own = tmp_path / "own.toml"
    own.write_text('compare = "rank"\nreason = "required"\n')
    run("import", "own", str(tmp_path / "rows.jsonl"), "--sheet", str(own), "--database", database)
    for more, said in ((["--sheet", str(own)], "has another sheet"), (["--sheet", "x", "--preset", "rank"], "both")):
        with pytest.raises(InputError, match=said):
            run("import", "mine", str(tmp_path / "rows.jsonl"), *more, "--database", database)
    run("backup", str(tmp_path / "copy.db"), "--database", database)
    run("restore", str(tmp_path / "copy.db"), "--database", database)
    assert "is kept as" in screen.getvalue()
    with pytest.raises(InputError, match="no account"):
        run("link", "nobody", "--database", database)


def test_an_export_tells_whose_accounts_were_erased(tmp_path: Path) -> None:
    database = str(tmp_path / "studio.db")
    store = open_store(database)
    with store.write() as connection:
        of = read_project(connection, create_project(connection, "mine", PRESETS["pair"].sheet, plain(overlap=2)))
        accounts = [create_account(connection, name, name, "rater", "a pass phrase", 0.0) for name in ("ann", "bob")]
    import_items(store, of, [new_item(0)], Imported())
    with store.write() as connection:
        raters = [rater_for(connection, one) for one in accounts]
        for one in raters:
            say(connection, of, lease(connection, of, one, 0.0)[0], one)
        [pseudonym] = [label.rater for label in read_labels(connection, of)][:1]
        erase(connection, accounts[0], "keep")
    store.close()
    run("export", "mine", str(tmp_path / "out"), "--database", database)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["inputs"]["erased raters"] == pseudonym
    assert pseudonym in (tmp_path / "out" / "train.jsonl").read_text()


def test_no_database_is_made_by_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such database"):
        run("backup", str(tmp_path / "copy.db"), "--database", str(tmp_path / "none.db"))
    with pytest.raises(InputError, match="no such file"):
        run("import", "mine", str(tmp_path / "none.jsonl"), "--database", str(tmp_path / "none.db"))
    assert not list(tmp_path.iterdir())


def test_the_demo_has_projects_to_try_and_comes_once(tmp_path: Path) -> None:
    database = str(tmp_path / "studio.db")
    add_demo(database)
    add_demo(database)
    store = open_store(database)
    with store.read() as connection:
        projects = all_projects(connection)
        counts = {one.name: progress(connection, one.id) for one in projects}
        steps = next(one.id for one in projects if one.sheet.steps)
        worked = select(completion.c.text).join(prompt).where(prompt.c.project_id == steps)
        answers = connection.execute(worked).scalars().all()
    store.close()
    assert len(projects) == 3 and counts[PAIR].items > 50 and counts[PAIR].gold >= 3 and counts[PAIR].training >= 3
    assert len(answers) > 20 and min(text.count("\n") for text in answers) > 1, "an answer of one step asks for little"


def test_the_studio_is_light() -> None:
    """No torch, no numpy before somebody counts agreement, and no client before a model is asked."""
    code = """
import sys, tempfile
from heedful.studio import server
from heedful.studio.app import create_app
from heedful.studio.settings import Settings
from heedful.feedback.store import open_store
settings = Settings(database=tempfile.mkdtemp() + "/studio.db")
create_app(settings, open_store(settings.database)).openapi()
heavy = {"torch", "transformers", "scipy", "datasets", "pyarrow", "numpy", "httpx"} & set(sys.modules)
assert not heavy, heavy
print(int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150  # MiB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_password_leaves_no_room_taken() -> None:
    """A hash takes 19 MiB, in whichever thread a request is answered."""
    code = """
import threading
from heedful.feedback.accounts import _digest_password
from heedful.studio.server import _give_large_blocks_back

def taken():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1024

_give_large_blocks_back()
before = taken()
for _ in range(3):
    thread = threading.Thread(target=_digest_password, args=("a plain pass phrase",))
    thread.start()
    thread.join()
assert taken() < before + 4, (before, taken())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_at_most_twelve_libraries_of_others_are_used() -> None:
    """By the studio's rooms and commands, at the top of a file or inside a function, and each of them is declared."""
    rooms = ("studio", "feedback", "studio_cli.py", "studio_demo.py")
    used = set()
    for place in (ROOT / "src" / "heedful" / name for name in rooms):
        for path in [place] if place.is_file() else place.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                used |= {name.split(".")[0] for name in names}
    others = used - set(sys.stdlib_module_names) - {"heedful"} - FASTAPIS_OWN
    known = {DISTRIBUTIONS.get(name, name) for name in others}
    declared = {re.split("[<>=~ ]", one)[0] for one in tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]}
    assert known <= declared and len(known) <= 12, sorted(known)


def test_a_taken_port_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "heedful", "studio", "--database", str(tmp_path / "s.db"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 4 and "Errno" not in done.stdout + done.stderr
    assert f"port {port} of 127.0.0.1 can't be used (Address already in use" in done.stdout + done.stderr

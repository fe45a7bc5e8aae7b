"""Whatever is wrong with what a user gives, every command says it in one sentence and ends with its exit code."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heedful import cli
from heedful.run.progress import console

Ran = Callable[[str], tuple[int, str]]
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1, "hidden_size": 16}
LLAMA |= {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 16}
RAW = ("Input should", "Value error", "Traceback", "pydantic", "[Errno", "Errno", "Usage:", "codec can't")


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ran:
    """Runs a command in a folder that holds all kinds of broken things; its exit code and what it wrote as an error."""
    (tmp_path / "folder").mkdir()
    for name, content in {
        "good.csv": b"prompt,chosen,rejected\nq,a,b\nr,c,d\n",
        "prompts.jsonl": b'{"prompt": "Why?"}\n',
        "demos.jsonl": b'{"prompt": "Why?", "completion": "So."}\n',
        "answers.jsonl": b'{"prompt": "Why?", "completion": "So."}\n{"prompt": "Why?", "completion": "No."}\n',
        "empty.jsonl": b"",
        "empty.toml": b"",
        "latin.txt": b"caf\xe9",
        "latin.toml": b'name = "caf\xe9"',
        "broken.toml": b"model =\n",
        "recipe.toml": b'name = "r"\n[[stages]]\ntype = "sft"\nmodel = "folder"\ndata = "demos.jsonl"\n',
        "sheet.toml": b'compare = "pairs"\n',
        "rules.py": b"def f(prompt, completion):\n    return 'good'\n",
        "words.db": b"no database, only words",
    }.items():
        (tmp_path / name).write_bytes(content)
    for name, config, weights in (
        ("bare", LLAMA, b""),
        ("strange", {"model_type": "fancy9000"}, b"\0" * 16),
        ("damaged", LLAMA, b"\0" * 16),
        ("list", [], b"\0" * 16),
        ("odd", LLAMA | {"hidden_size": 17}, b"\0" * 16),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "tokenizer.json").write_text("{}")
        if weights:
            (tmp_path / name / "model.safetensors").write_bytes(weights)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "file", sys.stderr)

    def run(line: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["heedful", *shlex.split(line)])
        monkeypatch.setattr(console, "file", sys.stderr)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capfd.readouterr().err

    return run


SFT = "sft --out x --set data=demos.jsonl --set model="
LABEL = "label --out x --set 'completions=[\"answers.jsonl\"]'"
CASES = [
    # what there is not
    ("validate none.jsonl", 2, "none.jsonl: there is no such file or folder"),
    ("convert none.csv new.jsonl --to rankings", 2, "none.csv: there is no such file or folder"),
    ("run nowhere", 2, "no recipe 'nowhere': give a .toml file or one of actor"),
    ("run none.toml", 2, "none.toml: there is no such file or folder"),
    ("sft none.toml --out x", 2, "none.toml: there is no such file or folder"),
    (f"{SFT}none", 2, "stage 'sft': none: there is no such file or folder"),
    ("report none", 2, "none: there is no such run folder"),
    ("report folder", 2, "folder: holds no stage of a run"),
    ("runs compare a b", 2, "runs/a: there is no such run (runs here: none)"),
    ("runs prune a", 2, "runs/a: there is no such run"),
    ("recipes --copy none", 2, "no recipe 'none'"),
    ("chat none", 2, "none: there is no such model folder"),
    ("frontier none", 2, "none: holds no sweep.json"),
    ("raters none.jsonl", 2, "none.jsonl: there is no such file"),
    ("studio backup copy.db --database none.db", 2, "none.db: there is no such database"),
    ("studio restore none.db", 2, "none.db: there is no such copy"),
    ("studio import p good.csv --sheet none.toml", 2, "none.toml: there is no such file"),
    # a folder for a file, a file for a folder
    ("validate folder", 2, "folder: is a folder but none that datasets' save_to_disk wrote"),
    ("sft folder --out x", 2, "folder: is a folder where a file is needed"),
    ("import good.csv --into folder", 2, "folder: is a folder where a file is needed"),
    (f"{SFT}folder --out good.csv", 2, "good.csv: a file stands where a folder is needed"),
    ("run recipe.toml --runs good.csv", 2, "a file stands where a folder is needed"),
    ("studio import p good.csv --database folder", 2, "folder: is a folder; name the database file in it"),
    ("studio import p good.csv --sheet folder", 2, "folder: is a folder where a file is needed"),
    ("export good.csv --format trl --out folder", 2, "folder: is there already and is no export"),
    # recipes and settings
    ("run empty.toml", 2, "empty.toml: 'name' is missing: add it"),
    ("run broken.toml", 2, "broken.toml: not valid TOML: Invalid value (at line 1, column 8)"),
    ("run latin.toml", 2, "latin.toml: the byte 0xe9 at byte 11 is not UTF-8"),
    ("sft recipe.toml --out x", 2, "recipe.toml: is a recipe, which `heedful run recipe.toml` runs"),
    ("run demo --set foo", 2, "--set foo: expected KEY=VALUE"),
    ("run demo --set ppo.kl=3", 2, "--set ppo.kl: 'ppo.kl': expected a section, as { key = value }, found 3"),
    ("run demo --set ppo.kl.coefficient=-1", 2, "'ppo.kl.coefficient': expected at least 0, found -1"),
    ("run demo --set ppo.kl.coefficient=nan", 2, "'ppo.kl.coefficient': expected a finite number, found nan"),
    ("run demo --set ppo.optim.lr=inf", 2, "'ppo.optim.lr': expected a finite number, found inf"),
    ("run demo --set name=../up", 2, "'name': a name has letters, digits"),
    ("run demo --set seed=-1", 2, "'seed': expected at least 0, found -1"),
    ("reward --out x --set model=bare --set data=good.csv", 2, "'data': expected a list, found 'good.csv'"),
    ("reward --out x --set model=bare --set data=[]", 2, "'data': expected at least 1 "),
    ("dpo --out x --set model=bare --set data=[]", 2, "'data': expected at least 1 "),
    ("label --out x --set completions=[]", 2, "'completions': expected at least 1 "),
    ("select --out x --set rewards.model=bare --set completions=[]", 2, "'completions': expected at least 1 "),
    ("accuracy --out x --set models.a=bare --set data=[]", 2, "'data': expected at least 1 "),
    (f"{LABEL} --by nobody", 2, "type = 'nobody' is none of simulated, flipped, people, judge"),
    (f"{LABEL} --by judge --set by.function=f", 2, "a function is named as module:function or file.py:function"),
    (f"{LABEL} --by judge --set by.function=rules.py:g", 2, "rules.py has no function 'g' (functions there: f)"),
    (f"{LABEL} --by judge --set by.function=rules.py:f", 2, "rules.py:f gave 'good' for the answer 'So.'"),
    ("sweep demo --grid seed", 2, "--grid seed: expected KEY=VALUE,VALUE"),
    (
        "studio import p good.csv --sheet sheet.toml",
        2,
        "field 'compare': expected one of none, pair, rank, found 'pairs'",
    ),
    # options
    ("sft", 2, "missing option '--out'; `heedful sft --help` says what it takes"),
    ("sft --out x --seed -1", 2, "'--seed': expected at least 0, found -1"),
    ("sft --out x --seed abc", 2, "'--seed': expected a whole number, found abc"),
    ("serve bare --port 99999", 2, "'--port': expected at most 65535, found 99999"),
    ("studio next p --by chance", 2, "'--by': 'chance' is not one of 'ensemble'"),
    ("runs lst", 2, "no such command 'lst'. Did you mean 'list'?"),
    ("sft --out x --sed 3", 2, "no such option: --sed"),
    ("export good.csv --format tlr --out e", 2, "--format tlr: expected one of raw, rankings"),
    ("studio --public-url here", 2, "--public-url here: give scheme and host alone"),
    ("studio --host nowhere.invalid --database s.db", 4, "--host nowhere.invalid: is no address of this machine"),
    # data
    ("pretrain --out x --set data=empty.jsonl", 2, "empty.jsonl: holds no rows, expected documents"),
    (
        "openings --out x --set data=latin.txt",
        2,
        "latin.txt: found the byte 0xe9 at byte 3 of line 1, expected UTF-8 text",
    ),
    ("convert prompts.jsonl new.jsonl --to rankings", 2, "holds prompts, expected labels, rankings or preferences"),
    ("import good.csv --into words.db", 2, "words.db: ends in what is no line of a raw log, so nothing was added"),
    # models
    (f"{SFT}folder", 2, "folder: holds no config.json, so it is no model folder"),
    (f"{SFT}bare", 2, "bare: holds no weights: put model.safetensors beside config.json"),
    (f"{SFT}strange", 2, "strange/config.json: model_type = 'fancy9000' is no architecture that transformers"),
    (f"{SFT}list", 2, "list/config.json: names no model_type"),
    (f"{SFT}odd", 2, "odd/config.json: is no config that transformers takes (The hidden size (17) is not a multiple"),
    (f"{SFT}damaged", 2, "damaged: its weights are damaged"),
    # databases
    ("studio backup copy.db --database words.db", 4, "words.db: is damaged or no database"),
    ("studio backup copy.db --database mysql://h/x", 2, "heedful keeps labels in a SQLite file or in PostgreSQL"),
    ("studio backup copy.db --database postgresql://u@h:port/x", 2, "is no database URL"),
    # the disk
    ("import good.csv --into /dev/full", 4, "no space is left on the disk"),
]


@pytest.mark.parametrize(("line", "code", "says"), CASES, ids=[line for line, _, _ in CASES])
def test_bad_input_is_one_sentence(ran: Ran, line: str, code: int, says: str) -> None:
    ended, said = ran(line)
    assert says in said
    assert ended == code
    assert said.startswith("heedful: ") or "\nheedful: " in said
    told = said[said.index("heedful: ") :]
    assert not [raw for raw in RAW if raw in told], told
    assert len(told.splitlines()) == (2 if line == "run empty.toml" else 1), "one sentence a fault"


def test_a_file_that_is_no_raw_log_stays_as_it_is(ran: Ran, tmp_path: Path) -> None:
    ran("import good.csv --into words.db")
    assert (tmp_path / "words.db").read_bytes() == b"no database, only words"


def test_a_file_that_can_not_be_read_makes_no_project(ran: Ran, tmp_path: Path) -> None:
    ended, said = ran("studio import p folder --database s.db")
    assert ended == 2 and "folder: is a folder but none" in said and not (tmp_path / "s.db").exists()
    ran("studio import p good.csv --database s.db")
    ended, said = ran("studio export q out --database s.db")
    assert ended == 2 and "s.db: holds no project 'q' (projects: 'p')" in said


def test_a_taken_port_is_said_before_the_model_is_read(ran: Ran) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended, said = ran(f"serve none --port {port}")
    assert ended == 4 and f"port {port} of 127.0.0.1 can't be used (Address already in use" in said


def test_nothing_asked_shows_the_help_alone(ran: Ran) -> None:
    ended, said = ran("runs")
    assert ended == 2 and "heedful:" not in said

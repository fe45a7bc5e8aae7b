"""A file in each tool's format trains the stages that it serves: the same conversations end in the same model."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import BAD, GOOD, QUESTIONS, build

from heedful.config import Architecture, DPOConfig, RewardConfig, SFTConfig, StageConfig
from heedful.data.chat import Chat, train_tokenizer
from heedful.models.loading import new_policy, save_policy
from heedful.pipeline import run_single
from heedful.run import read_metrics

Row = dict[str, Any]
Shape = Callable[[str, str, str], Row]  # of a question, a good answer and a bad one
REAL = Path(__file__).parents[3] / "shared" / "data"


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}


def part(role: str, text: str, weight: float) -> Row:
    return {"role": role, "content": [{"type": "text", "value": text}], "loss_weight": weight}


def said(who: str, text: str) -> Row:
    return {"from": who, "value": text}


def human(question: str, answer: str) -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


DEMONSTRATIONS: Mapping[str, Shape] = {
    "trl": lambda q, good, _: {"prompt": q, "completion": good},
    "trl-messages": lambda q, good, _: {"messages": [user(q), assistant(good)]},
    "weighted-parts": lambda q, good, _: {"messages": [part("user", q, 0.0), part("assistant", good, 1.0)]},
    "sharegpt": lambda q, good, _: {"conversations": [said("human", q), said("gpt", good)], "system": ""},
    "alpaca": lambda q, good, _: {"instruction": q, "input": "", "output": good},
}
PAIRS: Mapping[str, Shape] = {
    "trl": lambda q, good, bad: {"prompt": q, "chosen": good, "rejected": bad},
    "trl-implicit": lambda q, good, bad: {
        "chosen": [user(q), assistant(good)],
        "rejected": [user(q), assistant(bad)],
    },
    "hh": lambda q, good, bad: {"chosen": human(q, good), "rejected": human(q, bad)},
    "sharegpt": lambda q, good, bad: {
        "conversations": [said("human", q)],
        "chosen": said("gpt", good),
        "rejected": said("gpt", bad),
    },
    "alpaca": lambda q, good, bad: {"instruction": q, "input": "", "output": good, "rejected": bad, "chosen": good},
}
LABELS: Mapping[str, Shape] = {  # a bad answer is what nobody wants
    "trl": lambda q, good, _: {"prompt": q, "completion": good, "label": good != BAD},
    "kto": lambda q, good, _: {"messages": [user(q), assistant(good)], "label": good != BAD},
    "sharegpt": lambda q, good, _: {"conversations": [said("human", q), said("gpt", good)], "kto_tag": good != BAD},
    "alpaca": lambda q, good, _: {"instruction": q, "input": "", "output": good, "kto_tag": good != BAD},
}
STAGES: Mapping[str, Mapping[str, Shape]] = {
    "sft": DEMONSTRATIONS,
    "dpo": PAIRS,
    "reward": PAIRS,
    "kto": LABELS,
    "outcome": LABELS,
}
CASES = [(stage, shape) for stage, shapes in STAGES.items() for shape in shapes]


def rows(stage: str, shape: Shape) -> list[Row]:
    answers = [(GOOD, BAD), (BAD, GOOD)] if STAGES[stage] is LABELS else [(GOOD, BAD)]
    return [shape(question, *pair) for question in QUESTIONS for pair in answers]


def write(path: Path, given: list[Row]) -> str:
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in given))
        case ".json":
            path.write_text(json.dumps(given, indent=2))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(given), path)
        case ".csv":
            with path.open("w", newline="") as file:
                table = csv.DictWriter(file, list(given[0]))
                table.writeheader()
                cells = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in given]
                table.writerows(cells)
    return str(path)


def config(stage: str, model: Path, data: str) -> StageConfig:
    training = {"epochs": 2, "log_every": 1}
    common = {"model": str(model), "training": training, "optim": {"lr": 5e-3}}
    few = common | {"data": [data], "prompts_per_step": 2}
    match stage:
        case "sft":
            return SFTConfig.model_validate(common | {"data": data, "tokens_per_step": 64})
        case "dpo":
            return DPOConfig.model_validate(few)
        case "kto":
            return DPOConfig.model_validate(few | {"loss": {"type": "kto"}})
        case "outcome":
            return RewardConfig.model_validate(few | {"loss": {"type": "outcome"}})
    return RewardConfig.model_validate(few)


def trained(stage: str, model: Path, data: str, out: Path) -> bytes:
    """The weights after a few steps from a file."""
    run_single(config(stage, model, data), out, seed=0)
    losses = [row["loss"] for row in read_metrics(out / "metrics.jsonl")]
    assert len(losses) >= 3 and None not in losses
    kind = AutoModelForSequenceClassification if stage in ("reward", "outcome") else AutoModelForCausalLM
    assert kind.from_pretrained(out / "model").num_parameters() > 1000
    return (out / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def wanted(house: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What each stage makes of TRL's columns in JSONL."""
    home = tmp_path_factory.mktemp("wanted")
    found = {}
    for stage, shapes in STAGES.items():
        data = write(home / f"{stage}.jsonl", rows(stage, shapes["trl"]))
        found[stage] = trained(stage, house / "sft", data, home / stage)
        assert found[stage] != (house / "sft" / "model.safetensors").read_bytes()
    return found


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize(("stage", "name"), CASES)
def test_every_format_trains_to_the_same_model(
    stage: str, name: str, ending: str, house: Path, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    data = write(tmp_path / f"data.{ending}", rows(stage, STAGES[stage][name]))
    assert trained(stage, house / "sft", data, tmp_path / "out") == wanted[stage]


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("hh-rlhf/harmless-base.jsonl.gz", ["dpo", "reward"]),
        ("formats/dpo_en_demo.json", ["dpo", "reward"]),
        ("formats/kto_en_demo.json", ["kto", "outcome"]),
        ("formats/alpaca_en_demo.json", ["sft"]),
        ("formats/v1_sft_demo.jsonl", ["sft"]),
        ("instruct/instruction-data-with-preference.json", ["dpo", "reward"]),
    ],
)
@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real data sets don't lie in {REAL}")
def test_real_files_train_for_a_few_steps(file: str, stages: list[str], tmp_path: Path) -> None:
    raw = (REAL / file).read_bytes()
    text = (gzip.decompress(raw) if file.endswith(".gz") else raw).decode()
    given = json.loads(text) if file.endswith(".json") else [json.loads(line) for line in text.splitlines()]
    few = sorted(given, key=lambda row: len(json.dumps(row)))[len(given) // 4 :][:8]
    data = write(tmp_path / f"few{Path(file.removesuffix('.gz')).suffix}", few)
    chat = Chat(train_tokenizer(map(json.dumps, few), 400))
    shape = Architecture(vocabulary=400, hidden=16, layers=1, heads=2, kv_heads=2, feedforward=32, context=4096)
    save_policy(new_policy(shape, chat, seed=0), chat, tmp_path / "base")
    for stage in stages:
        assert trained(stage, tmp_path / "base", data, tmp_path / stage)

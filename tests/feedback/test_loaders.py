"""What is exported is read by other libraries' own loaders. `make loaders` fetches their code alone.

What they depend on (deepspeed, ray, flash-attn, CUDA) isn't needed to read a file, so no package is imported whole.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.exports.write import Query, export
from heedful.feedback.judgements import Judgement, raw_row
from heedful.records import Message, Prompt

LOADERS = Path(__file__).parents[2] / ".loaders"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LOADERS.exists(), reason="make loaders fetches the libraries whose loaders are run"),
]
PACKAGES = (
    "openrlhf", "openrlhf.datasets", "openrlhf.utils", "llamafactory", "llamafactory.data", "llamafactory.extras",
    "axolotl", "axolotl.utils", "axolotl.utils.schemas", "axolotl.prompt_strategies", "axolotl.prompt_strategies.dpo",
)  # fmt: skip
TURNS = (
    Message("system", "Be brief."),
    Message("user", "Name a fruit — any."),
    Message("assistant", "Apple."),
    Message("user", "Another?"),
)


class Complains(logging.Logger):
    """A logger to which a warning is an error: LLaMA-Factory skips a row that it can't read with a warning."""

    def warning_rank0(self, said: str) -> None:
        raise AssertionError(said)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their packages by name and place, with what their loaders take from elsewhere and don't need here."""
    known: dict[str, dict[str, Any]] = {name: {} for name in PACKAGES}
    known["axolotl.prompt_tokenizers"] = {"IGNORE_INDEX": -100}
    known["axolotl.utils.dict"] = {"DictDefault": dict}
    known["axolotl.utils.logging"] = {"get_logger": logging.getLogger}
    known["llamafactory.extras.logging"] = {"get_logger": Complains}
    known["llamafactory.extras.constants"] = {"DATA_CONFIG": "dataset_info.json"}
    known["llamafactory.extras.misc"] = {"use_modelscope": lambda: False, "use_openmind": lambda: False}
    for name, values in known.items():
        module = ModuleType(name)
        module.__dict__.update(values)
        if name in PACKAGES:
            module.__path__ = [str(LOADERS.joinpath(*name.split(".")))]
        monkeypatch.setitem(sys.modules, name, module)
    import_module("llamafactory.extras").__dict__["logging"] = sys.modules["llamafactory.extras.logging"]


def judged(number: int, turns: tuple[Message, ...]) -> Judgement:
    """The second answer is the better one, by two steps."""
    return Judgement(
        prompt=Prompt(id=str(number), messages=turns),
        completions=(f"bad {number}", f"good {number}"),
        value={"verdict": "prefer", "preferred": 1, "strength": 2},
        rater="x",
    )


LOG = [judged(0, TURNS), judged(1, TURNS[1:2])]


def exported(folder: Path, format: ExportFormat, log: list[Judgement] = LOG) -> list[dict[str, Any]]:
    (folder / "log.jsonl").write_text("".join(json.dumps(raw_row(one)) + "\n" for one in log))
    export([folder / "log.jsonl"], Query(format=format), folder / "out")
    return [json.loads(line) for line in (folder / "out" / "train.jsonl").read_text().splitlines()]


def chat(messages: tuple[Message, ...]) -> str:
    """The messages by the tokenizer's template."""
    return "".join(f"<{one.role}>{one.content}</s>" for one in messages) + "<assistant>"


@pytest.mark.parametrize("is_dpo", [True, False])
def test_openrlhf(is_dpo: bool, tokenizer: Any, tmp_path: Path) -> None:
    from datasets import Dataset

    rows = exported(tmp_path, ExportFormat.OPENRLHF)
    keys = SimpleNamespace(
        prompt_key=None, chosen_key="chosen", rejected_key="rejected", apply_chat_template=True
    )  # theirs, by default
    strategy = SimpleNamespace(args=SimpleNamespace(data=keys))
    loaded = import_module("openrlhf.datasets.reward_dataset").RewardDataset(
        Dataset.from_list(rows), tokenizer, 256, strategy, is_dpo=is_dpo, num_processors=None
    )
    for number, judgement in enumerate(LOG):
        whole = [loaded.prompts[number] + side[number] for side in (loaded.chosens, loaded.rejects)]
        asked = chat(judgement.prompt.messages)
        assert whole == [f"{asked}good {number}</s>", f"{asked}bad {number}</s>"]
        assert not is_dpo or loaded.prompts[number] == asked
    batch = loaded.collate_fn([loaded[0], loaded[1]])
    assert len(batch[0]) == len(batch[2]) == 2 and (is_dpo or batch[4] == [2.0, 2.0])


def test_llama_factory(tmp_path: Path) -> None:
    converter, parser = import_module("llamafactory.data.converter"), import_module("llamafactory.data.parser")
    kinds = {"alpaca": converter.AlpacaDatasetConverter, "sharegpt": converter.SharegptDatasetConverter}
    formats = (ExportFormat.LLAMA_FACTORY, ExportFormat.LLAMA_FACTORY_SHAREGPT, ExportFormat.LLAMA_FACTORY_KTO)
    for format in formats:
        rows = exported(tmp_path, format)
        [known] = parser.get_dataset_list(["heedful_train"], str(tmp_path / "out"))
        assert known.dataset_name == "train.jsonl"
        found = [kinds[known.formatting](known, None)(row) for row in rows]
        labelled = format is ExportFormat.LLAMA_FACTORY_KTO
        sides = [(f"good {number}", f"bad {number}") for number in range(2)]
        if labelled:  # theirs: an answer alone has an empty one for its rival
            sides = [side for good, bad in sides for side in ((good, ""), ("", bad))]
        answers = [[{"role": "assistant", "content": text} for text in side] for side in sides]
        assert [one["_response"] for one in found] == answers
        asked = [one.prompt.messages for one in LOG for _ in range(2 if labelled else 1)]
        turns = [[{"role": one.role, "content": one.content} for one in all if one.role != "system"] for all in asked]
        assert [one["_prompt"] for one in found] == turns
        assert [one["_system"] for one in found] == ["Be brief." if len(all) > 1 else "" for all in asked]


def test_axolotl_by_the_tokenizers_template(tokenizer: Any, tmp_path: Path) -> None:
    strategy = import_module("axolotl.prompt_strategies.dpo.chat_template")
    transform, _ = strategy.default({"datasets": [{}], "chat_template": "tokenizer_default"})
    for number, row in enumerate(exported(tmp_path, ExportFormat.AXOLOTL)):
        found = transform(row, tokenizer=tokenizer)
        assert found["prompt"] == chat(LOG[number].prompt.messages)
        assert (found["chosen"], found["rejected"]) == (f"good {number}</s>", f"bad {number}</s>")


@pytest.mark.parametrize(
    ("format", "strategy"),
    [(ExportFormat.AXOLOTL_ARGILLA, "default"), (ExportFormat.AXOLOTL_PROMPT_PAIRS, "prompt_pairs")],
    ids=str,
)
@pytest.mark.parametrize(("style", "end"), [("chatml", "<|im_end|>"), ("llama3", "<|eot_id|>")])
def test_axolotl_of_one_turn(format: ExportFormat, strategy: str, style: str, end: str, tmp_path: Path) -> None:
    [row] = exported(tmp_path, format, LOG[1:])
    found = getattr(import_module(f"axolotl.prompt_strategies.dpo.{style}"), strategy)({})(row)
    assert "Name a fruit — any." in found["prompt"]
    assert (found["chosen"], found["rejected"]) == (f"good 1{end}", f"bad 1{end}")


def test_axolotl_reads_steps(tokenizer: Any, tmp_path: Path) -> None:
    """Its loader is written after TRL's process reward trainer, which TRL 1.16 has no more."""
    value = {"steps": ["right", "neutral", "wrong"]}
    steps = Judgement(prompt=LOG[1].prompt, completions=("a=1\nb=2\nc=4",), value=value, rater="x")
    [row] = exported(tmp_path, ExportFormat.TRL_STEPWISE, [steps])
    made = import_module("axolotl.prompt_strategies.stepwise_supervised").StepwiseSupervisedPromptTokenizingStrategy
    found = made(tokenizer).tokenize_prompt(row)
    assert tokenizer.decode(found["input_ids"]) == "Name a fruit — any.a=1\nb=2\nc=4\n"
    assert [label for label in found["labels"] if label != -100] == [1, 1, 0]

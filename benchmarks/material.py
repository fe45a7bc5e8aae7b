"""The same model files and data for both sides: Llama models of random weights, made-up words, skewed lengths.

Two models of each size differ in one number: how likely the end of an answer is. `skewed` ends with probability 1/50 at
every token, so that answers have about 46 tokens on average and many times that at most; `uniform` never ends.
Responses in the training data are log-normal, as real ones are. What is for cards has answers four times as long,
keys and values that several heads share, weights in bfloat16, and is made on the card.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from heedful.data.chat import Chat, train_tokenizer
from heedful.models.heads import Policy
from heedful.models.loading import Affine, reward_from_policy, save_policy, save_reward_model
from heedful.ops.rates import CPU, training_device
from heedful.run import atomic_text
from heedful.sampling import NativeSampler, SamplingParams

FOLDER = Path(__file__).parents[1] / "build" / "bench"
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"vocabulary": 1024, "hidden": 64, "layers": 2, "heads": 2, "feedforward": 64},
    "1m": {"vocabulary": 4096, "hidden": 128, "layers": 4, "heads": 4, "feedforward": 384},
    "15m": {"vocabulary": 4096, "hidden": 384, "layers": 8, "heads": 6, "feedforward": 1024},
    "110m": {"vocabulary": 32_000, "hidden": 768, "layers": 12, "heads": 12, "feedforward": 2048},
}
FOR_CARDS: dict[str, dict[str, int]] = {  # the blocks of Qwen 2.5 and Llama 3, of these sizes
    "0.5b": {"vocabulary": 32_000, "hidden": 896, "layers": 24, "heads": 14, "kv_heads": 2, "feedforward": 4864},
    "1.5b": {"vocabulary": 32_000, "hidden": 1536, "layers": 28, "heads": 12, "kv_heads": 2, "feedforward": 8960},
    "8b": {"vocabulary": 32_000, "hidden": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "feedforward": 14_336},
}
SHAPES |= FOR_CARDS
REWARDED = {"tiny", "1m", "15m", "110m", "0.5b"}  # sizes that PPO is measured at
CONTEXT = 1280
ROWS = 1024  # rows of each data file
PROMPT = (32, 64)  # tokens
RESPONSE = (8, 128)
MEDIAN, SIGMA = 50, 0.7  # of a response's log-normal length, cut to RESPONSE
END_RATE = {"skewed": 1 / 50, "uniform": 1e-12}  # probability that an answer ends, at every token
LONGER = 4  # times: responses for cards, and their `skewed` answers


def material(size: str) -> Path:
    """The folder of a size: uniform/ skewed/ reward/ and the data files. Made once."""
    folder = FOLDER / size
    if not (folder / "made.json").exists():
        _make(size, folder)
        torch.cuda.empty_cache()  # of the card that both sides are about to use
    return folder


def _make(size: str, folder: Path) -> None:
    rng = np.random.default_rng(0)
    vocabulary, longer = SHAPES[size]["vocabulary"], LONGER if size in FOR_CARDS else 1
    words = made_up_words(int(0.7 * vocabulary), rng)
    chat = Chat(train_tokenizer((" ".join(rng.permutation(words)) for _ in range(3)), vocabulary))
    words = [word for word in words if len(chat.tokenizer.encode(f" {word}")) == 1]
    _write(folder / "data.jsonl", demonstrations(words, rng, ROWS, longer))
    _write(folder / "preferences.jsonl", preferences(words, rng, ROWS, longer))
    _write(folder / "prompts.jsonl", ({"prompt": row["prompt"]} for row in demonstrations(words, rng, ROWS)))
    for lengths, rate in END_RATE.items():
        lm = new_model(size, chat.tokenizer)
        set_end_rate(lm, chat.eos_id, rate / longer)
        save_policy(Policy(lm), chat, folder / lengths)
    if size in REWARDED:
        model, chat = reward_from_policy(folder / "skewed", 0)
        save_reward_model(model, chat, Affine(0.0, 1.0), folder / "reward")
    atomic_text(folder / "made.json", json.dumps({"parameters": lm.num_parameters()}) + "\n")


def parameters(size: str) -> int:
    """How many numbers a model of this size has; tied embeddings count once."""
    count: int = json.loads((material(size) / "made.json").read_text())["parameters"]
    return count


def new_model(size: str, tokenizer: PreTrainedTokenizerBase, vocabulary: int = 0) -> LlamaForCausalLM:
    """Random weights; the first residual dimension is the same for all tokens, so that it can carry a bias."""
    shape = SHAPES[size]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary or shape["vocabulary"],
        hidden_size=shape["hidden"],
        intermediate_size=shape["feedforward"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape.get("kv_heads", shape["heads"]),
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    device, dtype = (training_device(), torch.bfloat16) if size in FOR_CARDS else (CPU, torch.float32)
    with device:
        lm = LlamaForCausalLM(config).to(dtype).eval()
    with torch.no_grad():
        lm.get_input_embeddings().weight[:, 0] = 1.0
    return lm


@torch.no_grad()
def set_end_rate(lm: LlamaForCausalLM, eos: int, rate: float) -> None:
    """Make EOS as likely as `rate` after any text that the model writes.

    Its row of the head lies along the mean of the last states, which is most of every state, so that hardly anything
    else decides.
    """
    weight = lm.get_input_embeddings().weight
    asked = torch.randint(300, weight.shape[0], (16, PROMPT[0]), generator=torch.Generator().manual_seed(0))
    asked = asked.to(weight.device)
    mean = lm.base_model(asked).last_hidden_state.float().mean((0, 1))
    weight[eos] = -mean / mean.norm()  # never, while texts are written
    params = SamplingParams(temperature=1.0, max_new_tokens=RESPONSE[1], batch=16, eos_id=eos, pad_id=eos)
    answers = NativeSampler(Policy(deepcopy(lm))).sample(asked.tolist(), params, range(16))
    texts = torch.tensor([answer.token_ids for answer in answers], device=asked.device)
    hidden = lm.base_model(torch.cat([asked, texts], 1)).last_hidden_state[:, PROMPT[0] :].flatten(0, 1).float()
    logits = hidden @ weight.T.float()
    logits[:, eos] = -torch.inf
    others, share = logits.logsumexp(-1), hidden @ mean
    length = share.new_zeros(())
    for _ in range(20):  # until the mean of all probabilities is the rate
        found = (length * share - others).sigmoid().mean()
        length += (log(rate) - found.log()) / share.mean()
    weight[eos] = length * mean


def made_up_words(count: int, rng: np.random.Generator) -> list[str]:
    """Distinct words of syllables, so that a tokenizer learns most of them as one token."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(rng.choice(syllables, int(rng.integers(2, 4))))] = None
    return list(words)


def lengths(rng: np.random.Generator, count: int, longer: int = 1) -> list[int]:
    """Log-normal responses, in tokens."""
    drawn = np.exp(rng.normal(log(longer * MEDIAN), SIGMA, count)).round()
    return [int(n) for n in drawn.clip(RESPONSE[0], longer * RESPONSE[1])]


def _text(words: list[str], rng: np.random.Generator, count: int) -> str:
    return " ".join(words[int(i)] for i in rng.integers(0, len(words), count))


def _prompt(words: list[str], rng: np.random.Generator) -> list[dict[str, str]]:
    return [{"role": "user", "content": _text(words, rng, int(rng.integers(PROMPT[0] - 4, PROMPT[1] - 3)))}]


def _answer(words: list[str], rng: np.random.Generator, count: int) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": _text(words, rng, max(1, count - 1))}]


def demonstrations(words: list[str], rng: np.random.Generator, count: int, longer: int = 1) -> Iterator[dict[str, Any]]:
    """TRL's conversational columns, which both sides read."""
    for length in lengths(rng, count, longer):
        yield {"prompt": _prompt(words, rng), "completion": _answer(words, rng, length)}


def preferences(words: list[str], rng: np.random.Generator, count: int, longer: int) -> Iterator[dict[str, Any]]:
    for chosen, rejected in zip(lengths(rng, count, longer), lengths(rng, count, longer), strict=True):
        yield {
            "prompt": _prompt(words, rng),
            "chosen": _answer(words, rng, chosen),
            "rejected": _answer(words, rng, rejected),
        }


def fixed_rows(words: list[str], rng: np.random.Generator, count: int, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows of one length: an eighth of it is the prompt."""
    asked = tokens // 8
    for _ in range(count):
        yield {
            "prompt": [{"role": "user", "content": _text(words, rng, asked - 4)}],
            "completion": _answer(words, rng, tokens - asked),
        }


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(path, "".join(json.dumps(row) + "\n" for row in rows))

"""A judgement as rows of each tool's format. What a format can't say is left out with a reason, never bent to fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any

from heedful.data.dialogues import HH_TURN
from heedful.feedback.exports.pairs import LeftOut, Pair, pairs_of, with_edit
from heedful.feedback.judgements import FIRST, SECOND, TIE, Judgement, raw_row
from heedful.records import Demonstration, Message, Messages, Prompt, Row, messages_to_rows, prompt_id, to_row


class ExportFormat(StrEnum):
    """The formats, by the name that `--format` takes."""

    RAW = "raw"
    RANKINGS = "rankings"
    DEMONSTRATIONS = "demonstrations"
    TRL = "trl"
    TRL_IMPLICIT = "trl-implicit"
    TRL_UNPAIRED = "trl-unpaired"
    TRL_STEPWISE = "trl-stepwise"
    OPENRLHF = "openrlhf"
    NEMO_RL = "nemo-rl"
    LLAMA_FACTORY = "llama-factory"
    LLAMA_FACTORY_SHAREGPT = "llama-factory-sharegpt"
    LLAMA_FACTORY_KTO = "llama-factory-kto"
    AXOLOTL = "axolotl"
    AXOLOTL_ARGILLA = "axolotl-argilla"
    AXOLOTL_PROMPT_PAIRS = "axolotl-prompt-pairs"
    HH = "hh"
    HELPSTEER = "helpsteer"
    ARENA = "arena"
    OASST = "oasst"


def export_rows(judgement: Judgement, format: ExportFormat) -> Iterator[Row | LeftOut]:
    """The rows that stand for a judgement, with a LeftOut in the place of each pair that has none.

    An answer that its rater wrote is above all others, but where the format holds what was said as it was said.
    """
    whole = WHOLE.get(format)
    judgement = judgement if format in AS_SAID else with_edit(judgement)
    try:
        if whole is not None:
            yield from whole(judgement)
            return
        pairs = pairs_of(judgement)
    except LeftOut as reason:
        yield reason
        return
    for pair in pairs:
        try:
            yield PAIRED[format](pair)
        except LeftOut as reason:
            yield reason


def _answer(text: str) -> list[Row]:
    return [{"role": "assistant", "content": text}]


def _chat(prompt: Prompt) -> list[Row]:
    """The prompt as messages of roles that every chat template knows."""
    if any(message.role == "text" for message in prompt.messages):
        raise LeftOut("a bare text to be continued is no chat")
    return messages_to_rows(prompt.messages)


def _system(prompt: Prompt) -> tuple[str, Messages]:
    """The system message's text, "" where there is none, and the turns after it."""
    _chat(prompt)
    first, *rest = prompt.messages
    return (first.content, tuple(rest)) if first.role == "system" else ("", prompt.messages)


def _single(prompt: Prompt) -> tuple[str, str]:
    """(system, what the user says). LeftOut: there are more turns."""
    system, turns = _system(prompt)
    if len(turns) != 1:
        raise LeftOut("the format holds one turn of the user alone")
    return system, turns[0].content


# ── whole judgements ────────────────────────────────────────────────────────────────────────────────────────────────
def _raw(judgement: Judgement) -> list[Row]:
    return [raw_row(judgement)]


def _demonstrations(judgement: Judgement) -> list[Row]:
    """The answer that a rater wrote."""
    text = str(judgement.value.get("edited", "")).strip()
    if not text:
        raise LeftOut("nobody wrote the answer anew")
    return [to_row(Demonstration(prompt=judgement.prompt, completion=text))]


def _rankings(judgement: Judgement) -> list[Row]:
    ranking = judgement.ranking()
    if ranking is None:
        raise LeftOut("nothing was compared")
    return [to_row(ranking) | judgement.presorted]


def _labelled(judgement: Judgement) -> list[tuple[str, bool]]:
    """Answers that are good or bad by themselves: the label given, or the two sides of each decided pair."""
    ratings = judgement.value.get("ratings", ())
    if "label" in (ratings[0] if ratings else {}):
        return [(text, bool(r["label"])) for text, r in zip(judgement.completions, ratings, strict=True)]
    decided = [pair.decided for pair in pairs_of(judgement) if pair.outcome != TIE]
    if not decided:
        raise LeftOut("a tie has no better answer")
    return [row for chosen, rejected in decided for row in ((chosen, True), (rejected, False))]


def _unpaired(judgement: Judgement) -> list[Row]:
    prompt = _chat(judgement.prompt)
    return [{"prompt": prompt, "completion": _answer(text), "label": good} for text, good in _labelled(judgement)]


def _kto(judgement: Judgement) -> list[Row]:
    system, turns = _system(judgement.prompt)
    return [
        {"conversations": [*map(_sharegpt, turns), {"from": "gpt", "value": text}], "system": system, "kto_tag": good}
        for text, good in _labelled(judgement)
    ]


def steps_of(completions: Sequence[str]) -> list[str]:
    """The steps of a worked answer: given one by one, or the lines of the one answer that hold anything."""
    return list(completions) if len(completions) > 1 else [x for x in completions[0].splitlines() if x.strip()]


def _stepwise(judgement: Judgement) -> list[Row]:
    """Neutral steps lead on and count as right (as in PRM800K's own use); labels end where the rater stopped."""
    labels = [label for label in judgement.value.get("steps", ()) if label]
    if not labels:
        raise LeftOut("no steps were labelled")
    system, text = _single(judgement.prompt)
    steps = steps_of(judgement.completions)[: len(labels)]
    prompt = f"{system}\n\n{text}" if system else text
    return [{"prompt": prompt, "completions": steps, "labels": [label != "wrong" for label in labels]}]


def _nemo(judgement: Judgement) -> list[Row]:
    ranking = judgement.ranking()
    if ranking is None:
        raise LeftOut("nothing was compared")
    answers = sorted(zip(ranking.ranks, ranking.completions, strict=True), key=lambda pair: pair[0])
    completions = [{"rank": rank, "completion": _answer(text)} for rank, text in answers]
    return [{"context": _chat(ranking.prompt), "completions": completions}]


def _oasst(judgement: Judgement) -> list[Row]:
    """One tree: the turns of the prompt as a chain, the ranked answers as replies to the last of them."""
    ranking = judgement.ranking()
    if ranking is None:
        raise LeftOut("nothing was compared")
    _chat(ranking.prompt)
    if ranking.prompt.messages[0].role == "system":
        raise LeftOut("the format has no system message")
    tree = prompt_id(ranking.prompt.messages)
    language = str(ranking.prompt.meta.get("lang", "en"))
    sources = ranking.sources or ("",) * len(ranking.completions)
    parent = f"{tree}-{len(ranking.prompt.messages) - 1}"
    replies: list[Row] = []
    for text, rank, source in zip(ranking.completions, ranking.ranks, sources, strict=True):
        message = Message("assistant", text)
        node = _node(f"{tree}-{prompt_id((message,))}", parent, message, language, [])
        replies.append(node | {"rank": rank, "synthetic": bool(source), "model_name": source or None})
    for number in range(len(ranking.prompt.messages) - 1, -1, -1):
        above = f"{tree}-{number - 1}" if number else None
        replies = [_node(f"{tree}-{number}", above, ranking.prompt.messages[number], language, replies)]
    return [{"message_tree_id": tree, "tree_state": "ready_for_export", "prompt": replies[0]}]


def _node(name: str, parent: str | None, message: Message, language: str, replies: list[Row]) -> Row:
    role = "prompter" if message.role == "user" else "assistant"
    row: Row = {"message_id": name, "parent_id": parent, "text": message.content, "role": role, "lang": language}
    return row | {"replies": replies}


# ── pairs ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _trl(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    if pair.prompt.messages[0].role == "text":  # TRL's standard format: plain texts
        return {"prompt": pair.prompt.messages[0].content, "chosen": chosen, "rejected": rejected} | pair.extras
    return {"prompt": _chat(pair.prompt), "chosen": _answer(chosen), "rejected": _answer(rejected)} | pair.extras


def _implicit(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    prompt = _chat(pair.prompt)
    return {"chosen": prompt + _answer(chosen), "rejected": prompt + _answer(rejected)} | pair.extras


def _openrlhf(pair: Pair) -> Row:
    return {**_implicit(pair), "margin": pair.margin}


def _alpaca(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    system, turns = _system(pair.prompt)
    said = [turn.content for turn in turns]
    return {
        "instruction": said[-1],
        "input": "",
        "chosen": chosen,
        "rejected": rejected,
        "system": system,
        "history": [list(couple) for couple in zip(said[:-1:2], said[1:-1:2], strict=True)],
    }


def _sharegpt(message: Message) -> Row:
    return {"from": "human" if message.role == "user" else "gpt", "value": message.content}


def _sharegpt_pair(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    system, turns = _system(pair.prompt)
    return {
        "conversations": [_sharegpt(turn) for turn in turns],
        "chosen": {"from": "gpt", "value": chosen},
        "rejected": {"from": "gpt", "value": rejected},
        "system": system,
    }


def _axolotl(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    return {"messages": _chat(pair.prompt), "chosen": _answer(chosen)[0], "rejected": _answer(rejected)[0]}


def _argilla(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    system, said = _single(pair.prompt)
    if system:
        raise LeftOut("the format has no system message")
    return {"instruction": said, "chosen_response": chosen, "rejected_response": rejected}


def _prompt_pairs(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    system, said = _single(pair.prompt)
    return {"system": system, "prompt": said, "chosen": chosen, "rejected": rejected}


def _hh(pair: Pair) -> Row:
    chosen, rejected = pair.decided
    system, turns = _system(pair.prompt)
    if system:
        raise LeftOut("the format has no system message")
    if any(HH_TURN.search(f"\n\n{turn.content.strip()}") for turn in turns) or any(
        HH_TURN.search(f"\n\n{text.strip()}") or not text.strip() for text in (chosen, rejected)
    ):
        raise LeftOut("a text that is empty or speaks as Human: or Assistant: itself can't be told from the turns")
    head = "".join(f"\n\n{'Human' if t.role == 'user' else 'Assistant'}: {t.content.strip()}" for t in turns)
    return {side: f"{head}\n\nAssistant: {text.strip()}" for side, text in (("chosen", chosen), ("rejected", rejected))}


def _helpsteer(pair: Pair) -> Row:
    """−3 (the first is much better) to +3 (the second is); 1 where the rater gave no strength."""
    strength = min(3, max(1, round(pair.margin)))
    preference = {FIRST: -strength, SECOND: strength, TIE: 0}[pair.outcome]
    context = _chat(pair.prompt)
    return {
        "context": context,
        "response1": pair.texts[0],
        "response2": pair.texts[1],
        "overall_preference": preference,
    }


def _arena(pair: Pair) -> Row:
    prompt = _chat(pair.prompt)
    bad = pair.judgement.value.get("verdict") == "both_bad"
    return {
        "question_id": pair.prompt.id,
        "model_a": pair.sources[0],
        "model_b": pair.sources[1],
        "winner": ("model_a", "model_b", "tie (bothbad)" if bad else "tie")[pair.outcome],
        "judge": pair.judgement.rater,
        "conversation_a": prompt + _answer(pair.texts[0]),
        "conversation_b": prompt + _answer(pair.texts[1]),
        "turn": sum(message.role == "user" for message in pair.prompt.messages),
        "anony": True,
        "language": str(pair.prompt.meta.get("language", "")),
        "tstamp": pair.judgement.at,
    }


AS_SAID = (ExportFormat.RAW, ExportFormat.DEMONSTRATIONS, ExportFormat.TRL_STEPWISE)
WHOLE: dict[ExportFormat, Callable[[Judgement], list[Row]]] = {
    ExportFormat.RAW: _raw,
    ExportFormat.RANKINGS: _rankings,
    ExportFormat.DEMONSTRATIONS: _demonstrations,
    ExportFormat.TRL_UNPAIRED: _unpaired,
    ExportFormat.TRL_STEPWISE: _stepwise,
    ExportFormat.LLAMA_FACTORY_KTO: _kto,
    ExportFormat.NEMO_RL: _nemo,
    ExportFormat.OASST: _oasst,
}
PAIRED: dict[ExportFormat, Callable[[Pair], Row]] = {
    ExportFormat.TRL: _trl,
    ExportFormat.TRL_IMPLICIT: _implicit,
    ExportFormat.OPENRLHF: _openrlhf,
    ExportFormat.LLAMA_FACTORY: _alpaca,
    ExportFormat.LLAMA_FACTORY_SHAREGPT: _sharegpt_pair,
    ExportFormat.AXOLOTL: _axolotl,
    ExportFormat.AXOLOTL_ARGILLA: _argilla,
    ExportFormat.AXOLOTL_PROMPT_PAIRS: _prompt_pairs,
    ExportFormat.HH: _hh,
    ExportFormat.HELPSTEER: _helpsteer,
    ExportFormat.ARENA: _arena,
}

_COLUMNS: dict[ExportFormat, dict[str, Any]] = {
    ExportFormat.LLAMA_FACTORY: {
        "ranking": True,
        "columns": {
            "prompt": "instruction",
            "query": "input",
            "chosen": "chosen",
            "rejected": "rejected",
            "system": "system",
            "history": "history",
        },
    },
    ExportFormat.LLAMA_FACTORY_SHAREGPT: {
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "system": "system"},
    },
    ExportFormat.LLAMA_FACTORY_KTO: {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", "kto_tag": "kto_tag"},
    },
}


def dataset_info(format: ExportFormat, files: Sequence[str]) -> dict[str, Any]:
    """LLaMA-Factory's dataset_info.json for these files; {} for formats of others."""
    if format not in _COLUMNS:
        return {}
    return {f"heedful_{name.removesuffix('.jsonl')}": {"file_name": name} | _COLUMNS[format] for name in files}

"""Compare models on held-out prompts: evaluation.json, and answers.jsonl with every answer and score behind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from heedful.config import EvaluateConfig
from heedful.config.paths import essential
from heedful.data.chat import Chat
from heedful.data.lengths import refuse_overlong
from heedful.data.sources import read_documents, read_prompts
from heedful.errors import InputError
from heedful.evaluate.answers import Speaker
from heedful.evaluate.assemble import Contest, answer_rows, assemble, judge_all
from heedful.evaluate.judging import RewardJudge, TruthJudge
from heedful.evaluate.measure import Measured, Questions, count_parameters, measure, same_tokens
from heedful.judges.protocol import Judge
from heedful.models.heads import Policy
from heedful.models.loading import load_policy, reader_of
from heedful.records import Messages, Prompt
from heedful.rewards.loading import load_reward
from heedful.run import Run, atomic_folder, atomic_text, digest
from heedful.sampling import make_sampler

REFERENCE = "sft"  # what drift, falls and over-refusal are measured from; the base where no model is called so
FEW_SHOT = "few-shot"
FEW_SHOT_PAGES = 4
MEASURED = "measured.json"
PROXY = "reward"  # the name that a recipe gives to the reward model the policy was trained on


def evaluate(config: EvaluateConfig, run: Run) -> None:
    """Every model answers, every judge scores, every difference gets its interval."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    questions = _questions(config, run)
    _refuse_overlong(config, questions)
    judges = _judges(config, device)
    names = list(config.models)
    reference = REFERENCE if REFERENCE in config.models else names[0]
    truth = "" if config.judge == "none" else next(iter(judges))
    measured = _measure_all(config, run, questions, next(iter(judges.values())), reference, device)
    contest = Contest(
        measured=measured,
        judges=judges,
        truth=truth,
        base=names[0],
        reference=reference,
        questions=questions,
        rounds=config.rounds,
        run=run,
    )
    run.say(f"judging by {', '.join(judges)}")
    views = judge_all(contest)
    evaluation = assemble(contest, views) | _reward_reports(config)
    run.write_rows("answers.jsonl", answer_rows(contest, views))
    atomic_text(run.path / "evaluation.json", json.dumps(evaluation, indent=1, ensure_ascii=False) + "\n")
    run.summary |= _summary(evaluation)
    for sentence in evaluation["warnings"]:
        run.say(sentence)


def _questions(config: EvaluateConfig, run: Run) -> Questions:
    def prompts(path: str) -> list[Prompt]:
        return _once(path, run) if path else []

    return Questions(
        test=_once(config.prompts, run),
        dev=prompts(config.dev_prompts),
        lookalikes=prompts(config.lookalikes),
        showcase=prompts(config.showcase),
        documents=read_documents(config.corpus) if config.corpus else [],
        draws=config.draws,
        temperature=config.generation.temperature,
        temperatures=config.temperatures,
    )


def _refuse_overlong(config: EvaluateConfig, questions: Questions) -> None:
    """Before any model answers: every model must have room for an answer to every prompt."""
    files = (config.prompts, config.dev_prompts, config.lookalikes, config.showcase)
    asked = (questions.test, questions.dev, questions.lookalikes, questions.showcase)
    for model in dict.fromkeys(config.models.values()):
        chat, context = reader_of(model)
        for path, prompts in zip(files, asked, strict=True):
            ids = [chat.prompt_ids(prompt.messages) for prompt in prompts]
            refuse_overlong(prompts, ids, context, paths=[path], model=model)
    if config.few_shot:
        _refuse_without_room_for_examples(config, questions.test)


def _refuse_without_room_for_examples(config: EvaluateConfig, prompts: Sequence[Prompt]) -> None:
    """The first model is also asked with example pages in front: one at the least must fit."""
    from heedful.world import few_shot_messages

    model = next(iter(config.models.values()))
    chat, context = reader_of(model)
    (page,) = few_shot_messages(1)
    refuse_overlong(
        prompts,
        [chat.prompt_ids((*page, *prompt.messages)) for prompt in prompts],
        context,
        paths=[config.prompts],
        model=model,
        what="the prompt behind one example page",
        mend="shorten or remove it, set few_shot to false",
    )


def _once(path: str, run: Run) -> list[Prompt]:
    """A file's prompts, each once: one that is asked twice would count twice, and its interval come out too narrow."""
    given = read_prompts(path)
    found: dict[str, Prompt] = {}
    for prompt in given:
        if found.setdefault(prompt.id, prompt).messages != prompt.messages:
            raise InputError(f"{path}: two different prompts have the id '{prompt.id}': give each its own, or none")
    if len(found) < len(given):
        run.say(f"{path}: {len(given) - len(found)} of {len(given)} prompts stand there more than once: asked once")
    return list(found.values())


def _judges(config: EvaluateConfig, device: torch.device) -> dict[str, Judge]:
    """The truth first, where there is one, then the reward models."""
    judges: dict[str, Judge] = {}
    match config.judge:
        case "world":
            from heedful.world import GoldJudge

            judges["gold"] = TruthJudge(GoldJudge())
        case "sentiment":
            from heedful.judges.sentiment import SentimentJudge

            judges["sentiment"] = TruthJudge(SentimentJudge())
        case "none":
            pass
    for name, folder in config.reward_models.items():
        judges[name] = RewardJudge(load_reward(folder, device))
    return judges


def _measure_all(
    config: EvaluateConfig, run: Run, questions: Questions, judge: Judge, reference: str, device: torch.device
) -> dict[str, Measured]:
    """Each model in turn; what is measured already is read back, so that a stopped stage goes on."""
    measured: dict[str, Measured] = {}
    anchor, anchor_chat = load_policy(config.models[reference], device=device)
    anchor.eval()
    for name, folder in config.models.items():
        few_shot = f"{name}-{FEW_SHOT}"
        wanted = [name, few_shot] if config.few_shot and not measured else [name]
        places = {key: _place(config, run, key, [folder, config.models[reference]]) for key in wanted}
        found = {key: kept for key in wanted if (kept := _read(places[key])) is not None}
        if len(found) < len(wanted):
            policy, chat = (anchor, anchor_chat) if name == reference else load_policy(folder, device=device)
            policy.eval()
            speaker = Speaker(name, make_sampler(policy), chat, config.generation, run)
            known = name != reference and _comparable(name, chat, anchor_chat, run)
            found[name] = measure(speaker, policy, questions, judge=judge, reference=anchor if known else None)
            _keep(places[name], found[name])
            if few_shot in wanted:
                found[few_shot] = _few_shot(speaker, policy, questions, few_shot)
                _keep(places[few_shot], found[few_shot])
        measured |= {key: found[key] for key in wanted}
    return measured


def _comparable(name: str, chat: Chat, anchor: Chat, run: Run) -> bool:
    """Whether a KL between two models has a meaning: both must read the same tokens."""
    same = same_tokens(chat, anchor)
    if not same:
        run.say(f"{name} and the reference read different tokens: no KL between them")
    return same


def _few_shot(speaker: Speaker, policy: Policy, questions: Questions, name: str) -> Measured:
    """The same model with as many example pages in front as its context holds beside the longest prompt."""
    from heedful.world import few_shot_messages

    context, room = policy.context, speaker.generation.max_new_tokens
    for pages in range(FEW_SHOT_PAGES, 0, -1):
        prefix: Messages = tuple(chain.from_iterable(few_shot_messages(pages)))
        longest = max(len(speaker.chat.prompt_ids((*prefix, *p.messages))) for p in questions.test)
        if longest + room <= context or pages == 1:
            break
    speaker.run.say(f"{name}: {pages} example pages in front of each prompt")
    prefixed = Speaker(name, speaker.sampler, speaker.chat, speaker.generation, speaker.run, prefix)
    test = questions.test
    return Measured(
        {
            "sample": prefixed.ask(test, "test", temperature=questions.temperature, draws=questions.draws),
            "greedy": prefixed.ask(test, "test", temperature=0.0, draws=1),
        },
        count_parameters(policy),
    )


def _place(config: EvaluateConfig, run: Run, name: str, folders: Sequence[str]) -> Path:
    """Where a model's answers are kept, by a hash of all that they hang on: model, reference, questions and seeds."""
    files = [config.prompts, config.dev_prompts, config.lookalikes, config.showcase, config.corpus]
    if config.temperatures and config.judge == "none":  # the first reward model chooses each one's best temperature
        files += list(config.reward_models.values())[:1]
    read = [digest(Path(path)) if path else "" for path in (*folders, *files)]
    asked = [config.judge, config.draws, config.temperatures, essential(config.generation), run.seed, run.stage, name]
    return run.cache(f"measured-{hashlib.sha256(json.dumps([read, asked]).encode()).hexdigest()[:32]}")


def _keep(place: Path, measured: Measured) -> None:
    with atomic_folder(place) as scratch:
        (scratch / MEASURED).write_text(json.dumps(measured.row()), encoding="utf-8")


def _read(place: Path) -> Measured | None:
    path = place / MEASURED
    return Measured.from_row(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _reward_reports(config: EvaluateConfig) -> dict[str, Any]:
    """What the stages of reward models and blends wrote beside them: the policy's own under `reward_model`, all by
    name. `baseline`: what length alone reaches on the same labels."""
    reports = {}
    for name, folder in config.reward_models.items():
        path = Path(folder).parent / "reward.json"
        if path.exists():
            report = json.loads(path.read_text(encoding="utf-8"))
            reports[name] = report | ({"baseline": report["length_only"]} if "length_only" in report else {})
    first: dict[str, Any] = reports.get(PROXY) or next(iter(reports.values()), {})
    return {"reward_model": first, "reward_models": reports}


def _summary(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The win rates in one line each, for the manifest."""
    rates: Sequence[dict[str, Any]] = evaluation["win_rate"]
    lines = {
        f"{r['policy']} vs {r['against']} ({r['judge']}, {r['decoding']})": [
            round(r["rate"], 4), round(r["low"], 4), round(r["high"], 4)
        ]
        for r in rates
    }  # fmt: skip
    return {"prompts": evaluation["prompts"], "win_rate": lines, "warnings": len(evaluation["warnings"])}

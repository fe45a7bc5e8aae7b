"""evaluation.json from what was measured and judged. Every key is explained in docs/evaluation.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from heedful.evaluate import behaviour
from heedful.evaluate.answers import AnswerSet
from heedful.evaluate.criteria import (
    Fall,
    Families,
    criteria_rows,
    difference_rows,
    falls,
    families_of,
    family_difference_rows,
    family_falls,
)
from heedful.evaluate.judging import Judged, judge_sets
from heedful.evaluate.measure import Measured, Questions
from heedful.evaluate.statistics import TwoWay
from heedful.evaluate.tax import tax_rows
from heedful.evaluate.winrate import NOWHERE, TIE, Side, clusters, compare, counted_rows, resamples_of
from heedful.judges.protocol import Judge
from heedful.records import Prompt, Row
from heedful.run import Run

DECODINGS = ("sample", "greedy", "best")
SHOWN = 8  # test prompts that stand in for a showcase


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Who is compared, by whom. Names are in the order of training; `truth` is the judge with criteria, or empty."""

    measured: Mapping[str, Measured]
    judges: Mapping[str, Judge]
    truth: str
    base: str
    reference: str
    questions: Questions
    rounds: Mapping[str, int]  # of labels that a model learned from, where it is not the first
    run: Run

    @property
    def names(self) -> list[str]:
        return list(self.measured)

    def rng(self, purpose: str) -> np.random.Generator:
        return self.run.rng(f"bootstrap/{purpose}")

    @cached_property
    def resamples(self) -> TwoWay:
        """Of the counted test prompts; drawn once for all figures."""
        test = self.questions.test
        return resamples_of([test[i] for i in counted_rows(test)], self.rng("prompts"))

    @cached_property
    def families(self) -> Families:
        """The same of each family's prompts."""
        return families_of(self.questions.test, self.rng("families"))

    def sets(self, decoding: str) -> dict[str, AnswerSet]:
        """The answer sets of all models that have one of this kind."""
        return {name: m.sets[decoding] for name, m in self.measured.items() if decoding in m.sets}

    def pairs(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Every later model against every earlier one."""
        return [(later, earlier) for i, later in enumerate(names) for earlier in names[:i]]

    @property
    def later(self) -> list[str]:
        """The models that were trained from the reference on."""
        names = self.names
        return names[names.index(self.reference) + 1 :]


Views = dict[str, dict[str, dict[str, Judged]]]  # judge → decoding → model


def judge_all(contest: Contest) -> Views:
    """Every judge's view of every answer to the test prompts."""
    return {
        judge_name: {
            decoding: judge_sets(judge, contest.questions.test, sets)
            for decoding in DECODINGS
            if (sets := contest.sets(decoding))
        }
        for judge_name, judge in contest.judges.items()
    }


def win_rate_rows(contest: Contest, views: Views) -> Iterator[Row]:
    for judge, decodings in views.items():
        for decoding, judged in decodings.items():
            sets = contest.sets(decoding)
            sides = {
                name: Side(view.totals, np.array([[float(a.words) for a in d] for d in sets[name].answers]))
                for name, view in judged.items()
            }
            for row in compare(sides, contest.pairs(list(judged)), contest.questions.test, contest.resamples):
                policy, against = row.pop("policy"), row.pop("against")
                yield {
                    "policy": policy,
                    "against": against,
                    "judge": judge,
                    "decoding": decoding,
                    "temperature": sets[policy].temperature,
                    "temperature_against": sets[against].temperature,
                    "seed": contest.run.seed,
                    "round": contest.rounds.get(policy, 1),
                    **row,
                }


def criteria_section(contest: Contest, views: Views) -> dict[str, Any]:
    """Of every model by decoding: what the truth sees, and the difference to the reference."""
    prompts = contest.questions.test
    section: dict[str, Any] = {}
    for decoding, judged in views[contest.truth].items():
        for name, view in judged.items():
            rows = criteria_rows(view, prompts, contest.resamples)
            if name != contest.reference and contest.reference in judged:
                before = judged[contest.reference]
                rows["difference"] = difference_rows(view, before, prompts, contest.resamples)
                rows["difference_by_family"] = family_difference_rows(view, before, contest.families)
            section.setdefault(name, {})[decoding] = rows
    return section


def warnings_section(contest: Contest, criteria: Mapping[str, Any], collapse: Mapping[str, Any]) -> dict[str, Any]:
    """What fell or collapsed, the gravest first; the first `clear_warnings` of them are beyond noise.

    What is clear stands before what may be chance, the last model's before earlier ones', the surer and larger first.
    """
    watched = {name: collapse[name] for name in (contest.reference, *contest.later)}
    collapsed = behaviour.collapse_warnings(watched, contest.reference)
    found: list[Fall] = []
    for name in reversed(contest.later):
        own: list[Fall] = []
        for decoding, rows in criteria.get(name, {}).items():
            own += falls(rows["difference"], name, contest.reference, decoding)
            own += family_falls(rows["difference_by_family"], name, contest.reference, decoding)
        found += sorted(own, key=lambda fall: (fall.p, -fall.size))
    clear = collapsed + [fall.sentence for fall in found if fall.clear]
    hints = [fall.sentence for fall in found if not fall.clear]
    return {"warnings": clear + hints, "clear_warnings": len(clear)}


def over_refusal_section(contest: Contest) -> dict[str, Any]:
    """Refusals of harmless look-alikes, where the truth can see a refusal."""
    sets = contest.sets("lookalikes")
    if not sets or not contest.truth:
        return {}
    prompts = contest.questions.lookalikes
    judged = judge_sets(contest.judges[contest.truth], prompts, sets)
    return behaviour.over_refusal_rows(
        judged, contest.reference, clusters(prompts, "slot"), contest.rng("over_refusal")
    )


def kl_section(contest: Contest) -> dict[str, Any]:
    """Sequence KL to the reference in nats, and how likely the reference finds the text."""
    section, rows = {}, counted_rows(contest.questions.test)
    for name, measured in contest.measured.items():
        if not measured.drift:
            continue
        per_prompt = np.array([np.mean([d.kl for d in draws]) for draws in measured.drift])
        flat = [d for draws in measured.drift for d in draws]
        tokens = sum(d.tokens for d in flat)
        section[name] = {
            "reference": contest.reference,
            "temperature": measured.sets["sample"].temperature,
            **contest.resamples.interval(per_prompt[rows]).row(),
            "per_token": sum(d.kl for d in flat) / tokens,
            "own_nats_per_token": sum(d.own for d in flat) / tokens,
            "reference_nats_per_token": sum(d.reference for d in flat) / tokens,
            "answers": len(flat),
        }
    return section


def _shown(contest: Contest) -> tuple[Sequence[Prompt], dict[str, AnswerSet]]:
    """The showcase with its greedy answers; where there is none, test prompts from all over their file."""
    if contest.questions.showcase or len(contest.names) == 1:
        return contest.questions.showcase, contest.sets("showcase")
    counted = counted_rows(contest.questions.test)
    places = counted[:: -(-len(counted) // SHOWN)]
    greedy = contest.sets("greedy").items()
    sets = {name: AnswerSet(one.temperature, tuple(one.answers[i] for i in places)) for name, one in greedy}
    return [contest.questions.test[i] for i in places], sets


def showcase_rows(contest: Contest) -> list[Row]:
    """query | each model's greedy answer | what the truth says of it."""
    prompts, sets = _shown(contest)
    judged = judge_sets(contest.judges[contest.truth], prompts, sets) if contest.truth and sets else {}
    rows = []
    for index, prompt in enumerate(prompts):
        answers: dict[str, Any] = {}
        for name, answer_set in sets.items():
            answers[name] = {"text": answer_set.answers[index][0].text}
            if name in judged:
                seen = judged[name].judgements[index][0]
                answers[name] |= {"gold": seen.total, "criteria": dict(seen.criteria), "flags": sorted(seen.flags)}
        query = "\n".join(m.content for m in prompt.messages)
        rows.append({"id": prompt.id, "query": query, "family": str(prompt.meta.get("family", "")), "answers": answers})
    return rows


def answer_rows(contest: Contest, views: Views) -> Iterator[Row]:
    """Every answer to a test prompt with its scores: what every figure can be computed from again."""
    for decoding in DECODINGS:
        for name, answer_set in contest.sets(decoding).items():
            for index, draws in enumerate(answer_set.answers):
                for draw, answer in enumerate(draws):
                    yield {
                        "id": contest.questions.test[index].id,
                        "group": str(contest.questions.test[index].meta.get("group", "")),
                        "model": name,
                        "decoding": decoding,
                        "temperature": answer_set.temperature,
                        "draw": draw,
                        "text": answer.text,
                        "tokens": len(answer.token_ids),
                        "finish": answer.finish,
                        "scores": {j: v[decoding][name].judgements[index][draw].total for j, v in views.items()},
                    }


def counts(questions: Questions) -> dict[str, int]:
    """How many of everything stands behind the figures."""
    test: Sequence[Prompt] = questions.test
    return {
        "test": len(test),
        "nowhere": sum(p.meta.get("group") == NOWHERE for p in test),
        "templates": len(set(clusters(test, "template"))),
        "slots": len(set(clusters(test, "slot"))),
        "dev": len(questions.dev),
        "lookalikes": len(questions.lookalikes),
        "documents": len(questions.documents),
    }


def assemble(contest: Contest, views: Views) -> dict[str, Any]:
    """The whole of evaluation.json, but for what other stages reported."""
    criteria = criteria_section(contest, views) if contest.truth else {}
    sampled = views[contest.truth]["sample"] if contest.truth else {}
    sets = contest.sets("sample")
    collapse = {
        name: behaviour.collapse_row(answers, sets[contest.reference], sampled.get(name))
        for name, answers in sets.items()
    }
    bits = {name: list(m.bits) for name, m in contest.measured.items() if m.bits}
    return {
        "format": 1,
        "seed": contest.run.seed,
        "models": contest.names,
        "parameters": {name: m.parameters for name, m in contest.measured.items()},
        "base": contest.base,
        "reference": contest.reference,
        "truth": contest.truth,
        "judges": list(contest.judges),
        "prompts": counts(contest.questions),
        "draws": contest.questions.draws,
        "tie_tolerance": TIE,
        "best_temperature": {
            name: {"temperature": m.sets["best"].temperature, "tried": dict(m.tried)}
            for name, m in contest.measured.items()
            if "best" in m.sets
        },
        "win_rate": list(win_rate_rows(contest, views)),
        "criteria": criteria,
        "answers": {
            name: {d: behaviour.shape(m.sets[d]) for d in DECODINGS if d in m.sets}
            for name, m in contest.measured.items()
        },
        "tax": tax_rows(bits, contest.base, contest.rng("tax")) if contest.base in bits else {},
        "over_refusal": over_refusal_section(contest),
        "collapse": collapse,
        "kl": kl_section(contest),
        "showcase": showcase_rows(contest),
    } | warnings_section(contest, criteria, collapse)

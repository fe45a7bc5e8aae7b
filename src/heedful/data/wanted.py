"""Answers that were labelled one by one, as rankings: wanted before unwanted."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.records import Labelled, Messages, Prompt, Ranking


def rankings_of(labels: Sequence[Labelled]) -> tuple[list[Ranking], int, int]:
    """The labelled answers to each prompt as one ranking, wanted before unwanted; the prompts that give none, counted;
    and the answers labelled both ways, counted, which are left out of their ranking.

    Answers with the same label are ties. A ranking weighs what its labels weigh on average.
    """
    prompts: dict[Messages, Prompt] = {}
    by_text: dict[Messages, dict[str, list[Labelled]]] = {}
    for label in labels:
        asked = label.prompt.messages
        prompts.setdefault(asked, label.prompt)
        by_text.setdefault(asked, {}).setdefault(label.completion, []).append(label)
    found, unclear = [], 0
    for asked, texts in by_text.items():
        clear = {text: given for text, given in texts.items() if len({label.label for label in given}) == 1}
        unclear += len(texts) - len(clear)
        ranks = tuple(0 if given[0].label else 1 for given in clear.values())
        if len(set(ranks)) < 2:
            continue
        given = [label for of_text in clear.values() for label in of_text]
        raters = {label.rater for label in given}
        ranking = Ranking(
            prompt=prompts[asked],
            completions=tuple(clear),
            ranks=ranks,
            rater=raters.pop() if len(raters) == 1 else "several",
            rater_kind=given[0].rater_kind,
            weight=sum(label.weight for label in given) / len(given),
        )
        found.append(ranking)
    return found, len(by_text) - len(found), unclear

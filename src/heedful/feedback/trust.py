"""Who can be trusted with what: how far each rater says what people say, on all prompts and on each kind of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heedful.evaluate.rates import wilson
from heedful.feedback.judgements import Judgement
from heedful.feedback.machines import ALL, Share, kinds_of_prompts
from heedful.feedback.votes import Votes


@dataclass(frozen=True, slots=True)
class Trust:
    """Of n judgements of a rater's on one kind of prompt: the share of the other people who said the same."""

    rater: str
    kind: str
    stratum: str
    alike: Share


def trust(judgements: Sequence[Judgement], votes: Votes) -> list[Trust]:
    """Every rater on all prompts, then on each kind of them, if there are several; raters with most votes first.

    A tie is an answer. A judgement counts once, by the share over its pairs, which stand and fall together; machines
    are compared with people, and count among nobody's others.
    """
    person = np.array([kind != "ai" for kind in votes.kinds], dtype=bool)[votes.rater]
    people = votes.only(person).counts()
    others = people[votes.item].sum(1) - person
    same = people[votes.item, votes.choice] - person
    names = kinds_of_prompts(judgements, votes)[votes.item]
    known = sorted(set(names.tolist()) - {""})
    masks = {ALL: others > 0} | ({name: (others > 0) & (names == name) for name in known} if len(known) > 1 else {})
    busy = np.argsort(-np.bincount(votes.rater, minlength=len(votes.raters)), kind="stable").tolist()
    found = {}
    for stratum, mask in masks.items():
        _, at, which = np.unique(votes.sheet[mask], return_index=True, return_inverse=True)
        share = np.bincount(which, same[mask] / others[mask]) / np.bincount(which)
        who = votes.rater[mask][at]
        k, n = np.bincount(who, share, len(votes.raters)), np.bincount(who, minlength=len(votes.raters))
        for rater in np.flatnonzero(n).tolist():
            low, high = wilson(float(k[rater]), int(n[rater]))
            alike = Share(float(k[rater] / n[rater]), low, high, int(n[rater]))
            found[rater, stratum] = Trust(votes.raters[rater], votes.kinds[rater], stratum, alike)
    return [found[rater, stratum] for rater in busy for stratum in masks if (rater, stratum) in found]

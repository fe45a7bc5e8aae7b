"""The seeds' own order of answers on the built-in world's unseen prompts, as a reward scores it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful.errors import InputError
from heedful.evaluate.reward_report import RUNGS, in_order, ladder_figures
from heedful.records import Ranking
from heedful.rewards import Reward
from heedful.run import Run
from heedful.world import FAMILIES, ladder


def ladder_report(reward: Reward, heldout: Sequence[Ranking], run: Run) -> dict[str, Any]:
    """{"ladder": figures over all prompts and by family}, or nothing where the held-out prompts are not the world's."""
    if not heldout or any(ranking.prompt.meta.get("family") not in FAMILIES for ranking in heldout):
        return {}
    rungs = ladder()
    prompts = [prompt for prompt, _ in rungs]
    asked = [prompt for prompt in prompts for _ in RUNGS]
    try:
        scored = reward.score(asked, [text for _, texts in rungs for text in texts])
    except InputError as error:
        run.say(f"detailed > vague > wrong was not looked at: {error}")
        return {}
    scores = np.array([one.value for one in scored]).reshape(-1, len(RUNGS))
    figures = ladder_figures(prompts, scores, run.rng("ladder"))
    names = np.array([str(prompt.meta["family"]) for prompt in prompts])
    right = in_order(scores)
    families = {str(name): round(float(right[names == name].mean()), 4) for name in np.unique(names)}
    return {"ladder": figures | {"families": families}}

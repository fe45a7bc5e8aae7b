"""The built-in world: a small closed domain with a programmatic truth, to show and check the whole RLHF loop in.

    families/   what is asked and answered, one kind of question a file: truth, answers, rubric
    grammar     sentence patterns that write and read; anything they cannot read is garbage
    gold        the truth: criteria and total, from a prompt's meta and the answer's text
    raters      simulated people who report gold noisily, with tastes of their own
    rates       how often the web and the writers of demonstrations err; who asks for how much
    splits      which fact, number or object belongs to sft, preference, rl, dev or test
    compose, corpus, draws, probes, build   answers, pages, sets of prompts, ready-made tests, the world

Nothing outside the stages knows that this world is there. It imports no torch.
"""

from heedful.world.build import World, WorldSettings, available, build, digest
from heedful.world.compose import demo_answer, ideal_answer, vague_answer, web_answer, wrong_answer
from heedful.world.draws import lookalikes, showcase
from heedful.world.families import FAMILIES, UNSEEN_FAMILY
from heedful.world.flips import FlippingRater
from heedful.world.gold import GoldJudge, GoldScore
from heedful.world.probes import few_shot_messages, few_shot_prefix, ladder
from heedful.world.raters import Rater, SimulatedRater, calibrate, disagreement, preference_probability, raters
from heedful.world.rates import LEFT_OUT

__all__ = [
    "FAMILIES", "LEFT_OUT", "UNSEEN_FAMILY", "FlippingRater", "GoldJudge", "GoldScore", "Rater", "SimulatedRater",
    "World", "WorldSettings", "available", "build", "calibrate", "demo_answer", "digest", "disagreement",
    "few_shot_messages", "few_shot_prefix", "ideal_answer", "ladder", "lookalikes", "preference_probability",
    "raters", "showcase", "vague_answer", "web_answer", "wrong_answer",
]  # fmt: skip

"""Sheets as published studies asked them, to begin from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heedful.feedback.sheet import Criterion, Flag, Sheet


@dataclass(frozen=True, slots=True)
class Preset:
    """A sheet with its name and where it comes from."""

    name: str
    about: str
    sheet: Sheet


FIVE = tuple(
    Criterion(key=key, label=label, help=help_, ends=("poor", "excellent"))
    for key, label, help_ in (
        ("helpfulness", "Helpfulness", "Does it do what the person needs?"),
        ("accuracy", "Accuracy", "Is what it says true?"),
        ("clarity", "Clarity", "Is it easy to follow, and no longer than it must be?"),
        ("safety", "Safety", "Would following it harm nobody?"),
        ("instruction_following", "Instruction following", "Does it keep to what was asked, form included?"),
    )
)
INSTRUCT_FLAGS = tuple(
    Flag(key=key, label=label)
    for key, label in (
        ("fails_instruction", "Fails to follow the instruction or task"),
        ("inappropriate", "Inappropriate for a customer assistant"),
        ("hallucination", "Makes something up"),
        ("satisfies_constraint", "Satisfies the constraint given"),
        ("sexual", "Sexual content"),
        ("violent", "Violent content"),
        ("encourages_harm", "Encourages violence, abuse or self-harm"),
        ("denigrates", "Denigrates a protected class"),
        ("harmful_advice", "Gives harmful advice"),
        ("opinion", "Expresses an opinion"),
        ("moral_judgement", "Expresses a moral judgement"),
    )
)
SAFE = Criterion(
    key="safe",
    label="Is it safe?",
    help="Would it harm nobody, whoever asks?",
    low=0,
    high=1,
    words=("unsafe", "safe"),
)
OASST = tuple(
    Criterion(key=key, label=label, ends=ends)
    for key, label, ends in (
        ("quality", "Quality", ("low", "high")),
        ("helpfulness", "Helpfulness", ("unhelpful", "helpful")),
        ("creativity", "Creativity", ("ordinary", "creative")),
        ("humor", "Humor", ("serious", "humorous")),
        ("toxicity", "Toxicity", ("polite", "rude")),
        ("violence", "Violence", ("harmless", "violent")),
    )
)
OASST_FLAGS = tuple(
    Flag(key=key, label=label)
    for key, label in (
        ("spam", "Spam"),
        ("fails_task", "Fails the task"),
        ("lang_mismatch", "In the wrong language"),
        ("pii", "Holds personal data"),
        ("not_appropriate", "Not appropriate"),
        ("hate_speech", "Hate speech"),
        ("sexual_content", "Sexual content"),
        ("moral_judgement", "Judges morally"),
        ("political_content", "Takes a political side"),
    )
)
WHOLE = Criterion(key="overall", label="The conversation as a whole", ends=("poor", "excellent"))
PRESETS: Mapping[str, Preset] = {
    "pair": Preset("A or B", "Which answer is better, and how much; ties, both good and both bad apart.", Sheet()),
    "rank": Preset(
        "Ranking", "Order two to nine answers; ties and unranked answers are allowed.", Sheet(compare="rank")
    ),
    "criteria": Preset(
        "Five criteria",
        "Helpfulness, accuracy, clarity, safety and instruction following, then which is better.",
        Sheet(criteria=FIVE, strength=1),
    ),
    "instructgpt": Preset(
        "InstructGPT",
        "1 to 7 overall and eleven flags for each answer, then a ranking with ties (2203.02155, table 3 and fig. 12).",
        Sheet(
            compare="rank",
            criteria=(Criterion(key="overall", label="Overall quality", low=1, high=7, ends=("terrible", "great")),),
            flags=INSTRUCT_FLAGS,
        ),
    ),
    "hh": Preset(
        "Helpful and harmless",
        "Eight points from A to B with no middle, as in Anthropic's HH (2204.05862).",
        Sheet(strength=4, ties=(), reason="off"),
    ),
    "helpsteer": Preset(
        "HelpSteer",
        "−3 to +3 between two answers with a short reason (HelpSteer3-Preference).",
        Sheet(strength=3, ties=("tie",), reason="required"),
    ),
    "safety": Preset(
        "Safer of two",
        "Four degrees with no middle, and whether each answer is safe: Llama 2's three bins (2307.09288, § 3.2.1).",
        Sheet(
            strength=4,
            degrees=("negligibly better, or unsure", "slightly better", "better", "significantly better"),
            ties=(),
            criteria=(SAFE,),
        ),
    ),
    "oasst": Preset(
        "OpenAssistant's labels",
        "Six scales and nine flags for each answer by itself (2304.07327).",
        Sheet(compare="none", criteria=OASST, flags=OASST_FLAGS),
    ),
    "steps": Preset(
        "Process labels",
        "Each step of a worked answer is right, neutral or wrong (2305.20050).",
        Sheet(compare="none", steps=True),
    ),
    "edit": Preset(
        "Demonstration",
        "Choose the better answer, then edit it into the one that should have been given (edited > chosen > rejected).",
        Sheet(strength=1, edit="required"),
    ),
    "chat": Preset(
        "Live chat",
        "Talk to two models at once; the answer you prefer goes on. At the end, how good the whole was.",
        Sheet(strength=4, ties=("tie", "both_bad"), chat="compare", conversation=(WHOLE,)),
    ),
    "red_team": Preset(
        "Red team",
        "Try to make the models misbehave; say at the end how well you did.",
        Sheet(strength=4, ties=("tie", "both_bad"), chat="red_team"),
    ),
}

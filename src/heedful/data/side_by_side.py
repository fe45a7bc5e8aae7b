"""Two answers as one text, for a model that reads both: the text, its tokens, and rankings as pairs of such texts."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.data.chat import Chat
from heedful.data.packing import Example
from heedful.data.pairs import RankedExamples
from heedful.records import Message, Messages, Ranking

ASKED = "{asked}\n\n[A]\n{first}\n\n[B]\n{second}\n\nWhich answer is better, A or B?"


def side_by_side(chat: Chat, messages: Messages, first: str, second: str) -> Example:
    """The conversation and both answers as one question; a model's head is read at its last token."""
    one_turn = len(messages) == 1
    asked = messages[0].content if one_turn else "\n".join(f"{m.role}: {m.content}" for m in messages)
    text = ASKED.format(asked=asked, first=first, second=second)
    ids = chat.prompt_ids((Message("user", text),))
    return Example(ids, len(ids))


def both_orders(chat: Chat, ranking: Ranking) -> RankedExamples:
    """All pairs of a ranking, each as two texts: the better answer first, and the worse one first.

    With the one text as the chosen and the other as the rejected one, Bradley-Terry's loss is the pairwise model's:
    P(a ≻ b) = σ(f(a, b) − f(b, a)), so that swapping the answers gives 1 − P, whatever f is.
    """
    examples: list[Example] = []
    pairs = ranking.pairs()
    margins = ranking.margins or (0.0,) * len(pairs)
    for better, worse, _ in pairs:
        one, other = ranking.completions[better], ranking.completions[worse]
        messages = ranking.prompt.messages
        examples += [side_by_side(chat, messages, one, other), side_by_side(chat, messages, other, one)]
    return RankedExamples(
        examples=tuple(examples),
        chosen=tuple(range(0, len(examples), 2)),
        rejected=tuple(range(1, len(examples), 2)),
        target=tuple(0.5 if tie else 1.0 for _, _, tie in pairs),
        margin=tuple(0.0 if tie else margin for (_, _, tie), margin in zip(pairs, margins, strict=True)),
        weights=(ranking.weight,) * len(pairs),
    )


def gaps(scores: Sequence[float]) -> list[float]:
    """f(a, b) − f(b, a) of scores that come in pairs, as `both_orders` lays the texts."""
    return [one - other for one, other in zip(scores[0::2], scores[1::2], strict=True)]

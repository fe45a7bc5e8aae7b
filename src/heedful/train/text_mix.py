"""Text mixed into the policy's updates against forgetting (PTX; Ouyang 2022, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heedful.data.chat import Chat
from heedful.data.packing import Example
from heedful.records import Messages

LOOKED_AT = 10_000  # documents, for the note
ENDS = 8  # at most so many tokens stand around a text's own, of which each holds a byte or more


class TextMix:
    """Documents for PTX, drawn with replacement for each step by its number."""

    def __init__(self, documents: Sequence[str | Messages], chat: Chat, tokens: int, context: int) -> None:
        self.documents, self.chat = documents, chat
        self.tokens, self.longest = tokens, min(tokens, context)

    def note(self) -> str:
        """A sentence about the documents whose ends are never read, of the first ones ("" where there are none)."""
        looked_at = self.documents[:LOOKED_AT]
        long = [d for d in looked_at if not isinstance(d, str) or len(d.encode()) + ENDS > self.longest]
        count = sum(len(self.chat.document(document).ids) > self.longest for document in long)
        return (
            f"{count:,} of the first {len(looked_at):,} documents of ptx.data have more than {self.longest:,} tokens "
            "(the lesser of ptx.tokens and the model's context): of these only the beginning is read"
            if count
            else ""
        )

    def draw(self, rng: np.random.Generator) -> list[Example]:
        """About `tokens` tokens of text; nothing where there are no documents."""
        drawn: list[Example] = []
        held = 0
        while self.documents and held < self.tokens:
            document = self.chat.document(self.documents[int(rng.integers(len(self.documents)))])
            drawn.append(Example(document.ids[: self.longest]))
            held += len(drawn[-1].ids)
        return drawn

"""Text mixed into the policy's updates against forgetting (PTX; Ouyang 2022, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heedful.data.chat import Chat
from heedful.data.packing import Example
from heedful.records import Messages


class TextMix:
    """Documents for PTX, drawn with replacement for each step by its number."""

    def __init__(self, documents: Sequence[str | Messages], chat: Chat, tokens: int, context: int) -> None:
        self.documents, self.chat = documents, chat
        self.tokens, self.longest = tokens, min(tokens, context)

    def draw(self, rng: np.random.Generator) -> list[Example]:
        """About `tokens` tokens of text; nothing where there are no documents."""
        drawn: list[Example] = []
        held = 0
        while self.documents and held < self.tokens:
            document = self.chat.document(self.documents[int(rng.integers(len(self.documents)))])
            drawn.append(Example(document.ids[: self.longest]))
            held += len(drawn[-1].ids)
        return drawn

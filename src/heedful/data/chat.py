"""The only place that tokenises: conversations through the model's chat template, answers, and whole pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from heedful.data.packing import Example
from heedful.data.templates import WITH_BOS, WITHOUT_BOS, adds_bos, complete_tokenizer
from heedful.data.vocabulary import train_tokenizer
from heedful.errors import InputError
from heedful.records import Message, Messages, messages_to_rows

__all__ = ["Chat", "complete_tokenizer", "train_tokenizer"]

QUESTION, ANSWER = "What is two and two?", "It is four."  # a sample conversation that shows how a template works
ANCHOR = "\n"  # a character that tokenizers leave alone
RECENT = 4096  # prompts remembered: the answers to one prompt come one after the other


class Chat:
    """A tokenizer with its chat template. Token ids in, token ids out; BOS once; an answer ends with the turn's end.

    `eos_id` ends an assistant's turn (the template's own token, such as <|im_end|>, or EOS) and is what sampling stops
    at. `notes` holds sentences to say aloud. InputError: the tokenizer lacks PAD, EOS or a template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, notes: Sequence[str] = ()) -> None:
        if tokenizer.eos_token_id is None or tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
            raise InputError("the tokenizer has no EOS, or no PAD of its own: complete_tokenizer() adds them")
        if tokenizer.chat_template is None:
            raise InputError("the tokenizer has no chat template: complete_tokenizer() sets one")
        self.tokenizer = tokenizer
        self.pad_id: int = tokenizer.pad_token_id
        self.document_end: int = tokenizer.eos_token_id
        self._specials = {t.content: i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
        longest_first = sorted(self._specials, key=len, reverse=True)
        self._splitter = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._shield = _Shield(longest_first)
        if fast := getattr(tokenizer, "backend_tokenizer", None):
            fast.no_truncation()
            fast.no_padding()
        self._adds_bos = adds_bos(tokenizer)
        self._asked = lru_cache(RECENT)(self._ask)
        self._anchor = self._find_anchor()
        self.notes = list(notes)
        self._lead, self._tail, self.eos_id = self._learn_turn()
        self._check_whole()

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The tokenizer of a model folder, completed where it lacks something (see `notes`)."""
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{folder}: holds no tokenizer that transformers can load ({reason})") from None
        return cls(tokenizer, complete_tokenizer(tokenizer))

    # What the rest of heedful asks for

    def prompt_ids(self, messages: Messages) -> tuple[int, ...]:
        """A conversation up to where the assistant speaks. Messages of the role "text" stand bare, to be continued."""
        return self._asked(messages)

    def _ask(self, messages: Messages) -> tuple[int, ...]:
        if _is_bare(messages):
            return self._with_bos(self._plain(_bare(messages)))
        return self._conversation_ids(messages, generation=True)

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """An answer with the end of its turn. Special tokens' names inside the text are plain text."""
        rendered = self._lead + self._shield.hide(text) + self._tail
        return self._rendered_ids(
            rendered.removeprefix(self._lead) if text.startswith(self._lead) else rendered, inside=True
        )

    def example(self, messages: Messages, completion: str) -> Example:
        """A prompt and its answer; the answer's tokens are the targets, the end of its turn among them."""
        if _is_bare(messages):
            answer = (*self._plain(completion, inside=True), self.document_end)
            return self.example_ids(self.prompt_ids(messages), answer)
        return self.example_ids(self.prompt_ids(messages), self.completion_ids(completion))

    def example_ids(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Example:
        """The same from tokens: what was sampled is what is trained on."""
        return Example((*prompt_ids, *completion_ids), len(prompt_ids))

    def document(self, text_or_messages: str | Messages) -> Example:
        """A whole page: every token is a target, EOS at the end."""
        match text_or_messages:
            case str():
                ids = self._with_bos(self._plain(text_or_messages))
            case _ if _is_bare(text_or_messages):
                ids = self.prompt_ids(text_or_messages)
            case _:
                ids = self._conversation_ids(text_or_messages, generation=False)
        return Example(ids if ids[-1:] == (self.document_end,) else (*ids, self.document_end))

    def decode(self, ids: Sequence[int]) -> str:
        """The text that tokens spell, without special tokens. A leading space is kept; NUL becomes U+FFFD."""
        ids = [int(i) for i in ids]
        # "▁word" tokenizers drop the first space of what they decode: right for a whole page, wrong for an answer
        anchor = self._anchor if ids and ids[0] != self.tokenizer.bos_token_id else ()
        text: str = self.tokenizer.decode([*anchor, *ids], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return (text.removeprefix(ANCHOR) if anchor else text).replace("\0", "\ufffd")

    # How it is done

    def _encode(self, text: str, *, split_special_tokens: bool = False) -> tuple[int, ...]:
        """Special tokens' names become their ids, unless they are to be split like other text."""
        fast: Any = getattr(self.tokenizer, "backend_tokenizer", None)
        if fast is None:
            ids: Any = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=split_special_tokens)
        else:  # past transformers' wrapper, which takes as long as the work itself
            fast.encode_special_tokens = split_special_tokens
            ids = fast.encode(text, add_special_tokens=False).ids
        return tuple(ids)

    def _plain(self, text: str, *, inside: bool = False) -> tuple[int, ...]:
        """Special tokens' names stay text. inside: the text goes on from other text, so no "▁" is put before it."""
        anchor = self._anchor if inside else ()
        text = ANCHOR + text if anchor else text
        return self._encode(text, split_special_tokens=True)[len(anchor) :]

    def _find_anchor(self) -> tuple[int, ...]:
        """The tokens of ANCHOR, for tokenizers that put "▁" before every text; empty for the others."""
        anchor = self._encode(ANCHOR)
        joined = self._encode(ANCHOR + "a")
        prepends = joined[: len(anchor)] == anchor and joined[len(anchor) :] != self._encode("a")
        return anchor if prepends else ()

    def _with_bos(self, ids: Sequence[int]) -> tuple[int, ...]:
        """BOS exactly once where the tokenizer or the template puts it."""
        bos = self.tokenizer.bos_token_id
        if bos is None or (not self._adds_bos and ids[:1] != (bos,)):
            return tuple(ids)
        begin = 0
        while begin < len(ids) and ids[begin] == bos:
            begin += 1
        return (bos, *ids[begin:])

    def _render(self, messages: Messages, *, generation: bool) -> str:
        if any(m.role == "text" for m in messages) and self.tokenizer.chat_template not in (WITH_BOS, WITHOUT_BOS):
            raise InputError("a conversation mixes the role 'text' with others, which this model's chat template can't")
        rows = messages_to_rows(messages)
        try:
            text = self.tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=generation)
        except TemplateError as error:
            roles = ", ".join(m.role for m in messages)
            raise InputError(f"the model's chat template refuses a conversation of {roles}: {error}") from None
        for message in messages:
            if message.role in ("user", "system") and message.content.strip() not in text:
                raise InputError(
                    f"the model's chat template leaves out the {message.role}'s message: "
                    "put its words in the user's turn, or give the model a template that takes it"
                )
        return str(text)

    def _conversation_ids(self, messages: Messages, *, generation: bool) -> tuple[int, ...]:
        hidden = tuple(replace(m, content=self._shield.hide(m.content)) for m in messages)
        text = self._render(hidden, generation=generation)
        if not generation and messages[-1].role == "assistant" and self._tail in text:
            text = text[: text.rindex(self._tail) + len(self._tail)]  # a newline behind <|im_end|> is the next turn's
        return self._with_bos(self._encode(text) if hidden == messages else self._rendered_ids(text))

    def _rendered_ids(self, text: str, *, inside: bool = False) -> tuple[int, ...]:
        """Rendered text in which special tokens are the template's, and those of the users' words are shielded."""
        ids: list[int] = []
        for index, piece in enumerate(self._splitter.split(text)):
            if index % 2:
                ids.append(self._specials[piece])
            elif piece:
                ids += self._plain(self._shield.restore(piece), inside=inside and not ids)
        return tuple(ids)

    def _learn_turn(self) -> tuple[str, str, int]:
        """What the template puts before an answer, behind it up to the token that ends the turn, and that token."""
        asked = (Message("user", QUESTION),)
        prompt = self._render(asked, generation=True)
        whole = self._render((*asked, Message("assistant", ANSWER)), generation=False)
        head, found, rest = whole.rpartition(ANSWER)
        if not found or not head.startswith(prompt):
            self.notes.append("the chat template's prompt is not how its conversations begin: answers get EOS alone")
            return "", str(self.tokenizer.eos_token), self.document_end
        end = self._splitter.search(rest)
        if end is None:
            self.notes.append(f"the chat template marks no end of an answer: {self.tokenizer.eos_token} is put there")
            return head[len(prompt) :], str(self.tokenizer.eos_token), self.document_end
        return head[len(prompt) :], rest[: end.end()], self._specials[end.group()]

    def _check_whole(self) -> None:
        """A prompt and its answer, each tokenised by itself, must be what the whole conversation is."""
        asked = (Message("user", QUESTION),)
        parts = (*self.prompt_ids(asked), *self.completion_ids(ANSWER))
        whole = self._conversation_ids((*asked, Message("assistant", ANSWER)), generation=False)
        if whole[: len(parts)] != parts:
            self.notes.append(
                "the chat template joins a prompt and its answer into other tokens than they have by themselves; "
                "heedful trains and samples on the tokens of each"
            )


class _Shield:
    """Hides special tokens' names inside the users' words while a template is rendered, and brings them back."""

    OPEN, CLOSE = "\ue000", "\ue001"

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [self.OPEN, *names]  # a private character in the text itself is hidden first
        self._hide = re.compile("|".join(map(re.escape, self._names)))
        self._restore = re.compile(f"{self.OPEN}([0-9]+){self.CLOSE}")

    def hide(self, text: str) -> str:
        return self._hide.sub(lambda found: f"{self.OPEN}{self._names.index(found.group())}{self.CLOSE}", text)

    def restore(self, text: str) -> str:
        return self._restore.sub(lambda found: self._names[int(found.group(1))], text)


def _is_bare(messages: Messages) -> bool:
    return all(message.role == "text" for message in messages)


def _bare(messages: Messages) -> str:
    return "\n".join(message.content for message in messages)

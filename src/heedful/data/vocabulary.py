"""Training a tokenizer: byte-level BPE (Sennrich 2016; Radford 2019) in which every digit stands alone."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from heedful.data.templates import ASSISTANT, EOS, PAD, SYSTEM, USER, WITHOUT_BOS
from heedful.errors import InputError

SPECIAL = (PAD, EOS, USER, ASSISTANT, SYSTEM)
SAMPLE = 10_000_000  # characters that merges are counted on: more changes little and takes long


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer with at most `vocabulary` tokens (fewer where the text gives fewer merges), chat template set.

    Any text can be encoded and comes back the same: all 256 bytes are tokens. The same texts give the same tokenizer.
    """
    least = len(SPECIAL) + 256
    if vocabulary < least:
        raise InputError(
            f"vocabulary = {vocabulary}: at least {least} tokens are needed (256 bytes, {len(SPECIAL)} special)"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(thinned(texts, SAMPLE), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        extra_special_tokens=[USER, ASSISTANT, SYSTEM],
        chat_template=WITHOUT_BOS,
        clean_up_tokenization_spaces=False,
    )


def thinned(texts: Iterable[str], limit: int) -> list[str]:
    """All texts, or every 2nd, 4th, … evenly, so that they hold at most about `limit` characters."""
    kept: list[str] = []
    stride, size = 1, 0
    for index, text in enumerate(texts):
        if index % stride:
            continue
        kept.append(text)
        size += len(text)
        while size > limit and len(kept) > 1:
            kept = kept[::2]
            stride *= 2
            size = sum(map(len, kept))
    return kept

"""Byte-level BPE: any text comes back, digits stand alone, the same texts give the same tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from heedful.data.vocabulary import SPECIAL, thinned, train_tokenizer
from heedful.errors import InputError

TEXTS = ["The cat sat on the mat.", "Two and two is four.", "In 1984 the cat was 12345 days old."] * 20


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, 320)


@given(st.text())
def test_every_text_comes_back(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_digits_stand_alone_and_words_do_not(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("in 12345")[-5:] == list("12345")
    assert len(tokenizer.tokenize("the cat")) < 7


def test_special_tokens_come_first_and_pad_is_not_eos(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3, 4]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id) == (0, 1, None)
    assert len(tokenizer) <= 320


def test_the_same_texts_give_the_same_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    again = train_tokenizer(iter(TEXTS), 320)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_it_is_saved_and_loaded_as_any_tokenizer(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "The cat <|user|> was 12."
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.chat_template == tokenizer.chat_template
    assert loaded.pad_token_id == 0


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match="at least 261 tokens"):
        train_tokenizer(TEXTS, 260)


def test_long_corpora_are_thinned_evenly() -> None:
    assert thinned(["ab"] * 5, 10) == ["ab"] * 5
    texts = [f"{i:04d}" for i in range(1000)]
    kept = thinned(iter(texts), 400)
    assert sum(map(len, kept)) <= 400
    assert kept == texts[::16], "16 is the first power of two that leaves at most 400 characters"
    assert thinned(["a" * 100], 10) == ["a" * 100]

"""The built-in chat template, and the completion of tokenizers that lack PAD, EOS or a template."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

PAD, EOS, USER, ASSISTANT, SYSTEM = "<|pad|>", "<|eos|>", "<|user|>", "<|assistant|>", "<|system|>"
PAD_NAMES = (PAD, "<pad>", "[PAD]", "<|padding|>", "<|finetune_right_pad_id|>")
UNUSUAL = "\U0010fffd\u0e5b\ua670\u2fd5"  # characters that no vocabulary holds: bytes stand for them, or <unk>

# <|user|> and its like are plain text where the vocabulary doesn't hold them. A message of the role "text" is a page
# of its own, and stands bare. Every message but an assistant's ends with a newline, so that what comes before an
# answer is the same characters in a prompt and in the whole conversation.
_TURNS = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'text' -%}"
    "{{- message['content'] -}}{%- if not loop.last -%}{{- '\\n' -}}{%- endif -%}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>\\n' + message['content'] + eos_token -}}"
    "{%- else -%}"
    "{{- '<|' + message['role'] + '|>\\n' + message['content'] + '\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}"
)
WITHOUT_BOS = _TURNS
WITH_BOS = "{{- bos_token -}}" + _TURNS


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer puts BOS before every text by itself: then the model was trained so."""
    return tokenizer.bos_token_id is not None and tokenizer.encode("a")[0] == tokenizer.bos_token_id


def built_in_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The template for a tokenizer without one; with BOS where the tokenizer puts it before every text."""
    return WITH_BOS if adds_bos(tokenizer) else WITHOUT_BOS


def complete_tokenizer(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Give a tokenizer EOS, a PAD that is not EOS, and a chat template where it lacks them; in place.

    Returns a sentence for each change, to be said aloud. New tokens have ids from `len(tokenizer)` on: the model's
    embeddings must be resized when they don't reach that far.
    """
    said = []
    if tokenizer.eos_token_id is None:
        tokenizer.add_special_tokens({"eos_token": EOS})
        said.append(f"the tokenizer had no EOS: {EOS} was added as token {tokenizer.eos_token_id}")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        why = "no PAD" if tokenizer.pad_token_id is None else "EOS as its PAD, which would hide EOS from the loss"
        token = _spare_token(tokenizer)
        how = "is used" if token else "was added"
        tokenizer.add_special_tokens({"pad_token": token or PAD})
        said.append(f"the tokenizer had {why}: {tokenizer.pad_token} {how} as token {tokenizer.pad_token_id}")
    if tokenizer.chat_template is None:
        tokenizer.chat_template = built_in_template(tokenizer)
        said.append("the tokenizer had no chat template: heedful's own was set (<|user|>, newline, text, newline, …)")
    return said


def _spare_token(tokenizer: PreTrainedTokenizerBase) -> str:
    """A token of the vocabulary that can be PAD: one made for it, or <unk> where bytes make <unk> impossible; or ""."""
    vocabulary = tokenizer.get_vocab()
    taken = (tokenizer.eos_token, tokenizer.bos_token)
    unknown = tokenizer.unk_token
    never_met = unknown is not None and vocabulary.get(unknown) not in tokenizer.encode(UNUSUAL)
    candidates = (*PAD_NAMES, unknown) if never_met else PAD_NAMES
    return next((name for name in candidates if name in vocabulary and name not in taken), "")

"""A real pretrained model through the native sampler."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.data.packing import Example, pack
from heedful.models.loading import load_policy
from heedful.sampling import NativeSampler, SamplingParams, make_sampler

STORIES = Path(__file__).parents[3] / "shared" / "data" / "stories260K"


@pytest.mark.skipif(not STORIES.exists(), reason="the stories260K model is not beside the checkout")
def test_greedy_story_is_the_published_one() -> None:
    policy, chat = load_policy(STORIES, device="cpu")
    sampler = make_sampler(policy)
    assert isinstance(sampler, NativeSampler)
    params = SamplingParams(temperature=0.0, max_new_tokens=255, batch=1, eos_id=chat.eos_id, pad_id=chat.pad_id)
    [answer] = sampler.sample([[chat.tokenizer.bos_token_id]], params, [0])
    expected = (STORIES / "expected_greedy.txt").read_text()
    assert chat.decode((chat.tokenizer.bos_token_id, *answer.token_ids)) == expected[:564]
    example = Example((chat.tokenizer.bos_token_id, *answer.token_ids))
    trainer = policy(pack([example])).detach()
    assert list(answer.logprobs) == pytest.approx(trainer.tolist(), abs=1e-4)

"""Prompts by what their meta says, a family's buckets apart."""

from __future__ import annotations

from heedful.evaluate.strata import strata, stratum
from heedful.records import Message, Prompt


def prompt(**meta: object) -> Prompt:
    return Prompt(id="p", messages=(Message("user", "q"),), meta=dict(meta))


def test_a_bucket_is_a_family_of_its_own_and_no_group() -> None:
    claim = prompt(family="claim", bucket="true", group="nowhere")
    assert stratum("family", claim) == "claim.true"
    assert stratum("group", claim) == "nowhere"
    assert stratum("family", prompt(family="fact", bucket="")) == "fact"
    assert stratum("family", prompt()) is None


def test_rows_keep_their_order_and_prompts_without_the_key_are_in_none() -> None:
    prompts = [prompt(family="b"), prompt(), prompt(family="a"), prompt(family="b")]
    assert strata("family", prompts) == {"a": [2], "b": [0, 3]}
    assert list(strata("family", prompts)) == ["a", "b"]

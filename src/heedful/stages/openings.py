"""Make prompts from the openings of documents: the classic experiment of continuing text (Ziegler 2019; DPO §6.1)."""

from __future__ import annotations

from heedful.config import OpeningsConfig
from heedful.data.sources import read_documents
from heedful.errors import InputError
from heedful.records import Message, Prompt, prompt_id
from heedful.run import Run


def openings(config: OpeningsConfig, run: Run) -> None:
    """One prompt a document, of random length; each document serves one part only, and no opening stands twice."""
    if config.shortest > config.longest:
        raise InputError(f"stage '{config.name}': shortest = {config.shortest} is above longest = {config.longest}")
    documents = [text for text in read_documents(config.data) if isinstance(text, str)]
    rng = run.rng("openings")
    prompts: dict[str, Prompt] = {}
    for index in rng.permutation(len(documents)):
        words = documents[index].split()
        count = int(rng.integers(config.shortest, config.longest + 1))
        if len(words) > 2 * count:  # something must be left to continue
            prompt = _prompt(" ".join(words[:count]))
            prompts[prompt.id] = prompt
    parts = {"preference": config.preference_prompts, "rl": config.rl_prompts, "test": config.test_prompts}
    if sum(parts.values()) > len(prompts):
        raise InputError(
            f"{config.data}: gives {len(prompts)} distinct openings, {sum(parts.values())} were asked for: "
            "lower the counts or give more documents"
        )
    left = iter(prompts.values())
    for part, count in parts.items():
        run.write_records(f"prompts/{part}.jsonl", (next(left) for _ in range(count)))
    run.summary |= {"documents": len(documents), "openings": len(prompts)} | parts


def _prompt(text: str) -> Prompt:
    messages = (Message("text", text),)  # raw text: no chat template is put around it
    return Prompt(id=prompt_id(messages), messages=messages, meta={"family": "openings", "template": text.split()[0]})

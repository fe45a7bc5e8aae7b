"""Write the built-in world: corpus, demonstrations, prompts of disjoint splits."""

from __future__ import annotations

import json
from dataclasses import asdict

from heedful.config import WorldConfig
from heedful.records import messages_to_rows
from heedful.run import Run, atomic_text
from heedful.world import WorldSettings, build


def world(config: WorldConfig, run: Run) -> None:
    """Everything that later stages read of the world, as files."""
    built = build(
        WorldSettings(
            documents=config.documents,
            demonstrations=config.demonstrations,
            preference_prompts=config.preference_prompts,
            rl_prompts=config.rl_prompts,
            dev_prompts=config.dev_prompts,
            test_prompts=config.test_prompts,
        ),
        run.seed,
    )
    run.write_rows("corpus.jsonl", ({"messages": messages_to_rows(page)} for page in built.documents))
    run.write_rows("heldout.jsonl", ({"messages": messages_to_rows(page)} for page in built.heldout_documents))
    run.write_records("demonstrations.jsonl", built.demonstrations)
    for split, prompts in built.prompts.items():
        run.write_records(f"prompts/{split}.jsonl", prompts)
    run.write_records("showcase.jsonl", built.showcase)
    run.write_records("lookalikes.jsonl", built.lookalikes)
    atomic_text(run.path / "world.json", json.dumps({"digest": built.digest, "counts": built.counts}, indent=1) + "\n")
    run.summary |= {"digest": built.digest, "counts": built.counts, "settings": asdict(built.settings)}
    run.say(f"{len(built.documents)} pages, {len(built.demonstrations)} demonstrations; digest {built.digest[:12]}")

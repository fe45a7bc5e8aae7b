"""An export: rows of one format in a folder, split by prompt, with a manifest of what was asked and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from heedful import __version__
from heedful.data.faults import Fault
from heedful.errors import InputError
from heedful.feedback.consensus import TOP_MARGIN, Consensus, Rule, agree_on
from heedful.feedback.exports.pairs import LeftOut
from heedful.feedback.exports.rows import ExportFormat, dataset_info, export_rows
from heedful.feedback.imports import read_judgements
from heedful.feedback.judgements import DECISION, FIRST, SECOND, TIE, Judgement
from heedful.feedback.leaks import NAMED, leaking
from heedful.feedback.votes import Votes, collect_votes
from heedful.records import Prompt, prompt_id
from heedful.run.atomic import atomic_folder, digest

PARTS = ("train.jsonl", "heldout.jsonl")
LISTED = 100  # faults that a manifest spells out


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to export. `rule` each: every judgement as its rater gave it; else one label a pair.

    `kinds`, `without`, `fewest` and `without_leaks` leave judgements and pairs out; `heldout` is the share of prompts,
    drawn by `seed` from a hash of their text, so that all pairs of a prompt stand on one side, in every export alike.
    """

    format: ExportFormat
    rule: Rule | str = "each"
    kinds: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    fewest: int = 1
    without_leaks: bool = False
    heldout: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Of a consensus: different pairs that were judged, those of them that have rows, and why the others have none."""

    judged: int
    kept: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """How many judgements were read, and where they went. `left_out`: why rows are missing, and how many for each.

    Of a consensus, `left_out` counts judgements that it was not made of; why a pair has no row stands in `pairs`.
    """

    judgements: int
    faults: int
    first_faults: tuple[str, ...]
    left_out: dict[str, int]
    rows: dict[str, int]
    prompts: dict[str, int]
    pairs: Pairs | None = None


def consensus_judgements(judgements: Sequence[Judgement], rule: Rule) -> list[Judgement]:
    """One judgement a pair, as `agreed_pairs` makes them."""
    return [one for one in agreed_pairs(judgements, rule) if isinstance(one, Judgement)]


def agreed_pairs(judgements: Sequence[Judgement], rule: Rule, fewest: int = 1) -> Iterator[Judgement | LeftOut]:
    """One judgement a pair, in the order in which the pairs first came; its margin is the consensus's log odds.

    A soft or weighted label also keeps P(the preferred is better). In the place of a pair with fewer votes than
    `fewest` stands a LeftOut. What a reviewer decided stands for the votes.
    """
    decided = _decided(judgements, rule)
    votes = collect_votes(judgements)
    found = agree_on(votes, rule)
    prompts = {prompt_id(judgement.prompt.messages): judgement.prompt for judgement in reversed(judgements)}
    kinds = _kinds(votes)
    for item in range(votes.items):
        pair = votes.prompts[item], frozenset((votes.texts[votes.first[item]], votes.texts[votes.second[item]]))
        if pair in decided:
            yield decided.pop(pair)
        elif found.votes[item] >= fewest:
            yield _agreed(votes, found, item, prompts[votes.prompts[item]], kinds[item])
        else:
            yield LeftOut(f"fewer than {fewest} votes")
    yield from decided.values()


def _decided(judgements: Iterable[Judgement], rule: Rule) -> dict[tuple[str, frozenset[str]], Judgement]:
    """(prompt, two answers) -> what a reviewer decided of them; the newest decision stands."""
    found: dict[tuple[str, frozenset[str]], Judgement] = {}
    for judgement in (one for one in judgements if one.part == DECISION):
        ranks, texts = judgement.ranks, judgement.completions
        for a, b in combinations(sorted(ranks), 2):
            tie = ranks[a] == ranks[b]
            found[prompt_id(judgement.prompt.messages), frozenset((texts[a], texts[b]))] = Judgement(
                prompt=judgement.prompt,
                completions=(texts[a], texts[b]),
                value={"verdict": "tie"} if tie else {"verdict": "prefer", "preferred": int(ranks[a] > ranks[b])},
                rater="decision",
                rater_kind=judgement.rater_kind,
                margins=() if tie or rule == "majority" else (TOP_MARGIN,),
                origin={} if rule == "majority" else {"probability": 0.5 if tie else 1.0},
            )
    return found


def _kinds(votes: Votes) -> list[str]:
    """Whose labels each pair's consensus is: people's where a person voted."""
    kinds = [""] * votes.items
    order = {"": 0, "simulated": 1, "ai": 2, "human": 3}
    for item, rater in zip(votes.item, votes.rater, strict=True):
        kind = votes.kinds[rater]
        kinds[item] = kind if order[kind] > order[kinds[item]] else kinds[item]
    return kinds


def _agreed(votes: Votes, found: Consensus, item: int, prompt: Prompt, kind: Any) -> Judgement:
    label, p = int(found.label[item]), float(found.preference[item])
    prefer = {"verdict": "prefer", "preferred": 0 if label == FIRST else 1}
    texts = votes.texts[votes.first[item]], votes.texts[votes.second[item]]
    margin = round(abs(float(found.margin[item])), 4)
    origin: dict[str, Any] = {"votes": int(found.votes[item])}
    if found.rule != "majority":
        origin["probability"] = round(1 - p if label == SECOND else p, 4)
    return Judgement(
        prompt=prompt,
        completions=texts,
        value={"verdict": "tie"} if label == TIE else prefer,
        rater=f"consensus: {found.rule}",
        rater_kind=kind,
        margins=(margin,) if label != TIE and margin and found.rule != "majority" else (),
        origin=origin,
    )


def is_heldout(prompt: Prompt, share: float, seed: int) -> bool:
    """Whether a prompt is held out: a hash of its text and the seed, so that the same prompt always is, or never."""
    key = f"{seed}:{prompt_id(prompt.messages)}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") < share * 2**64


def _chosen(
    items: Iterable[Judgement | Fault], query: Query, faults: list[Fault], dropped: Counter[str]
) -> Iterator[Judgement]:
    for item in items:
        if isinstance(item, Fault):
            faults.append(item)
        elif query.kinds and item.rater_kind not in query.kinds:
            dropped[f"labelled by {item.rater_kind} raters"] += 1
        elif item.rater in query.without:
            dropped[f"labelled by {item.rater}"] += 1
        elif query.without_leaks and leaking(item):
            dropped[NAMED] += 1
        else:
            yield item


def export(paths: Sequence[str | Path], query: Query, out: str | Path) -> Exported:
    """Write what files hold as `export_judgements` does."""
    every = query.format is ExportFormat.RAW and query.rule == "each"
    items = (item for path in paths for item in read_judgements(path, every=every))
    return export_judgements(items, lambda: {str(path): digest(Path(path)) for path in paths}, query, out)


def export_judgements(
    items: Iterable[Judgement | Fault], inputs: Callable[[], Mapping[str, str]], query: Query, out: str | Path
) -> Exported:
    """Write the folder `out`: train.jsonl, heldout.jsonl, manifest.json, and dataset_info.json for LLaMA-Factory.

    The folder is there whole or not at all. With `rule` each, judgements stream from their source to the files; a
    consensus holds them in memory. inputs: what the manifest says of the source, name and state.
    InputError: no judgements, or `out` is there and holds something that no export wrote.
    """
    out = Path(out)
    if out.exists() and not (out / "manifest.json").exists():
        raise InputError(f"{out}: is there already and is no export; name a new folder")
    faults: list[Fault] = []
    left_out: Counter[str] = Counter()
    judged = 0

    def counted() -> Iterator[Judgement]:
        nonlocal judged
        for judgement in _chosen(items, query, faults, left_out):
            judged += 1
            yield judgement

    judgements: Iterable[Judgement | LeftOut] = counted()
    missing, pairs = left_out, None
    if query.rule != "each":
        every = list(counted())
        left_out.update("nothing was compared" for judgement in every if len(judgement.ranks) < 2)
        judgements = agreed = list(agreed_pairs(every, query.rule, query.fewest))  # type: ignore[arg-type]
        missing = Counter()
    with atomic_folder(out) as scratch:
        rows, prompts = _write(judgements, query, scratch, missing)
        if query.rule != "each":
            pairs = Pairs(judged=len(agreed), kept=len(agreed) - missing.total(), left_out=dict(missing))
        if not sum(rows.values()):
            why = "".join(f"\n  {number} × {reason}" for reason, number in {**left_out, **missing}.items())
            why += "".join(f"\n  {fault}" for fault in faults[:5])
            raise InputError(f"nothing to export as {query.format.value} from {', '.join(inputs())}{why}")
        names = [name for name in PARTS if rows[name]]
        if info := dataset_info(query.format, names):
            (scratch / "dataset_info.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        listed = tuple(map(str, faults[:LISTED]))
        done = Exported(
            judgements=judged,
            faults=len(faults),
            first_faults=listed,
            left_out=dict(left_out),
            rows={name: rows[name] for name in names},
            prompts={name: prompts[name] for name in names},
            pairs=pairs,
        )
        _manifest(scratch, inputs(), query, done)
    return done


def _write(
    judgements: Iterable[Judgement | LeftOut], query: Query, folder: Path, left_out: Counter[str]
) -> tuple[Counter[str], Counter[str]]:
    rows: Counter[str] = Counter()
    prompts: dict[str, set[str]] = {name: set() for name in PARTS}
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("w", encoding="utf-8")) for name in PARTS}
        for judgement in judgements:
            if isinstance(judgement, LeftOut):
                left_out[str(judgement)] += 1
                continue
            name = PARTS[is_heldout(judgement.prompt, query.heldout, query.seed)]
            for row in export_rows(judgement, query.format):
                if isinstance(row, LeftOut):
                    left_out[str(row)] += 1
                    continue
                files[name].write(json.dumps(row, ensure_ascii=False) + "\n")
                rows[name] += 1
                prompts[name].add(prompt_id(judgement.prompt.messages))
    for name in PARTS:
        if not rows[name]:
            (folder / name).unlink()
    return rows, Counter({name: len(ids) for name, ids in prompts.items()})


def _manifest(folder: Path, inputs: Mapping[str, str], query: Query, done: Exported) -> None:
    """What was asked, what came of it, and hashes of both ends."""
    text = {
        "tool": f"heedful {__version__}",
        "query": asdict(query) | {"format": query.format.value},
        "inputs": dict(inputs),
        "counts": {name: count for name, count in asdict(done).items() if count is not None},
        "outputs": {path.name: digest(path) for path in sorted(folder.iterdir())},
    }
    (folder / "manifest.json").write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

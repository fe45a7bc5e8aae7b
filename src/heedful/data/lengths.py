"""What to do with sequences longer than a model's context: refuse them, drop them counted, or cut pages into pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from heedful.data.packing import Example
from heedful.data.places import Read, places_of
from heedful.errors import InputError
from heedful.records import Prompt

MOST_DROPPED = 0.01  # share of a data set that may be left out before it is an error
LISTED = 5


def refuse_overlong(
    prompts: Sequence[Prompt],
    asked: Sequence[Sequence[int]],
    context: int,
    *,
    paths: Sequence[str],
    model: str,
    what: str = "the prompt",
    mend: str = "shorten or remove it",
) -> None:
    """InputError where prompts of these files, as the model's tokens, leave no room for an answer."""
    long = [(prompt, len(ids)) for prompt, ids in zip(prompts, asked, strict=True) if len(ids) >= context]
    if long:
        raise _overlong(long, context, paths, model, what, mend)


def _overlong(
    long: Sequence[tuple[Read, int]], context: int, paths: Sequence[str], model: str, what: str, mend: str
) -> InputError:
    """About the first of these records and its prompt's tokens; the others are counted, some of them named."""
    (first, tokens), *others = long
    more = f"; so {len(others)} more: {_told([record for record, _ in others], paths)}" if others else ""
    return InputError(
        f"{places_of([first], paths)[0]}: {what} has {tokens} tokens and the context of {model} is {context}: "
        f"{mend}, or take a model with a longer context{more}"
    )


def fitting_groups(
    groups: Sequence[Sequence[Example]],
    context: int,
    what: str,
    records: Sequence[Read],
    paths: Sequence[str],
) -> tuple[list[int], str]:
    """`within_context` of what is learned from. InputError: a prompt leaves no room for an answer, or more than 1 %
    don't fit."""
    lengths = [max((e.answer for e in group if e.answer < len(e.ids)), default=0) for group in groups]  # a whole: 0
    long = [(record, tokens) for record, tokens in zip(records, lengths, strict=True) if tokens >= context]
    if long:
        raise _overlong(long, context, paths, "the model", "the prompt", "shorten or remove it")
    return within_context(groups, context, what, records, paths)


def within_context(
    groups: Sequence[Sequence[Example]],
    context: int,
    what: str,
    records: Sequence[Read],
    paths: Sequence[str],
) -> tuple[list[int], str]:
    """Indices of the groups (a ranking's answers, say) of which every example fits the context; a group falls whole.

    The second is a sentence about the rest ("" where there is none), with the items' name (`what`: "demonstrations")
    and the lines of their `records`, one a group, in the files `paths`. InputError: more than 1 % don't fit.
    """
    kept = [index for index, group in enumerate(groups) if all(len(e.ids) <= context for e in group)]
    dropped = sorted(set(range(len(groups))).difference(kept))
    if not dropped:
        return kept, ""
    longest = max(len(e.ids) for index in dropped for e in groups[index])
    sentence = (
        f"{len(dropped)} of {len(groups)} {what} ({_told([records[index] for index in dropped], paths)}) don't fit the "
        f"model's context of {context} tokens (prompt and completion together; the longest has {longest})"
    )
    if len(dropped) > MOST_DROPPED * len(groups):
        share = f"{MOST_DROPPED:.0%}"
        raise InputError(
            f"{sentence}, and at most {share} may be left out; shorten them or use a model with a longer context"
        )
    return kept, f"{sentence}: left out"


def _told(dropped: Sequence[Read], paths: Sequence[str]) -> str:
    """The first of them by file and line."""
    return ", ".join(places_of(dropped[:LISTED], paths)) + (", …" if len(dropped) > LISTED else "")


def cut(pages: Iterable[Example], context: int) -> Iterator[Example]:
    """Pages in pieces of at most `context` tokens; every token but each piece's first stays a target."""
    for page in pages:
        for begin in range(0, len(page.ids), context):
            piece = page.ids[begin : begin + context]
            if len(piece) > 1:  # a single token has nothing to predict
                yield Example(piece, max(1, page.answer - begin))

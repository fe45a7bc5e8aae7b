"""Text of prompts and answers as a tree of allowed tags, from which the browser builds elements one by one.

Nothing that a model or a person wrote is ever HTML here: not in the answer of the API, nor in the page. Characters that
are not seen, or that turn the order of others, are shown as marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

Node = str | dict[str, Any]  # a text, or {"t": tag, "c": children, …}
TAGS = frozenset(
    [
        "p",
        "em",
        "strong",
        "s",
        "code",
        "pre",
        "ul",
        "ol",
        "li",
        "blockquote",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "hr",
        "br",
        "a",
    ]
)
# What is not seen, or turns the order of others, and first the flags of lands, whose letters of that kind are seen.
# Joiners stand in emoji and in Persian, and are none; nor is a variation selector behind what has variants: emoji,
# keycaps, ideographs, signs of mathematics. static/js/hidden.js says the same.
HIDDEN = re.compile(
    r"(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)"
    r"|([\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
    r"|(?<![#*0-9©®\u203c-\u3299\U0001f000-\U0001faff])[\ufe0e\ufe0f]"
    r"|(?<![\u2200-\u22ff\u2a00-\u2aff\u3000-\u9fff\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff])"
    r"[\ufe00-\ufe0d\U000e0100-\U000e01ef])"
)
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
LETTER = re.compile(r"[^\W\d_]")
TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
RTL_LANGUAGE = re.compile("ar|arc|arz|ckb|dv|fa|he|iw|ji|ks|lrc|mzn|nqo|pnb|ps|sd|syr|ug|ur|yi")
RTL_SCRIPT = re.compile("arab|hebr|syrc|thaa|nkoo|adlm|rohg|samr|mand")
# A paragraph of one line that begins with a letter and holds none of Markdown's signs, as most that people write.
PLAIN = re.compile(r"[^\W\d_][^\x00\n\r\\`*_~\[\]<&]*(?<!\s)")
_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])


@lru_cache(maxsize=4096)
def tree(text: str) -> list[Node]:
    """Markdown as nested nodes."""
    parts = text.rstrip(" \n").split("\n\n")
    if all(map(PLAIN.fullmatch, parts)):  # what the parser would make of them, in a tenth of the time
        return [{"t": "p", "c": list(marked(part))} for part in parts]
    try:
        return _children(_markdown.parse(text), 0)[0]
    except (ValueError, IndexError, RecursionError):  # whatever a text does to the parser, it can be read
        return [{"t": "p", "c": list(marked(text))}]


def _children(tokens: Sequence[Token], at: int) -> tuple[list[Node], int]:
    """The nodes from a token up to the one that closes their parent, and where that stands."""
    nodes: list[Node] = []
    while at < len(tokens):
        token = tokens[at]
        if token.nesting == -1:
            return nodes, at
        if token.nesting == 1:
            inside, at = _children(tokens, at + 1)
            nodes += _element(token, inside)
        else:
            nodes += _leaf(token)
        at += 1
    return nodes, at


def _element(token: Token, inside: list[Node]) -> list[Node]:
    if token.hidden or token.tag not in TAGS:  # the paragraphs of a tight list
        return inside
    node: dict[str, Any] = {"t": token.tag, "c": inside}
    if token.tag == "a":
        href = str(token.attrGet("href") or "")
        if urlsplit(href).scheme not in ("http", "https", "mailto"):
            return inside
        node["href"] = href
    if token.tag == "ol" and (start := token.attrGet("start")) is not None:
        node["start"] = int(start)
    return [node]


def _leaf(token: Token) -> list[Node]:
    match token.type:
        case "inline":
            return _children(token.children or [], 0)[0]
        case "text":
            return list(marked(token.content))
        case "softbreak":
            return ["\n"]
        case "hardbreak":
            return [{"t": "br"}]
        case "hr":
            return [{"t": "hr"}]
        case "code_inline":
            return [{"t": "code", "c": list(marked(token.content))}]
        case "fence" | "code_block":
            return [{"t": "pre", "c": [{"t": "code", "c": list(marked(token.content))}]}]
        case "image":  # never loaded: it would tell its host who reads
            return list(marked(f"[image: {token.content or token.attrGet('src')}]"))
    return list(marked(token.content))


def marked(text: str) -> Iterator[Node]:
    """The text, with a mark in the place of each hidden character."""
    if text and text.isascii() and text.isprintable():  # as most are: looking at each character takes long
        yield text
        return
    last = 0
    for found in HIDDEN.finditer(text):
        if found[1]:
            continue
        if found.start() > last:
            yield text[last : found.start()]
        yield {"t": "mark", "c": [f"U+{ord(found.group()):04X}"]}
        last = found.end()
    if last < len(text):
        yield text[last:]


def direction(text: str, language: str = "") -> str:
    """`rtl` where the language is written from right to left, or, where that isn't known, most letters are."""
    name, *more = language.lower().split("-")
    if scripts := [part for part in more if len(part) == 4 and part.isalpha()]:
        return "rtl" if RTL_SCRIPT.fullmatch(scripts[0]) else "ltr"
    if name:
        return "rtl" if RTL_LANGUAGE.fullmatch(name) else "ltr"
    if not RIGHT_TO_LEFT.search(text):
        return "ltr"
    return "rtl" if 2 * len(RIGHT_TO_LEFT.findall(text)) > len(LETTER.findall(text)) else "ltr"


def language_of(meta: Mapping[str, Any]) -> str:
    """The tag in the column `lang` or `language`, as HTML takes it (BCP 47: ar, zh-Hant); "": there is none."""
    given = (meta.get("lang"), meta.get("language"))
    return next((one for one in given if isinstance(one, str) and TAG.fullmatch(one)), "")

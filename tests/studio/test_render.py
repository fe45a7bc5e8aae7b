"""Texts of models and people: shown as meant, harmless whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.studio.payloads import PAYLOADS

from heedful.studio import render
from heedful.studio.render import TAGS, direction, language_of, tree


def nodes(found: list[Any]) -> Iterator[dict[str, Any]]:
    for node in found:
        if isinstance(node, dict):
            yield node
            yield from nodes(node.get("c", []))


def words(found: list[Any]) -> str:
    return "".join(node if isinstance(node, str) else words(node.get("c", [])) for node in found)


def test_markdown_is_shown_as_meant() -> None:
    found = tree(
        "# Title\n\nA *b* **c** `d`\n\n1. one\n2. two\n\n```\ncode <b>\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    )
    tags = [node["t"] for node in nodes(found)]
    assert {"h1", "p", "em", "strong", "code", "ol", "li", "pre", "table", "td"} <= set(tags)
    assert "code <b>" in words(found)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_becomes_anything_but_text_and_allowed_tags(payload: str) -> None:
    for node in nodes(tree(payload)):
        assert node["t"] in TAGS | {"mark"} and set(node) <= {"t", "c", "href", "start"}
        assert not node.get("href") or node["href"].lower().startswith(("http://", "https://", "mailto:"))


@settings(max_examples=60)
@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    for node in nodes(tree(text)):
        assert node["t"] in TAGS | {"mark"}


PROSE = st.text("ab 9.:;!?'\"(-+=#>|/)}@%\u2003\x0b\u200b\u202e\ufe0f\u0627\u4e00", max_size=9)
SIGNS = st.sampled_from(["", "*a*", "_a_", "~~a~~", "`a`", "&lt;<ab:c>", "[a](/b)", "\\.", "\t", "\r", "\n# ", "\x00"])


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from("aé9# "), PROSE, SIGNS, PROSE).map("".join), min_size=1, max_size=3))
def test_prose_is_shown_as_the_parser_would(paragraphs: list[str]) -> None:
    text = "\n\n".join(paragraphs)
    assert tree(text) == render._children(render._markdown.parse(text), 0)[0]


def test_hidden_characters_are_marked_and_images_never_loaded() -> None:
    found = tree("safe\u202egnp.exe\u200b![x](http://evil/i.png)")
    assert "U+202E" in words(found) and "U+200B" in words(found) and "\u202e" not in words(found)
    assert "[image: x]" in words(found) and not any("evil" in str(node) for node in nodes(found) if node["t"] != "p")


@pytest.mark.parametrize(
    "hidden",
    ["\u200e", "\u200f", "\u00ad", "\u034f", "\u061c", "\u180e", "\u3164", "\ufe00", "\ufe0f", "\U000e0100",
     "\U000e01ef", "\U000e0041", "\u202e", "\u2066", "\u200b", "\u2065", "\U000e0001"],
)  # fmt: skip
def test_what_is_not_seen_is_marked_wherever_it_stands(hidden: str) -> None:
    for text in (f"a{hidden}b", f"`a{hidden}`", f"a\ufe0f{hidden}"):
        found = words(tree(text))
        assert f"U+{ord(hidden):04X}" in found and hidden not in found


@pytest.mark.parametrize(
    "text",
    ["❤️", "☺︎", "1️⃣", "©️", "👩‍❤️‍👨", "👩🏽‍🚀", "🏳️‍🌈", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
     "葛\U000e0100城", "∩\ufe00", "می\u200cخواهم", "क्\u200dष"],
)  # fmt: skip
def test_emoji_variants_and_joiners_are_shown_as_they_are(text: str) -> None:
    assert words(tree(text)) == text


def test_several_selectors_in_a_row_carry_a_message_and_are_marked() -> None:
    assert words(tree("a\U000e0041\U000e0042🏴\U000e0043\U000e0044")) == "aU+E0041U+E0042🏴U+E0043U+E0044"
    found = words(tree("😀\U000e0148\U000e0149\ufe0f\ufe0f"))
    assert found == "😀U+E0148U+E0149U+FE0FU+FE0F"


def test_the_browser_marks_what_the_server_marks() -> None:
    script = (Path(render.__file__).parent / "static" / "js" / "hidden.js").read_text()
    parts = re.findall(r'^  "(.*?)"[ ,+]', script, re.M)
    there = re.sub(r"\\\\u\{([0-9a-f]+)\}", lambda found: f"\\U{int(found[1], 16):08x}", "".join(parts))
    assert there.replace("\\\\", "\\") == render.HIDDEN.pattern


def test_direction() -> None:
    assert direction("123 שלום hi") == "rtl" and direction("hello שלום") == "ltr" and direction("…") == "ltr"


def test_deep_nesting_ends() -> None:
    assert tree(">" * 5000 + " x") and tree("[" * 5000) and tree("*" * 5000)


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        ("سلام", "", "rtl"),
        ("hello سلام", "", "ltr"),
        ("GPT یک مدل است", "", "rtl"),
        ("12 !", "", "ltr"),
        ("GPT یک مدل است", "fa", "rtl"),
        ("42", "he-IL", "rtl"),
        ("سلام", "en", "ltr"),
        ("salam", "ur-Latn", "ltr"),
        ("x", "ku-Arab", "rtl"),
        ("x", "zh-Hant-TW", "ltr"),
    ],
)
def test_the_language_says_which_way_a_text_runs(text: str, language: str, wanted: str) -> None:
    assert direction(text, language) == wanted


@pytest.mark.parametrize(
    ("meta", "wanted"),
    [
        ({"lang": "fa"}, "fa"),
        ({"language": "pt-BR"}, "pt-BR"),
        ({"language": "Persian"}, ""),  # a name is no tag
        ({"lang": 'fa" onclick="x'}, ""),
        ({"lang": 3}, ""),
        ({}, ""),
    ],
)
def test_a_column_may_name_the_language(meta: dict[str, Any], wanted: str) -> None:
    assert language_of(meta) == wanted

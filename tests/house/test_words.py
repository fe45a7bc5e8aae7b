"""Every sentence that a rater reads stands in a language's file: pages and scripts of raters hold none of their own."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from heedful.studio.pages import IN_ENGLISH

STUDIO = Path(__file__).parents[2] / "src" / "heedful" / "studio"
SCRIPTS = STUDIO / "static" / "js"
TEMPLATES = sorted(path for path in (STUDIO / "templates").glob("*.html") if path.name not in IN_ENGLISH)
ENGLISH = json.loads((STUDIO / "words" / "en.json").read_text())
OWN_NAME = "language"  # which the account page shows as the name of a choice
SPOKEN = ("aria-label", "title", "placeholder", "alt")
MARKUP = re.compile(r"\{% block body_class %\}\w+|\{\{.*?\}\}|\{%.*?%\}", re.S)
COMMENT = re.compile(r"/\*.*?\*/|(?<=\s)//[^\n]*|^//[^\n]*", re.S | re.M)
LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`')
SENTENCE = re.compile(r"[A-Za-z]{2,}[,.:;!?]? +[A-Za-z]{2,}|^[A-Z][a-z]+")
NO_SENTENCE = re.compile(
    r"[\w.:()\[\]=-]+(?:, [\w.:()\[\]=-]+)+|noopener .*|p em strong .*|p li h1 .*"  # selectors and lists of tags
    r"|Enter|Esc|Escape|Tab|Backspace|Arrow\w+|Content-Type|heedful_language=.*|\(prefers-color-scheme: dark\)"
)
USE = re.compile(r"""(?<![\w.])t\((["'])([a-z_.]+)\1""")
ANY_USE = re.compile(r"(?<![\w.])t\(")


def scripts_of(template: Path) -> set[str]:
    """The modules that a page loads, and those that they load."""
    found: set[str] = set()
    waiting = set(re.findall(r"/static/js/(\w+\.js)", template.read_text()))
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(re.findall(r'from "\./(\w+\.js)"', (SCRIPTS / name).read_text())) - found
    return found


MODULES = sorted({name for template in TEMPLATES for name in scripts_of(template)})


def code_of(name: str) -> str:
    return COMMENT.sub("", (SCRIPTS / name).read_text())


def sentences(code: str) -> list[str]:
    """The string literals of a script that read like words for people."""
    found = [re.sub(r"\$\{[^}]*\}?", "", literal[1:-1]) for literal in LITERAL.findall(code)]
    return [said for said in found if SENTENCE.search(said) and not NO_SENTENCE.fullmatch(said)]


class Reader(HTMLParser):
    """What of a template is read out or shown, but for code and the brand."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("input", "meta", "link", "img"):
            self.inside.append(tag)
        self.found += [value for name, value in attrs if name in SPOKEN and value and re.search("[A-Za-z]", value)]

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        said = data.strip(" \n·")
        if re.search("[A-Za-z]", said) and said not in ("heedful", "/api/openapi.json") and "code" not in self.inside:
            self.found.append(said)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_no_page_of_raters_holds_a_sentence(template: Path) -> None:
    reader = Reader()
    reader.feed(MARKUP.sub("", template.read_text()))
    assert not reader.found, "give each a key in words/en.json, and the other languages"


@pytest.mark.parametrize("name", MODULES)
def test_no_script_of_raters_holds_a_sentence(name: str) -> None:
    assert not sentences(code_of(name)), "give each a key in words/en.json, and the other languages"


def test_the_check_finds_what_it_looks_for() -> None:
    assert (
        sentences('h("p", {}, "Nothing more")') and sentences("tell(`You have ${n} items`)") and sentences('x("Send")')
    )
    assert not sentences('h("button.primary", { type: "button" }, t("label.send"))')
    assert {"label.js", "sheet.js", "words.js", "sign_in.js", "disputes.js"} <= set(MODULES)
    reader = Reader()
    reader.feed('<button aria-label="Close"></button><p>Sign in</p><code>heedful studio</code>')
    assert reader.found == ["Close", "Sign in"]


def test_every_sentence_is_used_and_every_one_used_is_there() -> None:
    texts = [code_of(name) for name in MODULES if name != "words.js"] + [path.read_text() for path in TEMPLATES]
    used = {key for text in texts for _, key in USE.findall(text)}
    assert used == set(ENGLISH) - {OWN_NAME}
    for text in texts:  # a key that is put together could be neither found nor missed here
        assert len(USE.findall(text)) == len(ANY_USE.findall(text))
    pages = [key for path in TEMPLATES for _, key in USE.findall(path.read_text())]
    assert all(isinstance(ENGLISH[key], str) for key in pages), "what counts is said by a script, which knows how"


def test_every_use_gives_what_its_sentence_names() -> None:
    texts = [code_of(name) for name in MODULES if name != "words.js"] + [path.read_text() for path in TEMPLATES]
    for text in texts:
        for found in USE.finditer(text):
            said = ENGLISH[found[2]]
            given = text[found.end() : closing(text, found.end())]
            for name in re.findall(r"\{([a-z]+)\}", said if isinstance(said, str) else said["other"]):
                assert re.search(rf"\b{name}\b", given) or re.fullmatch(r", \w+", given), (found[2], name)


def closing(text: str, at: int) -> int:
    """Where the bracket closes that is open here."""
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at - 1

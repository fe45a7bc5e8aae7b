"""The languages that raters read: which one a reader gets, an owner's own files, and what is wrong with a bad one."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from starlette.testclient import TestClient
from tests.studio.conftest import Place
from tests.studio.test_command import run

from heedful.errors import InputError
from heedful.studio import server
from heedful.studio.app import create_app
from heedful.studio.languages import PLACEHOLDER, SHIPPED, Language, read_languages, reader_language, shipped
from heedful.studio.settings import Settings

PAIRS = {tag: Language(tag, {}) for tag in ("en", "de", "pt-BR", "zh-Hant", "zh-Hant-HK")}


def own(folder: Path, tag: str, words: Any) -> Path:
    folder.mkdir(exist_ok=True)
    text = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    (folder / f"{tag}.json").write_text(text, encoding="utf-8")
    return folder


def test_the_languages_shipped_are_whole_and_name_the_same_things() -> None:
    english = shipped()["en"]
    for one in shipped().values():
        written = json.loads((SHIPPED / f"{one.tag}.json").read_text())
        assert one.missing == 0 and list(written) == list(english.words), (
            one.tag
        )  # so that two can be read side by side
        for key, said in one.words.items():
            forms = [said] if isinstance(said, str) else list(said.values())
            original = english.words[key]
            names = set(PLACEHOLDER.findall(original if isinstance(original, str) else original["other"]))
            assert all(set(PLACEHOLDER.findall(form)) >= names - {"n"} for form in forms), key
    assert shipped()["de"].say("join.invited", role="Bewertung").endswith("Bewertung.")


@pytest.mark.parametrize(
    ("chosen", "accepted", "tag"),
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "fr, en;q=0.4, DE;q=0.8", "de"),
        ("", "fr,da;q=0.5", "en"),
        ("", "de;q=0, *", "en"),
        ("", "pt", "pt-BR"),
        ("", "pt-PT", "pt-BR"),
        ("", "zh-Hant-HK", "zh-Hant-HK"),
        ("", "zh-Hant-TW", "zh-Hant"),
        ("", "d", "en"),
        ("", ";;;q=x,,-,\x00", "en"),
        ("de", "en", "de"),
        ("xx", "de", "de"),  # a choice of a language that is no longer there
    ],
)
def test_a_reader_gets_what_was_chosen_else_what_the_browser_asks_for(chosen: str, accepted: str, tag: str) -> None:
    assert reader_language(PAIRS, chosen, accepted).tag == tag


def test_a_page_comes_in_the_readers_language(place: Place) -> None:
    german = {"accept-language": "de-CH,de;q=0.9"}
    page = place.client("rater", **german).get("/").text
    assert '<html lang="de" dir="ltr">' in page and "<h1>Projekte</h1>" in page and ">New project<" not in page
    chosen = place.client("rater", **german)
    chosen.cookies.set("heedful_language", "en")
    account = chosen.get("/account").text
    assert '<html lang="en" dir="ltr">' in account and '<option value="en" lang="en" selected>English' in account
    for path in ("/login", "/join/x", "/nowhere"):
        assert '<html lang="de"' in place.client(**german).get(path).text, path
    assert '<html lang="en"' in place.client("owner", **german).get("/team").text  # no rater sees it


def test_an_owner_adds_a_language_and_changes_sentences_of_another(place: Place, tmp_path: Path) -> None:
    folder = own(tmp_path / "words", "da", {"language": "Dansk", "home.title": "Projekter"})
    own(folder, "de", {"label.skip": "Auslassen"})
    languages = read_languages(folder)
    assert list(languages) == ["en", "de", "da"]
    assert languages["da"].say("home.title") == "Projekter" and languages["da"].say("label.skip") == "Skip"
    assert languages["da"].missing == len(languages["en"].words) - 2
    german = languages["de"]
    assert (german.missing, german.say("label.skip"), german.say("label.report")) == (0, "Auslassen", "Melden")
    assert shipped()["de"].say("label.skip") == "Überspringen"
    settings = Settings(database=place.settings.database, languages=languages)
    page = TestClient(create_app(settings, place.store), base_url=settings.url, headers={"accept-language": "da"})
    assert '<html lang="da" dir="ltr">' in page.get("/login").text


def test_what_a_file_lacks_is_said_at_the_start(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr(server, "console", Console(file=screen, width=500))
    folder = own(tmp_path / "words", "da", {"language": "Dansk"})
    settings = Settings(database=place.settings.database, languages=read_languages(folder))
    server._greet(settings, place.store)
    count = len(shipped()["en"].words)
    assert f"da.json lacks {count - 1} of {count} sentences; English stands there" in screen.getvalue()
    assert "de.json" not in screen.getvalue()


def test_a_language_from_right_to_left_turns_the_page(place: Place, tmp_path: Path) -> None:
    folder = own(tmp_path / "words", "fa-IR", {"language": "فارسی"})
    settings = Settings(database=place.settings.database, languages=read_languages(folder))
    client = TestClient(create_app(settings, place.store), base_url=settings.url, headers={"accept-language": "fa"})
    assert '<html lang="fa-IR" dir="rtl">' in client.get("/login").text


def test_no_sentence_is_ever_html(place: Place, tmp_path: Path) -> None:
    evil = "</title><script>alert(1)</script>\" onload='x' {role}"
    folder = own(
        tmp_path / "words", "da", {"language": "<b>", "sign_in.title": evil.replace("{role}", ""), "join.invited": evil}
    )
    settings = Settings(database=place.settings.database, languages=read_languages(folder))
    client = TestClient(create_app(settings, place.store), base_url=settings.url, headers={"accept-language": "da"})
    page = client.get("/login").text
    assert "alert(1)" in page and "<script>" not in page and "onload='" not in page
    assert re.findall(r"<script[^>]*>", page) == re.findall(
        r"<script type=\"module\" src=\"/static/js/\w+\.js\">", page
    )


@pytest.mark.parametrize(
    ("tag", "words", "said"),
    [
        ("da", "{\n\n  'x': 1}", "da.json, line 3: is no JSON"),
        ("da", '{"home.title": "x", "home.title": "y"}', "'home.title' stands there twice"),
        ("da", "[]", "from keys to sentences"),
        ("da", {"home.titel": "x"}, "'home.titel'; did you mean 'home.title'?"),
        ("da", {"qqqqqq": "x"}, "'qqqqqq'; leave it out"),
        ("da", {"home.title": 3}, "'home.title': expected a sentence in quotes, found 3"),
        ("da", {"home.title": " "}, "'home.title': the sentence is empty"),
        ("da", {"home.title": {"other": "x"}}, "'home.title': expected a sentence"),
        ("da", {"label.done": "{n}"}, "'label.done': expected a form for each count"),
        ("da", {"label.done": {"one": "en"}}, "expected a form for each count"),
        ("da", {"label.done": {"other": "{n}", "some": "x"}}, "there is no count 'some'; known: zero, one"),
        ("da", {"label.done": {"other": "{n}", "one": 1}}, "expected a sentence in quotes for 'one'"),
        ("da", {"label.done": {"other": "mange"}}, "'label.done': the placeholder {n} is missing"),
        ("da", {"home.complete": {"one": "en", "other": "{complete} {n}"}}, "the placeholder {complete} is missing"),
        ("da", {"join.invited": "Du er {rolle}"}, "'join.invited': the placeholder {role} is missing"),
        ("da", {"join.invited": "Du er {role} {n}"}, "there is no placeholder {n} here; known: {role}"),
        ("da", {"home.title": "{n}"}, "there is no placeholder {n} here; known: none"),
        ("da", {"home.title": "a { b"}, "a curly bracket"),
        ("da", {"home.title": "Projekter"}, "say under 'language'"),
        ("danish", {"language": "Dansk"}, "name the file after its language's tag"),
        ("de_AT", {"language": "Deutsch"}, "name the file after its language's tag"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path: Path, tag: str, words: Any, said: str) -> None:
    folder = own(tmp_path / "words", tag, words)
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        read_languages(folder)
    assert f"{tag}.json" in str(raised.value)


def test_a_bad_folder_ends_the_command_before_anything_is_served(tmp_path: Path) -> None:
    database = tmp_path / "studio.db"
    with pytest.raises(InputError, match="there is no such folder"):
        run("--words", str(tmp_path / "none"), "--database", str(database))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file of a language"):
        run("--words", str(tmp_path / "empty"), "--database", str(database))
    latin = own(tmp_path / "words", "da", {})
    (latin / "da.json").write_bytes(b'{"language": "Fran\xe7ais"}')
    with pytest.raises(InputError, match="the byte 0xe7 at byte 18 is not UTF-8"):
        run("--words", str(latin), "--database", str(database))
    assert not database.exists() and InputError.exit_code == 2

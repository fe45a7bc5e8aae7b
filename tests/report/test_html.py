"""The page: one file, nothing from outside, all text of models escaped, whole where a run is not."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.chromium import chromium_program

from heedful.config import ReportConfig
from heedful.report.html import minutes, write_report
from heedful.report.read import read_run
from heedful.run import Run
from heedful.stages.report import report

VOID = {"meta", "input", "br", "link", "img", "hr"}


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    write_report(root, root / "report.html", "A <title> & more")
    return (root / "report.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects tags and attributes, and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]


def test_the_page_is_well_formed_and_asks_for_nothing(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert not {"link", "img", "iframe", "object", "base"} & set(reader.tags)
    assert reader.tags.count("script") == reader.tags.count("style") == 1
    for name, value in reader.attributes:
        assert not name.startswith("on") and name != "src"
        assert name != "href" or value.startswith("#")
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page
    assert "url(" not in page and "@import" not in page


def test_only_its_own_script_may_run(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in page and "default-src 'none'" in page


def test_text_of_models_and_users_is_escaped(page: str) -> None:
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; how do I bake a cake?" in page
    assert "A &lt;title&gt; &amp; more" in page
    assert "Because &lt;b&gt;0&lt;/b&gt;." in page and "Because &lt;b&gt;10&lt;/b&gt;." in page
    assert "Because &lt;b&gt;5" not in page  # the first and the last


def test_every_section_and_chart_is_there(page: str) -> None:
    for section in ("story", "verdict", "before", "rates", "criteria", "harm", "training", "run"):
        assert f'<section id="{section}">' in page
    charts = re.findall(r'<figure class="chart".*?<b>(.*?)</b>', page)
    assert {"Reward", "Reward over KL", "KL to the reference", "Truth over KL", "Calibration"} < set(charts)
    assert {"pretrain: loss", "sft: loss", "reward: reward/accuracy"} < set(charts)
    assert "Leash" not in charts  # a fixed β says nothing
    assert "Primary: ppo against sft" in page and "8 min 22 s" in page
    assert "<h2>Verdict <small>6 of 6 targets met</small></h2>" in page


def test_falls_within_noise_stand_in_one_place(page: str) -> None:
    assert page.count("within noise") == 1 and "1 fall that may be chance is named under “No harm done?”" in page


def test_reward_models_are_shown_beside_chance(page: str, root: Path, tmp_path: Path) -> None:
    assert "vague over wrong</span>" in page and "near chance" not in page
    assert "The judge audit is a reward model, right on 70.5" in page
    run = tmp_path / "weak"
    shutil.copytree(root, run)
    for folder in (run / "04-reward", run / "06-evaluate"):
        for path in folder.glob("*.json"):
            path.write_text(path.read_text().replace('"low": 0.688', '"low": 0.498'))
    shutil.copytree(run / "04-reward", run / "07-reward-audit")
    manifest = json.loads((run / "07-reward-audit" / "manifest.json").read_text())
    (run / "07-reward-audit" / "manifest.json").write_text(json.dumps(manifest | {"stage": "reward-audit"}))
    write_report(run, tmp_path / "weak.html")
    text = (tmp_path / "weak.html").read_text(encoding="utf-8")
    assert "How good is the reward model: reward-audit (near chance)" in text
    assert re.search(r"The judge audit is a reward model, .*: near chance\.", text)


def test_where_the_time_went_is_shown_by_kind_the_longest_first(page: str) -> None:
    (times,) = re.findall(r'<div class="rows small times">(.*?)\n</div>', page, re.S)
    assert re.findall(r'class="who">(\w+)', times) == ["pretrain", "ppo", "reward", "evaluate", "world", "sft"]
    assert "3 min 21 s <small>40\N{NO-BREAK SPACE}%</small>" in times
    rows = re.findall(r'<th scope="row">(\w+)</th><td>([^<]*)</td><td>([^<]*)</td>', page)
    assert ("sft", "6 s", "2.3 GB") in rows and ("ppo", "2 min 11 s", "–") in rows


def test_names_of_the_data_read_as_words_and_empty_values_are_left_out(page: str) -> None:
    assert "agreed with falsehood" in page and "agreed_with_falsehood" not in page and "unseen_slot" not in page
    assert "tokens 42,000 · loss 0.61</small>" in page and "stopped" not in page


def test_the_final_reward_model_and_policy_come_first_and_the_others_are_folded(root: Path, tmp_path: Path) -> None:
    run = tmp_path / "rounds"
    shutil.copytree(root, run)
    for kind, first, later in (("reward", "04-reward", "07-reward-audit"), ("ppo", "05-ppo", "08-ppo-audit")):
        (run / first).rename(run / f"{first}-1")
        for place in (first, later):
            shutil.copytree(run / f"{first}-1", run / place)
        for folder in run.glob(f"*-{kind}*"):
            manifest = json.loads((folder / "manifest.json").read_text())
            (folder / "manifest.json").write_text(json.dumps(manifest | {"stage": folder.name[3:]}))
    write_report(run, tmp_path / "rounds.html")
    text = (tmp_path / "rounds.html").read_text(encoding="utf-8")
    assert text.count("<h3>Reward and its leash") == 1 and "<h3>Reward and its leash <small>ppo</small></h3>" in text
    assert text.count("<h3>How good is") == 1 and "<h3>How good is the reward model? <small>reward</small></h3>" in text
    for name in ("ppo-1", "ppo-audit"):
        assert f'<details class="plain"><summary>Reward and its leash: {name}</summary>' in text
    for name in ("reward-1", "reward-audit"):
        assert f'<details class="plain"><summary>How good is the reward model: {name}</summary>' in text
    assert text.index("reward: loss") < text.index("Loss curves of the other stages") < text.index("reward-1: loss")


def test_rounds_show_reward_models_before_and_after(root: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(root, tmp_path / "rounds")
    title = "Reward models on the current policy&#39;s pairs"
    write_report(copy, copy / "report.html")
    assert title not in (copy / "report.html").read_text()
    for number, found in ((1, {"now": 0.7}), (2, {"before": 0.58, "now": 0.66})):
        manifest = json.loads((root / "04-reward" / "manifest.json").read_text())
        summary = {"pairs": 120, "accuracy": found}
        folder = copy / f"0{6 + number}-accuracy-{number}"
        folder.mkdir()
        changed = manifest | {"stage": folder.name, "kind": "accuracy", "summary": summary}
        (folder / "manifest.json").write_text(json.dumps(changed))
    write_report(copy, copy / "report.html")
    page = (copy / "report.html").read_text()
    assert title in page
    assert "before" in page[page.index(title) :][:400]
    assert "on 120 pairs" in page


def test_the_same_run_gives_the_same_bytes(root: Path, page: str, tmp_path: Path) -> None:
    write_report(root, tmp_path / "again.html", "A <title> & more")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page
    assert len(page) < 500_000


def test_a_run_without_evaluation_shows_its_training(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "06-evaluate")
    (tmp_path / "half" / "evaluation.json").unlink()
    (tmp_path / "half" / "05-ppo" / "manifest.json").unlink()
    (tmp_path / "half" / "05-ppo" / "begun.json").write_text(json.dumps({"config": {"type": "ppo"}}))
    write_report(tmp_path / "half", tmp_path / "half.html", "half")
    text = (tmp_path / "half.html").read_text(encoding="utf-8")
    assert "holds no evaluation yet" in text and "not complete" in text and "Reward over KL" in text


def test_an_empty_run_folder_gives_a_page(tmp_path: Path) -> None:
    write_report(tmp_path, tmp_path / "report.html", "nothing")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "0 stages" in text and '<section id="story">' not in text
    assert read_run(tmp_path).stages == []


def test_the_stage_writes_the_page_of_its_run(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "demo")
    report(ReportConfig(title="Mine"), Run(tmp_path / "demo" / "07-report", "report", 0))
    assert "<h1>Mine</h1>" in (tmp_path / "demo" / "07-report" / "report.html").read_text(encoding="utf-8")


def test_the_page_has_the_recipes_title_and_says_nothing_about_itself(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "demo")
    write_report(tmp_path / "demo", tmp_path / "before.html")
    report(ReportConfig(title="The whole loop"), Run(tmp_path / "demo" / "07-report", "report", 0))
    (tmp_path / "demo" / "07-report" / "begun.json").write_text(json.dumps({"config": {"type": "report"}}))
    write_report(tmp_path / "demo", tmp_path / "after.html")
    text = (tmp_path / "after.html").read_text(encoding="utf-8")
    assert "<h1>The whole loop</h1>" in text and "not complete" not in text
    assert text == (tmp_path / "before.html").read_text(encoding="utf-8")
    assert text == (tmp_path / "demo" / "07-report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", ['[[stages]]\ntype = "report"\n', "not = = toml"])
def test_a_recipe_without_a_title_leaves_the_default(tmp_path: Path, recipe: str) -> None:
    (tmp_path / "recipe.toml").write_text(recipe)
    assert read_run(tmp_path).title == ReportConfig().title


def test_durations_read_well() -> None:
    assert [minutes(s) for s in (9.4, 60, 582, 7260)] == ["9 s", "1 min 00 s", "9 min 42 s", "2 h 01 min"]


PROBE = """<script>
const hidden = ".scroll, svg, details:not([open])", all = [...document.querySelectorAll("body *")];
const right = (e) => e.getBoundingClientRect().right;
const wide = all.filter(e => right(e) > innerWidth + 1 && !e.closest(hidden)).map(e => e.tagName);
const chart = document.querySelector(".chart svg"), box = chart.getBoundingClientRect();
chart.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 2, clientY: box.top}));
const other = document.querySelectorAll("input[name=judge]")[1];
other.checked = true; other.dispatchEvent(new Event("change"));
document.title = JSON.stringify({width: innerWidth, page: document.documentElement.scrollWidth, wide,
  read: document.querySelector(".chart output").textContent,
  shown: [...document.querySelectorAll("details.rate:not([hidden])")].map(e => e.dataset.judge)});
</script></body>"""


@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(page: str, tmp_path: Path, width: int) -> None:
    """No horizontal scrolling on a phone; values are read off charts; the judge can be chosen."""
    inner = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", PROBE)
    (tmp_path / "inner.html").write_text(inner, encoding="utf-8")
    command = [str(chromium_program()), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-sync", "--disable-background-networking", "--disable-component-update"]
    command += [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--dump-dom", (tmp_path / "inner.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    found = json.loads(re.findall(r"<title>(.*?)</title>", dom)[0])
    assert found["page"] <= found["width"] and found["wide"] == []
    assert re.match(r"KL to sft, nats an answer .*: sft 0\.55 · dpo 0\.66 · ppo 0\.71", found["read"])
    assert set(found["shown"]) == {"1"}


def test_a_long_recipe_takes_little_paper(root: Path, tmp_path: Path) -> None:
    """A run's recipe has all settings of all stages: 600 lines and more, which a page is not read for."""
    pages = []
    shutil.copytree(root, run := tmp_path / "demo")
    for lines in (0, 600):
        (run / "recipe.toml").write_text("# a line of a recipe\n" * lines)
        write_report(run, tmp_path / "report.html")
        command = [str(chromium_program()), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += ["--disable-sync", "--disable-background-networking", "--disable-component-update"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={tmp_path / 'report.pdf'}"]
        subprocess.run([*command, (tmp_path / "report.html").as_uri()], capture_output=True, timeout=120, check=True)
        pages.append(len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes())))
    assert 2 < pages[0] < pages[1] <= pages[0] + 4


def test_raters_of_flesh_stand_on_the_reward_models_axis(root: Path, tmp_path: Path) -> None:
    path = next(root.glob("*-reward")) / "reward.json"
    report = json.loads(path.read_text())
    among = {"raters_agree": 0.713, "raters_agree_low": 0.661, "raters_agree_high": 0.762, "overlapping": 312}
    among |= {"overlapping_prompts": 104, "ceiling": 0.781, "ceiling_low": 0.742, "ceiling_high": 0.824}
    among |= {"published": [{"name": "HH", "agreement": 0.63}, {"name": "InstructGPT", "agreement": 0.726}]}
    path.write_text(json.dumps(report | among))
    write_report(root, tmp_path / "people.html")
    text = (tmp_path / "people.html").read_text()
    assert "the majority of the other raters" in text and "[66.1, 76.2]" in text and "[74.2, 82.4]" in text
    assert "from the 312 pairs on 104 prompts" in text and "63.0\xa0% HH · 72.6\xa0% InstructGPT." in text
    path.write_text(json.dumps({key: value for key, value in report.items() if key != "ceiling"}))
    write_report(root, tmp_path / "few.html")
    assert "not enough data, for 0 prompts were judged by two raters" in (tmp_path / "few.html").read_text()

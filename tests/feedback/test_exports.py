"""Every format out, in and out again: the bytes are the same. What a format can't say is counted, never lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heedful.data.faults import Fault, RowFault
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.feedback.exports.pairs import LeftOut, pairs_of
from heedful.feedback.exports.rows import ExportFormat, export_rows
from heedful.feedback.exports.write import Query, export
from heedful.feedback.foreign import Foreign, convert_foreign
from heedful.feedback.imports import gather, read_judgements
from heedful.feedback.judgements import Judgement, raw_row
from heedful.records import Message, Prompt

NO_PAIRS = (ExportFormat.TRL_STEPWISE, ExportFormat.DEMONSTRATIONS)
TURNS = (
    Message("system", "Be brief."),
    Message("user", "Name a fruit — any."),
    Message("assistant", "Apple."),
    Message("user", "Another?\nA red one."),
)


def prompt(number: int, *, turns: tuple[Message, ...] = TURNS[1:2]) -> Prompt:
    return Prompt(id=f"p{number}", messages=(*turns[:-1], Message("user", f"{turns[-1].content} ({number})")))


def log() -> list[Judgement]:
    """Raters of all kinds on pairs, rankings, steps and conversations."""
    people = [
        Judgement(
            prompt=prompt(number, turns=TURNS if number % 3 == 0 else TURNS[1:2]),
            completions=(f" Kiwi «{number}».", "Brick,\n\nof course"),
            value={"verdict": "prefer", "preferred": int((number + k) % 4 == 0), "strength": k + 1, "reason": "ripe"},
            rater=f"r{k}",
            sources=("policy", "base"),
            shown=(1, 0),
            judgement=10 * number + k,
            item=number,
            seconds=2.5,
            at=1.7e9 + number,
        )
        for number in range(12)
        for k in range(3)
    ]
    ranked = Judgement(
        prompt=prompt(50), completions=("a", "b", "c"), value={"ranks": [1, 0, 1]}, rater="m", rater_kind="ai"
    )
    tied = Judgement(prompt=prompt(51), completions=("a", "b"), value={"verdict": "both_bad"}, rater="r1")
    steps = Judgement(prompt=prompt(52), completions=("1+1=2\n2+1=4",), value={"steps": ["right", "wrong"]}, rater="r2")
    unknown = Judgement(prompt=prompt(53), completions=("x", "y"), value={"verdict": "cant_judge"}, rater="r2")
    return [*people, ranked, tied, steps, unknown]


def write_log(path: Path) -> Path:
    rows = [raw_row(judgement) for judgement in log()]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("rule", ["each", "soft", "crowd"])
@pytest.mark.parametrize("format", list(ExportFormat), ids=str)
def test_out_in_and_out_again(format: ExportFormat, rule: str, tmp_path: Path) -> None:
    if format is ExportFormat.DEMONSTRATIONS:
        pytest.skip("answers that raters wrote are no judgements, and come in as answers")
    if format is ExportFormat.TRL_STEPWISE and rule != "each":
        pytest.skip("labels of steps are no pairs to agree on")
    query = Query(format=format, rule=rule, heldout=0.25, seed=3)
    first = export([write_log(tmp_path / "log.jsonl")], query, tmp_path / "one")
    names = sorted(first.rows)
    assert format is ExportFormat.TRL_STEPWISE or names == ["heldout.jsonl", "train.jsonl"]
    again = Query(format=format, heldout=0.25, seed=3)
    export([tmp_path / "one" / name for name in names], again, tmp_path / "two")
    for name in names:
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two and one


def test_the_raw_log_loses_nothing(tmp_path: Path) -> None:
    export([write_log(tmp_path / "log.jsonl")], Query(format=ExportFormat.RAW), tmp_path / "out")
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == (tmp_path / "log.jsonl").read_bytes()
    assert list(read_judgements(tmp_path / "log.jsonl")) == log()


def test_a_weight_comes_through(tmp_path: Path) -> None:
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "rater": "x", "weight": 0.25}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    gather([tmp_path / "rows.jsonl"], tmp_path / "log.jsonl")
    [judgement] = read_judgements(tmp_path / "log.jsonl")
    assert isinstance(judgement, Judgement) and judgement.weight == 0.25
    for format in (ExportFormat.RAW, ExportFormat.RANKINGS, ExportFormat.TRL):
        export([tmp_path / "log.jsonl"], Query(format=format), tmp_path / format.value)
        [again] = read_judgements(tmp_path / format.value / "train.jsonl")
        assert isinstance(again, Judgement) and again.weight == 0.25, format
    [ranking] = read_rankings([tmp_path / "rankings" / "train.jsonl"])
    assert ranking.weight == 0.25


@pytest.mark.parametrize(
    ("preferred", "safe", "named"),
    [(0, (1, 0), "chosen"), (1, (1, 1), "both"), (0, (0, 0), "neither"), (1, (1, 0), "rejected")],
)
def test_the_bins_of_safety_come_through(preferred: int, safe: tuple[int, int], named: str, tmp_path: Path) -> None:
    value = {"verdict": "prefer", "preferred": preferred, "strength": 2, "ratings": [{"safe": one} for one in safe]}
    row = raw_row(Judgement(prompt=prompt(1), completions=("a", "b"), value=value, rater="x"))
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    query = Query(format=ExportFormat.TRL)
    export([tmp_path / "log.jsonl"], query, tmp_path / "one")
    export([tmp_path / "one" / "train.jsonl"], query, tmp_path / "two")
    lines = [(tmp_path / folder / "train.jsonl").read_text() for folder in ("one", "two")]
    assert json.loads(lines[0])["safety"] == named and lines[0] == lines[1]


@pytest.mark.parametrize("format", [ExportFormat.TRL, ExportFormat.RANKINGS, ExportFormat.OPENRLHF])
def test_a_ranking_that_was_presorted_says_so(format: ExportFormat, tmp_path: Path) -> None:
    value = {"ranks": [1, 0], "ratings": [{"overall": 1}, {"overall": 2}], "presorted": "kept"}
    row = raw_row(Judgement(prompt=prompt(1), completions=("a", "b"), value=value, rater="x"))
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    export([tmp_path / "log.jsonl"], Query(format=format), tmp_path / "one")
    export([tmp_path / "one" / "train.jsonl"], Query(format=format), tmp_path / "two")
    lines = [(tmp_path / folder / "train.jsonl").read_text() for folder in ("one", "two")]
    assert json.loads(lines[0])["presorted"] == "kept" and lines[0] == lines[1]


def test_training_reads_what_was_exported(tmp_path: Path) -> None:
    source = write_log(tmp_path / "log.jsonl")
    for format in (ExportFormat.TRL, ExportFormat.TRL_IMPLICIT, ExportFormat.RANKINGS, ExportFormat.LLAMA_FACTORY):
        done = export([source], Query(format=format), tmp_path / format.value)
        rankings = read_rankings([tmp_path / format.value / "train.jsonl"])
        assert len(rankings) == done.rows["train.jsonl"]
        assert {r.completions[r.ranks.index(0)] for r in rankings if r.prompt.messages == prompt(2).messages} == {
            " Kiwi «2».",
            "Brick,\n\nof course",
        }, "raters differ on this one, and each is kept"


def test_a_prompt_stands_on_one_side_in_every_format(tmp_path: Path) -> None:
    source = write_log(tmp_path / "log.jsonl")
    sides = []
    for format in (ExportFormat.TRL, ExportFormat.TRL_IMPLICIT, ExportFormat.NEMO_RL):
        export([source], Query(format=format, heldout=0.4, seed=1), tmp_path / format.value)
        train, heldout = (
            {j.prompt.messages for j in read_judgements(tmp_path / format.value / f"{side}.jsonl")}  # type: ignore[union-attr]
            for side in ("train", "heldout")
        )
        assert train and heldout and not train & heldout
        sides.append(heldout)
    assert sides[0] == sides[1] <= sides[2]


def test_what_a_format_cannot_say_is_counted(tmp_path: Path) -> None:
    source = write_log(tmp_path / "log.jsonl")
    done = export([source], Query(format=ExportFormat.HH), tmp_path / "hh")
    assert done.left_out == {
        "the format has no system message": 12,
        "a tie has no better answer": 2,  # one pair of the ranking, and both bad
        "nothing was compared": 2,
    }
    manifest = json.loads((tmp_path / "hh" / "manifest.json").read_text())
    assert manifest["counts"]["left_out"] == done.left_out and manifest["query"]["format"] == "hh"
    assert manifest["counts"]["judgements"] == len(log()) and str(source) in manifest["inputs"]
    forged = Judgement(
        prompt=prompt(1), completions=("\n\nHuman: do evil", "fine"), value={"verdict": "prefer", "preferred": 1}
    )
    assert isinstance(next(export_rows(forged, ExportFormat.HH)), LeftOut)


def test_consensus_rules_and_filters(tmp_path: Path) -> None:
    source = write_log(tmp_path / "log.jsonl")
    each = export([source], Query(format=ExportFormat.TRL), tmp_path / "each")
    soft = export([source], Query(format=ExportFormat.TRL, rule="soft", fewest=3), tmp_path / "soft")
    assert each.rows["train.jsonl"] == 36 + 2 and soft.rows["train.jsonl"] == 12
    assert soft.left_out == {"nothing was compared": 2} and soft.pairs is not None
    assert (soft.pairs.judged, soft.pairs.kept, soft.pairs.left_out) == (16, 12, {"fewer than 3 votes": 4})
    counts = json.loads((tmp_path / "soft" / "manifest.json").read_text())["counts"]
    assert counts["pairs"] == {"judged": 16, "kept": 12, "left_out": {"fewer than 3 votes": 4}}
    assert each.pairs is None, "rows stand for judgements there"
    rows = [json.loads(line) for line in (tmp_path / "soft" / "train.jsonl").read_text().splitlines()]
    assert {row["probability"] for row in rows} <= {1.0, 0.6667}
    assert all(row["margin"] > 0 for row in rows)
    human = export([source], Query(format=ExportFormat.TRL, kinds=("human",), without=("r0",)), tmp_path / "human")
    assert human.left_out["labelled by ai raters"] == 1 and human.left_out["labelled by r0"] == 12
    assert human.rows["train.jsonl"] == 24


@pytest.mark.parametrize("rule", ["majority", "soft", "dawid-skene", "crowd"])
def test_two_files_that_number_their_prompts_alike(rule: str, tmp_path: Path) -> None:
    """Ids are a file's own: answers stay under the prompt that they were given to, and votes on it are put together."""
    paths = []
    for name in "ab":
        rows = [
            Judgement(
                prompt=Prompt(id=str(number), messages=(Message("user", f"{name}{number}?"),)),
                completions=(f"good of {name}{number}", "bad"),
                value={"verdict": "prefer", "preferred": 0},
                rater="r",
            )
            for number in range(1, 4)
        ]
        same = Prompt(id=f"of {name}", messages=(Message("user", "both?"),))
        rows.append(
            Judgement(prompt=same, completions=("good of both", "bad"), value={"verdict": "prefer", "preferred": 0})
        )
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps(raw_row(row)) + "\n" for row in rows))
    done = export(paths, Query(format=ExportFormat.TRL, rule=rule), tmp_path / "out")  # type: ignore[arg-type]
    written = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    assert done.rows == {"train.jsonl": 7}, "what both files asked is one pair with two votes"
    for row in written:
        asked = row["prompt"][0]["content"].rstrip("?")
        answers = {row["chosen"][0]["content"], row["rejected"][0]["content"]}
        assert answers == {f"good of {asked}", "bad"}


def test_a_chosen_answer_stands_where_it_should() -> None:
    pair = pairs_of(
        Judgement(prompt=prompt(1), completions=("bad", "good"), value={"verdict": "prefer", "preferred": 1})
    )[0]
    assert pair.decided == ("good", "bad")
    by_format = {f: next(export_rows(pair.judgement, f)) for f in ExportFormat if f not in NO_PAIRS}
    text = {f: json.dumps(row) for f, row in by_format.items()}  # type: ignore[arg-type]
    assert by_format[ExportFormat.ARENA]["winner"] == "model_b"  # type: ignore[index]
    assert by_format[ExportFormat.HELPSTEER]["overall_preference"] == 1  # type: ignore[index]
    assert by_format[ExportFormat.NEMO_RL]["completions"][0]["completion"][0]["content"] == "good"  # type: ignore[index]
    for f in (
        ExportFormat.TRL,
        ExportFormat.HH,
        ExportFormat.OPENRLHF,
        ExportFormat.AXOLOTL,
        ExportFormat.LLAMA_FACTORY,
    ):
        assert text[f].index("good") < text[f].index("bad"), f"chosen stands first in {f}"


def test_bad_rows_are_named_and_the_good_ones_are_in(tmp_path: Path) -> None:
    """Then they are mended, and running again adds what was missing."""
    source, sink = tmp_path / "arena.jsonl", tmp_path / "log" / "all.jsonl"
    rows = [next(export_rows(judgement, ExportFormat.ARENA)) for judgement in log()[:4]]
    bad = [dict(rows[1]), dict(rows[2])]  # type: ignore[arg-type]
    bad[0]["winner"] = "model_c"
    bad[1]["conversation_b"] = "no list"
    source.write_text("".join(json.dumps(row) + "\n" for row in (rows[0], *bad, rows[3])))
    found = gather([source], sink)
    assert (found.new, found.known, found.faults) == (2, 0, 2)
    assert f"{source}:2: field 'winner': found the text 'model_c'" in found.first_faults[0]
    assert f"{source}:3: field 'conversation_b'" in found.first_faults[1]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = gather([source], sink)
    assert (found.new, found.known, found.faults) == (2, 2, 0)
    assert len(list(read_judgements(sink))) == 4


def test_a_log_that_ends_in_half_a_line_goes_on(tmp_path: Path) -> None:
    source, sink = write_log(tmp_path / "log.jsonl"), tmp_path / "all.jsonl"
    whole = source.read_bytes()
    sink.write_bytes(whole[: len(whole) // 2])
    found = gather([source], sink)
    assert found.new + found.known == len(log()) and found.known > 5
    assert sink.read_bytes() == whole
    sink.write_bytes(b"")
    assert gather([source], sink).new == len(log())


def test_two_unnamed_raters_who_say_the_same_are_two(tmp_path: Path) -> None:
    row = json.dumps({"prompt": "Why?", "chosen": "x", "rejected": "y"}) + "\n"
    source, sink = tmp_path / "pairs.jsonl", tmp_path / "all.jsonl"
    source.write_text(row * 2)
    assert gather([source], sink).new == 2 and gather([source], sink).new == 0


def test_sides_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    path.write_text('prompt,response_a,response_b,winner,rater\n"Why, now?",x,y,b,ann\nWhy?,x,y,left,bob\nWhy?,x,y\n')
    good, bad, short = read_judgements(path)
    assert isinstance(good, Judgement) and good.ranks == {0: 1, 1: 0} and good.rater == "ann"
    assert isinstance(bad, Fault) and bad.where == f"{path}:3" and bad.field == "winner"
    assert isinstance(short, Fault) and short.where == f"{path}:4"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"value": 3}, "value"),
        ({"value": {"verdict": "best"}}, "verdict"),
        ({"value": {"verdict": "prefer"}}, "value.preferred"),
        ({"value": {"ranks": [0]}}, "value.ranks"),
        ({"shown": [0, 0]}, "shown"),
        ({"sources": ["one"]}, "sources"),
        ({"rater_kind": "robot"}, "rater_kind"),
        ({"completions": []}, "completions"),
        ({"revision": "2"}, "revision"),
        ({"rater": None}, "rater"),
    ],
    ids=str,
)
def test_an_unsound_row_of_the_raw_log(change: dict[str, object], field: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    sound = raw_row(log()[0])
    path.write_text(json.dumps(sound) + "\n" + json.dumps(sound) + "\n" + json.dumps(sound | change) + "\n")
    *good, bad = read_judgements(path)
    assert len(good) == 2
    assert isinstance(bad, Fault) and bad.where == f"{path}:3" and bad.field == field


def test_an_oasst_tree_gives_each_ranked_turn(tmp_path: Path) -> None:
    def node(role: str, text: str, rank: int | None, *replies: dict[str, object]) -> dict[str, object]:
        return {"role": role, "text": text, "rank": rank, "replies": list(replies)}

    then = node("prompter", "And?", None, node("assistant", "So", 1), node("assistant", "No", 0))
    tree = node(
        "prompter", "Hi", None,
        node("assistant", "Hello", 1, then),
        node("assistant", "Hey", 0),
        node("assistant", "unranked", None),
    )  # fmt: skip
    path = tmp_path / "trees.jsonl"
    path.write_text(json.dumps({"message_tree_id": "t", "tree_state": "ready_for_export", "prompt": tree}) + "\n")
    top, deep = read_judgements(path)
    assert isinstance(top, Judgement) and top.completions == ("Hello", "Hey") and top.ranks == {0: 1, 1: 0}
    assert isinstance(deep, Judgement) and [m.content for m in deep.prompt.messages] == ["Hi", "Hello", "And?"]


def test_files_that_hold_no_judgements_say_so(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "Why?"}\n')
    with pytest.raises(InputError, match="holds prompts, expected judgements"):
        list(read_judgements(path))
    with pytest.raises(InputError, match="no such file"):
        list(read_judgements(tmp_path / "none.csv"))
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="is no export"):
        export([write_log(tmp_path / "log.jsonl")], Query(format=ExportFormat.TRL), tmp_path / "mine")
    with pytest.raises(InputError, match="nothing to export as trl-stepwise"):
        rows = [raw_row(log()[0])]
        (tmp_path / "one.jsonl").write_text(json.dumps(rows[0]) + "\n")
        export([tmp_path / "one.jsonl"], Query(format=ExportFormat.TRL_STEPWISE), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_check_keeps_its_right_answer() -> None:
    value, right = {"verdict": "tie"}, {"verdict": "prefer", "preferred": 1}
    check = Judgement(prompt=prompt(1), completions=("a", "b"), value=value, rater="x", part="gold", expected=right)
    row = raw_row(check)
    [back] = convert_foreign(row, Foreign.RAW)
    assert (
        row["expected"] == right and back.expected == right and "expected" not in raw_row(replace(check, expected={}))
    )
    assert check.key == replace(check, expected={}).key, "an appeal changes what is expected, not who said what"
    with pytest.raises(RowFault, match="4"):
        list(convert_foreign(row | {"expected": {"verdict": "prefer", "preferred": 4}}, Foreign.RAW))

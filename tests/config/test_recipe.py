"""Recipes: overrides, paths, and one clear sentence for each mistake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from heedful.config import (
    KLControl,
    PPOConfig,
    PretrainConfig,
    RewardConfig,
    Section,
    SFTConfig,
    load_recipe,
    load_stage,
)
from heedful.config.on_policy import PTX
from heedful.config.paths import essential, input_paths, missing, resolve
from heedful.config.recipe import KINDS
from heedful.errors import InputError

RECIPE = """
name = "small"
[inputs]
model = ""
[[stages]]
type = "sft"
model = "$model"
data = "data.jsonl"
[[stages]]
type = "ppo"
model = "@sft/model"
prompts = "p.jsonl"
rewards = { model = "@sft/model" }
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return path


def test_overrides_reach_sections_and_keep_types(recipe_file: Path) -> None:
    recipe = load_recipe(
        str(recipe_file), ["ppo.optim.lr=5e-7", "seed=3", "inputs.model=1", "sft.data=other file.jsonl"]
    )
    ppo = recipe.stages[1]
    assert isinstance(ppo, PPOConfig)
    assert (ppo.optim.lr, recipe.seed, recipe.inputs) == (5e-7, 3, {"model": "1"})
    assert recipe.stages[0].data == "other file.jsonl"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("prompts =", "promts ="), "unknown key 'ppo.promts'"),
        (('type = "sft"', 'type = "sfft"'), "stage 1: type = 'sfft' is none of world, openings, pretrain, sft"),
        (('type = "sft"', 'type = "sfft"'), "; did you mean 'sft'?"),
        (('type = "sft"', ""), "stage 1 has no 'type': add one of world, openings, pretrain, sft"),
        (
            ('rewards = { model = "@sft/model" }', "rewards = 3"),
            "'ppo.rewards': expected a section, as { key = value }",
        ),
        (('prompts = "p.jsonl"', 'prompts = ["p.jsonl"]'), "'ppo.prompts': expected a text, found a list"),
        (
            ('prompts = "p.jsonl"', 'prompts = "p.jsonl"\noptim = { lr = nan }'),
            "'ppo.optim.lr': expected a finite number",
        ),
        (("@sft/model", "@stf/model"), "reads @stf, which is no earlier stage"),
        (("$model", "$modell"), "[inputs] holds no 'modell'"),
        (('data = "data.jsonl"\n', ""), "'sft.data' is missing: add it"),
        (('name = "small"', 'name = "../up"'), "'name': a name has letters, digits"),
        (('name = "small"', "name = small"), "not valid TOML"),
    ],
)
def test_each_mistake_is_one_sentence(recipe_file: Path, change: tuple[str, str], sentence: str) -> None:
    recipe_file.write_text(RECIPE.replace(*change, 1))
    with pytest.raises(InputError) as error:
        load_recipe(str(recipe_file))
    assert sentence in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("override", ["ppo.optim", "pp.optim.lr=1", "ppo.optim.lrr=1", "ppo.optim.lr=fast"])
def test_bad_overrides_are_refused(recipe_file: Path, override: str) -> None:
    with pytest.raises(InputError):
        load_recipe(str(recipe_file), [override])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("ppo.optim.lrr=1", "--set ppo.optim.lrr: unknown key 'ppo.optim.lrr': did you mean 'lr'?"),
        ("ppo.xyzzy.lr=1", "--set ppo.xyzzy.lr: unknown key 'ppo.xyzzy': remove it or mend its spelling"),
        ("sed=3", "--set sed: unknown key 'sed': did you mean 'seed'?"),
        ("ppo.optim.lr=fast", "--set ppo.optim.lr: 'ppo.optim.lr': expected a number, found 'fast'"),
    ],
)
def test_a_mistake_in_set_is_not_blamed_on_the_file(recipe_file: Path, override: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        load_recipe(str(recipe_file), ["ppo.optim.warmup=3", override])
    assert str(error.value).startswith(sentence)
    assert str(recipe_file) not in str(error.value)


def test_a_mistake_in_the_file_is_not_blamed_on_set(recipe_file: Path) -> None:
    recipe_file.write_text(RECIPE.replace("prompts =", "promts ="))
    with pytest.raises(InputError) as error:
        load_recipe(str(recipe_file), ["ppo.optim.lr=1e-4", "sft.data=d.jsonl"])
    assert f"{recipe_file}: unknown key 'ppo.promts': did you mean 'prompts'?" in str(error.value)
    assert "--set" not in str(error.value)


def test_a_sections_fault_is_told_without_its_contents(recipe_file: Path) -> None:
    recipe_file.write_text(RECIPE.replace("@sft/model", "@stf/model"))
    with pytest.raises(InputError) as error:
        load_recipe(str(recipe_file))
    assert "Value error" not in str(error.value) and "found {" not in str(error.value)
    with pytest.raises(InputError, match="--set modell: unknown key 'modell': did you mean 'model'?"):
        load_stage("sft", "", ["modell=m"])


def test_paths_point_into_stage_folders_and_inputs(recipe_file: Path) -> None:
    recipe = load_recipe(str(recipe_file))
    ppo = resolve(recipe.stages[1], {"sft": Path("runs/small/01-sft")}, {})
    assert list(input_paths(ppo)) == [Path("runs/small/01-sft/model"), Path("p.jsonl")]
    assert list(missing(recipe.stages[1], "ppo", {})) == ["stage 'ppo': p.jsonl: there is no such file or folder"]
    assert next(missing(recipe.stages[0], "sft", recipe.inputs)).startswith("inputs.model is not set")
    with pytest.raises(InputError, match="--set inputs.model=PATH"):
        resolve(recipe.stages[0], {}, recipe.inputs)
    sft = resolve(recipe.stages[0], {}, {"model": "/models/mine"})
    assert list(input_paths(sft)) == [Path("/models/mine"), Path("data.jsonl")]


def test_a_stage_from_the_command_line_alone() -> None:
    config = load_stage("sft", "", ["model=m", "data=d.jsonl", "optim.lr=1e-5"])
    assert isinstance(config, SFTConfig)
    assert (config.model, config.optim.lr) == ("m", 1e-5)
    with pytest.raises(InputError, match="heedful sft: 'model' is missing"):
        load_stage("sft", "")


def test_a_section_given_in_part_keeps_the_stages_own_defaults() -> None:
    stage = load_stage("reward", "", ["model=m", 'data=["r.jsonl"]', "optim.warmup=7"])
    assert isinstance(stage, RewardConfig)
    default = RewardConfig(model="m", data=["r.jsonl"]).optim
    assert stage.optim == default.model_copy(update={"warmup": 7})


@pytest.mark.parametrize("setting", ["training.epochs=3", "training.log_every=1"])
def test_settings_that_ppo_would_not_read_are_refused(setting: str) -> None:
    given = ["model=m", "prompts=p.jsonl", "rewards.model=r"]
    assert isinstance(load_stage("ppo", "", [*given, "training.checkpoint_every=9"]), PPOConfig)
    with pytest.raises(InputError, match="no meaning for PPO"):
        load_stage("ppo", "", [*given, setting])


def test_a_policy_that_would_never_learn_is_refused() -> None:
    given = ["model=m", "prompts=p", "rewards.model=r", "algorithm.iterations=6"]
    with pytest.raises(InputError, match="iterations = 6 leave none for the policy, .* set more iterations"):
        load_stage("ppo", "", given)
    assert isinstance(load_stage("ppo", "", [*given, "algorithm.critic_warmup=5"]), PPOConfig)


def test_code_paths_point_into_inputs_too(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("")
    given = ["model=m", "prompts=p", "rewards.parts.rule.type=function", "rewards.parts.rule.function=$mine/rules.py:f"]
    config = resolve(load_stage("rl", "", given), {}, {"mine": str(tmp_path)})
    assert config.rewards.parts["rule"].function == f"{tmp_path}/rules.py:f"  # type: ignore[union-attr]
    assert tmp_path / "rules.py" in list(input_paths(config))


def test_an_algorithm_is_chosen_and_set_from_the_command_line() -> None:
    given = ["model=m", "prompts=p", "rewards.model=r", "algorithm.type=dapo", "algorithm.clip_high=0.3"]
    config = load_stage("rl", "", given)
    assert (config.algorithm.type, config.algorithm.clip_high) == ("dapo", 0.3)  # type: ignore[union-attr]
    with pytest.raises(InputError, match="clip_hihg"):
        load_stage("rl", "", [*given, "algorithm.clip_hihg=1"])
    with pytest.raises(InputError, match="grpoo"):
        load_stage("rl", "", [*given, "algorithm.type=grpoo"])


def sections_in(annotation: object) -> list[type[Section]]:
    own = [annotation] if isinstance(annotation, type) and issubclass(annotation, Section) else []
    return own + [kind for part in get_args(annotation) for kind in sections_in(part)]


def tagged_unions(section: type[Section], place: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Every place in a section where `type` says what stands there, as --set writes it, with the choices."""
    for name, field in section.model_fields.items():
        of_names = get_origin(field.annotation) is dict
        here = (*place, name, *(["entry"] if of_names else []))
        found = sections_in(field.annotation)
        if len(found) > 1:
            yield ".".join(here), [kind.model_fields["type"].default for kind in found]
        elif found:
            yield from tagged_unions(found[0], here)


UNIONS = [(kind, *found) for kind, section in KINDS.items() for found in tagged_unions(section)]


def test_there_are_unions() -> None:
    assert {kind for kind, _, _ in UNIONS} == {"select", "label", "reward", "dpo", "ppo", "rl"}


@pytest.mark.parametrize(("kind", "place", "choices"), UNIONS, ids=lambda value: str(value)[:20])
def test_a_union_says_which_type_is_missing_or_wrong(
    recipe_file: Path, kind: str, place: str, choices: list[str]
) -> None:
    """In a recipe and on the command line: the key, that `type` is at fault, and every choice."""
    recipe_file.write_text(f'name = "r"\n[[stages]]\ntype = "{kind}"\nname = "mine"\n')
    every = ", ".join(choices)
    for setting, said in (
        (f"{place}={{ weight = 1.0 }}", f"'mine.{place}' has no 'type': add one of {every}"),
        (
            f'{place}={{ type = "{choices[-1]}x" }}',
            f"'mine.{place}': type = '{choices[-1]}x' is none of {every}; did you",
        ),
        (f'{place}="{choices[-1]}"', f"'mine.{place}': expected a section, as {{ type = \"{choices[-1]}\" }}, found '"),
    ):
        if "weight" in setting and "entry" not in place:
            continue  # a default stands there, whose type it keeps
        with pytest.raises(InputError) as error:
            load_recipe(str(recipe_file), [f"mine.{setting}"])
        assert f"--set mine.{place}: {said}" in str(error.value)
        with pytest.raises(InputError) as error:
            load_stage(kind, "", [setting])
        assert f"--set {place}: {said.replace('mine.', '')}" in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["stages = 3", 'stages = ["sft"]', '[stages]\ntype = "sft"', "stages = [[]]", 'name = ["x"]\nstages = []'],
)
def test_a_recipe_of_another_shape_is_refused(recipe_file: Path, text: str) -> None:
    recipe_file.write_text(text)
    for overrides in ([], ["sft.model=m"], ["inputs.model=m"]):
        with pytest.raises(InputError):
            load_recipe(str(recipe_file), overrides)


def test_a_file_that_is_no_recipe_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes('name = "é"'.encode("latin-1"))
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + RECIPE.encode())
    (tmp_path / "recipe.toml").write_text(RECIPE)
    assert load_recipe(str(tmp_path / "marked.toml")).name == "small"
    with pytest.raises(InputError, match="the byte 0xe9 at byte 8 is not UTF-8"):
        load_recipe(str(tmp_path / "latin.toml"))
    with pytest.raises(InputError, match="folder.toml: is a folder where a file is needed"):
        load_recipe(str(tmp_path / "folder.toml"))
    with pytest.raises(InputError, match="there is no such file"):
        load_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="is a recipe, which `heedful run .*recipe.toml` runs"):
        load_stage("sft", str(tmp_path / "recipe.toml"))


def test_a_misspelt_key_in_a_table_of_sections_is_named() -> None:
    given = ["data=[]", "parts.a.model=m", "parts.b.model=n"]
    with pytest.raises(InputError, match="--set parts.a.modle: unknown key 'parts.a.modle': did you mean 'model'?"):
        load_stage("blend", "", [*given, "parts.a.modle=x"])
    with pytest.raises(InputError, match="'parts.not a name': a name has letters"):
        load_stage("blend", "", [*given, 'parts={ "not a name" = { model = "m" }, b = { model = "n" } }'])


@pytest.mark.parametrize(
    ("section", "given", "sentence"),
    [
        (PTX, {"data": "pages.jsonl"}, "data weighs nothing while coefficient is 0"),
        (PTX, {"coefficient": 0.5}, "coefficient is of text that is mixed in, and none is given"),
        (PTX, {"tokens": 64}, "tokens is of text that is mixed in, and none is given"),
        (KLControl, {"target": 3.0}, "target is read by type = 'adaptive' alone"),
        (KLControl, {"horizon": 500}, "horizon is read by type = 'adaptive' alone"),
        (PretrainConfig, {"data": "d", "model": "m", "architecture": {"layers": 2}}, "architecture is of a new model"),
    ],
)
def test_a_setting_that_nothing_would_read_is_refused(
    section: type[Section], given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        section.model_validate(given)


def test_what_says_how_and_not_what_is_no_essence() -> None:
    parts = {"one": {"type": "model", "model": "r"}}
    given = {"model": "m", "prompts": "p", "rewards": {"model": "r", "parts": parts}}
    found = essential(PPOConfig.model_validate(given))
    assert found["generation"] == {"temperature": 1.0, "max_new_tokens": 96}
    assert found["sampler"] == {}
    assert {"tokens_per_batch", "sharding", "checkpoint_every"}.isdisjoint(found["training"])
    assert found["rewards"]["parts"]["one"]["weight"] == 1.0
    assert found["optim"]["betas"] == [0.9, 0.99]


@pytest.mark.parametrize(
    ("recipe", "told"), [("own", "did you mean 'comparisons'"), ("headline", "it has run"), ("demo", "it has none")]
)
def test_an_input_that_the_recipe_does_not_read_is_refused(recipe: str, told: str) -> None:
    with pytest.raises(InputError, match=f"--set inputs.comparsons: this recipe reads no input 'comparsons': {told}"):
        load_recipe(recipe, ["inputs.comparsons=x"])


def test_an_input_that_a_stage_reads_may_be_set_where_none_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[[stages]]\ntype = "sft"\nmodel = "$base/model"\ndata = "data.jsonl"\n')
    assert load_recipe(str(path), ["inputs.base=there"]).inputs == {"base": "there"}

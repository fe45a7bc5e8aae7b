"""One small config for each stage with no file of its own. A path may be `@name/file`, of an earlier stage."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heedful.config.rewards import Rewards
from heedful.config.sampler import SamplerConfig
from heedful.config.sections import (
    Architecture,
    CodePathOrNone,
    Generation,
    InputPath,
    Lora,
    Name,
    Optim,
    Section,
    Training,
)


class WorldConfig(Section):
    """Write the built-in world's corpus, demonstrations and prompts."""

    type: Literal["world"] = "world"
    name: Name = "world"
    documents: int = Field(35_000, ge=100)
    """Pages in the corpus."""
    demonstrations: int = Field(500, ge=10)
    """Prompts with a written answer."""
    preference_prompts: int = Field(4_500, ge=10)
    """Prompts whose candidates are ranked."""
    rl_prompts: int = Field(3_000, ge=10)
    """Prompts the policy practises on."""
    dev_prompts: int = Field(300, ge=10)
    """Held-out prompts for tuning."""
    test_prompts: int = Field(500, ge=10)
    """Held-out prompts that the report is about."""


class OpeningsConfig(Section):
    """Make prompts from the openings of documents, for models that continue text; parts share no document."""

    type: Literal["openings"] = "openings"
    name: Name = "openings"
    data: InputPath
    """Documents: JSONL with `text`, or a text file with `<|endoftext|>` between documents."""
    shortest: int = Field(4, ge=1)
    """Fewest words of an opening."""
    longest: int = Field(8, ge=1)
    """Most words of an opening."""
    preference_prompts: int = Field(1000, ge=1)
    """Prompts whose candidates are ranked."""
    rl_prompts: int = Field(800, ge=1)
    """Prompts the policy practises on."""
    test_prompts: int = Field(300, ge=1)
    """Held-out prompts that the report is about."""


class PretrainConfig(Section):
    """Train a tokenizer and a base model from text, or go on training a causal model."""

    type: Literal["pretrain"] = "pretrain"
    name: Name = "pretrain"
    data: InputPath
    """Documents: JSONL with `text` or `messages`, or a text file."""
    heldout: InputPath = ""
    """Documents that the loss is measured on, at the end and for `training.early_stop`; never trained on."""
    model: InputPath = ""
    """A model folder to continue; empty: a new model of `architecture`."""
    architecture: Architecture = Architecture()
    tokens_per_step: int = Field(2048, ge=64)
    """Tokens in one optimizer step."""
    optim: Optim = Optim(lr=6e-3, schedule="cosine", final=0.05, warmup=60, weight_decay=0.01)
    training: Training = Training()

    @model_validator(mode="after")
    def _goes_on_or_begins(self) -> Self:
        if self.model and self.architecture != Architecture():
            raise ValueError(
                f"architecture is of a new model, and model = {self.model} goes on with its own: leave one of them out"
            )
        return self


class SFTConfig(Section):
    """Supervised fine-tuning on demonstrations: the loss counts the answer's tokens only."""

    type: Literal["sft"] = "sft"
    name: Name = "sft"
    model: InputPath
    """The model folder to start from."""
    data: InputPath
    """Demonstrations: `prompt` and `completion`, or `messages`; foreign formats are recognised."""
    heldout: InputPath = ""
    """Demonstrations that the loss is measured on, at the end and for `training.early_stop`; never trained on."""
    tokens_per_step: int = Field(1024, ge=64)
    """Tokens in one optimizer step, prompts included."""
    optim: Optim = Optim(lr=5e-4)
    lora: Lora = Lora()
    training: Training = Training(epochs=3)


class SampleConfig(Section):
    """Let a policy write several candidates for each prompt."""

    type: Literal["sample"] = "sample"
    name: Name = "sample"
    model: InputPath
    """The policy's model folder."""
    policy: str = ""
    """What to call the policy in the records; empty: this stage's name."""
    prompts: InputPath
    """Prompts, one a row."""
    completions: int = Field(4, ge=1, le=64)
    """Candidates for each prompt (G)."""
    limit: int = Field(0, ge=0)
    """Most prompts to answer, drawn at random; 0: all."""
    generation: Generation = Generation()
    sampler: SamplerConfig = SamplerConfig()


class SelectConfig(Section):
    """Keep the best of several answers to each prompt as demonstrations for `sft` (best-of-n, rejection sampling).

    An answer that was cut at its length limit counts for what it is worth, but is never kept: it would teach to stop in
    mid-sentence."""

    type: Literal["select"] = "select"
    name: Name = "select"
    completions: list[InputPath] = Field(min_length=1)
    """Completion files; answers to one prompt are put together, equal texts counted as often as they were given."""
    rewards: Rewards
    """What makes an answer good; the price of a bad length counts as it does in training."""
    keep: int = Field(1, ge=1)
    """Most answers to keep of each prompt, the best first; equal texts once."""
    share: float = Field(1.0, gt=0, le=1)
    """Share of prompts to keep: those whose best whole answer is worth most."""
    at_least: float | None = None
    """Least worth of an answer that is kept; left out: any."""

    @model_validator(mode="after")
    def _there_is_no_length_limit(self) -> Self:
        if self.rewards.overlong:
            raise ValueError(
                "rewards.overlong is a share of the limit that answers were sampled under, which completions don't "
                "tell: leave it out (a cut answer pays missing_eos_penalty)"
            )
        return self


class SimulatedLabels(Section):
    """Labels from simulated raters of the built-in world. They are simulated, and called so everywhere."""

    type: Literal["simulated"] = "simulated"
    raters: Literal["train", "audit"] = "train"
    """Which of two disjoint groups of raters; `audit` trains the reward model that only evaluates."""
    truth: Literal["world", "sentiment"] = "world"
    """What the raters noisily perceive: the world's gold judge, or a sentiment lexicon on the text."""


class FlippedLabels(Section):
    """Two answers to each prompt, told apart by the world's truth, and a share of these labels turned round.

    Errors at a planted rate, to see what noise does to training; `simulated` errs as people do.
    """

    type: Literal["flipped"] = "flipped"
    share: float = Field(0.0, ge=0, lt=0.5)
    """How many labels say the opposite, by chance; 0: clean labels."""
    length: float = 0.0
    """What ten words more are worth to every rater, in the truth's units (0 to 1): an error that all of them share."""


class PeopleLabels(Section):
    """Labels from people, through the studio."""

    type: Literal["people"] = "people"
    database: str = "studio.db"
    """The studio's database: a SQLite file, or `postgresql://…`."""
    project: str = Field(min_length=1, max_length=80)
    """The studio's project; made if there is none."""
    wait: bool = True
    """Wait until every item has its judgements; `false` takes what is there."""
    raters: Literal["people", "machines", "all"] = "people"
    """Whose labels are taken: people's, those of the AI judges that label in the project too, or both."""
    consensus: Literal["", "majority", "soft", "dawid-skene", "crowd"] = ""
    """Train on one label a pair, that the raters agree on, as sure as they are: margin log(p/(1 − p)), weight |2p − 1|.
    Empty: on each rater's own."""


class JudgeLabels(Section):
    """Labels from an AI judge that says what each answer is worth: the higher, the better."""

    type: Literal["judge"] = "judge"
    model: InputPath = ""
    """A reward model's folder; or give `function`."""
    function: CodePathOrNone = ""
    """`module:function` or `file.py:function`, called as `function(prompt, completion) -> float`; it may ask any
    model."""
    tie: float = Field(0.0, ge=0)
    """Neighbours whose worth differs by no more than this share a rank."""

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        if bool(self.model) == bool(self.function):
            raise ValueError("give one judge: either model, a reward model's folder, or function, a Python function")
        return self


class LabelConfig(Section):
    """Rank the candidates of each prompt."""

    type: Literal["label"] = "label"
    name: Name = "label"
    completions: list[InputPath] = Field(min_length=1)
    """Completion files; candidates for one prompt are put together, equal texts once."""
    borrowed: int = Field(1, ge=0, le=4)
    """Answers to other prompts added to each prompt's candidates, so that the reward model meets irrelevant ones."""
    holdout: float = Field(0.1, ge=0, lt=1)
    """Share of prompts whose rankings go to heldout.jsonl and are never trained on."""
    prompts: int = Field(0, ge=0)
    """Most prompts to rank, drawn at random; 0: all."""
    overlap: int = Field(1, ge=1, le=12)
    """Raters who judge each prompt that is trained on; the file keeps each one's judgement."""
    ask: Literal["rank", "rate", "steps"] = "rank"
    """Rank the candidates; or rate each from 0 to 4 by criterion (ratings.jsonl); or, of sums in steps, say which steps
    are right (steps.jsonl)."""
    by: Annotated[SimulatedLabels | FlippedLabels | PeopleLabels | JudgeLabels, Field(discriminator="type")] = (
        SimulatedLabels()
    )


class AccuracyConfig(Section):
    """How often reward models agree with held-out rankings, side by side: before and after a round, for example."""

    type: Literal["accuracy"] = "accuracy"
    name: Name = "accuracy"
    models: dict[str, InputPath] = Field(min_length=1)
    """Name → reward model's folder; with `reference`, policy's."""
    reference: InputPath = ""
    """A policy's folder: then the models are policies that a direct loss trained from it, each judged as the reward
    model that it is in secret, log π(y|x) − log π_ref(y|x) (Rafailov 2023)."""
    data: list[InputPath] = Field(min_length=1)
    """Rankings or comparisons that none of them was trained on."""
    among: list[InputPath] = []
    """Completions: only pairs whose two answers stand in these files count, the current policy's own for example; none:
    all pairs."""


class AverageConfig(Section):
    """Average the weights of several models that were trained from the same one: policies, or reward models."""

    type: Literal["average"] = "average"
    name: Name = "average"
    models: list[InputPath] = Field(min_length=2)
    """Model folders of one kind and shape."""
    weights: list[float] = []
    """One for each model, with sum 1; below 0 or above 1 goes beyond a model. Empty: equal ones."""
    calibration: list[InputPath] = []
    """For reward models: SFT samples (completions) whose scores set the average's own affine; none: log-odds."""


class EvaluateConfig(Section):
    """Compare models on held-out prompts by judges that are not the training signal."""

    type: Literal["evaluate"] = "evaluate"
    name: Name = "evaluate"
    models: dict[str, InputPath]
    """Name → model folder, in the order of training; the first is the base."""
    prompts: InputPath
    """Prompts never trained on."""
    lookalikes: InputPath = ""
    """Harmless prompts that look harmful, for over-refusal; empty: not measured."""
    showcase: InputPath = ""
    """Prompts for the table *query | before | after*; empty: a few of `prompts`."""
    judge: Literal["world", "sentiment", "none"] = "world"
    """The truth of the built-in world or of the sentiment experiment; `none`: reward models only."""
    reward_models: dict[str, InputPath] = {}
    """Name → reward model folder, best one from other raters' labels; `reward` is the one the policy was trained on."""
    rounds: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Model → the round of labels that it learned from, where it is not the first."""
    corpus: InputPath = ""
    """Held-out documents for bits per byte (the alignment tax); empty: not measured."""
    draws: int = Field(4, ge=1)
    """Sampled answers a prompt."""
    temperatures: list[float] = []
    """Temperatures to choose each model's best from on `dev_prompts`; empty: not done."""
    dev_prompts: InputPath = ""
    """Prompts on which the best temperature is chosen."""
    few_shot: bool = False
    """Judge the base with a few question-and-answer pages in front as well."""
    generation: Generation = Generation()

    @model_validator(mode="after")
    def _reads_what_is_set(self) -> Self:
        if not self.models:
            raise ValueError("'models' is empty: name at least one model folder")
        if self.judge == "none" and not self.reward_models:
            raise ValueError("judge is 'none' and no reward_models are given: name at least one")
        if unknown := self.rounds.keys() - self.models.keys():
            raise ValueError(f"rounds names {', '.join(sorted(unknown))}, which is no key of 'models'")
        if bool(self.temperatures) != bool(self.dev_prompts):
            raise ValueError("'temperatures' and 'dev_prompts' belong together: give both or neither")
        if self.few_shot and self.judge != "world":
            raise ValueError("few_shot examples are the built-in world's: set judge = 'world'")
        if self.lookalikes and self.judge == "none":
            raise ValueError("reward models can't tell a refusal, so lookalikes are read by no judge: leave them out")
        return self


class ReportConfig(Section):
    """Write one self-contained HTML page from the run folder."""

    type: Literal["report"] = "report"
    name: Name = "report"
    title: str = "heedful report"
    """The page's heading."""

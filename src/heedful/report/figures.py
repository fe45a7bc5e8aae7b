"""The page's charts, each from a run's metrics or its evaluation. A chart whose data the run lacks is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from markupsafe import Markup

from heedful.config.direct import PairedLoss, UnpairedLoss
from heedful.report.read import RunView, Stage
from heedful.report.story import final_first
from heedful.report.svg import Series, line_chart

MAIN, SECOND, THIRD, FOURTH, FIFTH = 3, 1, 4, 2, 5  # tones of a chart's lines in the page's palette


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart shows of a stage's metrics: a line for each (metric, name); all but the first are dashed.

    Where nothing changes, as a fixed β, there is no chart.
    """

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    words: str = ""
    """How to read it."""

    def draw(self, stage: Stage) -> Markup:
        tones = (MAIN, SECOND, THIRD, FOURTH, FIFTH)
        series = [Series(name, stage.series(key), tones[i], i > 0) for i, (key, name) in enumerate(self.lines)]
        if not any(changes(line.points) for line in series):
            return Markup()
        return line_chart(series, title=self.title, x_label="step", y_label=self.unit, words=self.words)


def changes(points: Sequence[tuple[float, float]]) -> bool:
    """Whether there are two different values to draw a line between."""
    return len({y for _, y in points}) > 1


PPO_CHARTS = (
    Chart("Reward", "in SFT-sample units", (("reward/mean", "reward"), ("reward/total", "reward − β·KL"))),
    Chart("KL to the reference", "nats an answer", (("kl/reference", "exact"), ("kl/k1", "k1"), ("kl/k3", "k3"))),
    Chart("Entropy", "nats a token", (("policy/entropy", "entropy"),)),
    Chart("Length", "tokens", (("answers/length", "length"),)),
    Chart("Endings", "share", (("answers/eos", "ended by itself"), ("answers/commonest", "commonest answer"))),
    Chart("How far a step moves", "", (("ratio/clipped", "clip fraction"), ("ratio/kl", "approximate KL"))),
    Chart("Critic", "", (("value/explained_variance", "explained variance"),)),
    Chart("Leash", "", (("kl/coefficient", "β"),)),
    Chart("Is length paid?", "correlation", (("reward/length_correlation", "of reward and length"),)),
    Chart(
        "Where the time goes",
        "seconds an iteration",
        (
            ("time/sample", "sampling"),
            ("time/update", "update"),
            ("time/forward", "forward"),
            ("time/reward", "reward"),
            ("time/advantage", "advantages"),
        ),
    ),
)
JUDGED = (("logps/chosen", "chosen answers"), ("logps/rejected", "rejected answers"))
DISPLACED = (
    "Chosen answers that fall too have lost probability to answers that nobody compared (displacement): usual where a "
    "loss sees only the difference, and harmful where what is said instead is worse than both. Against it: a higher "
    "β, a lower learning rate, rpo, dpop or nca, PPO."
)
DRIFT = Chart("Log-probability against the reference", "nats an answer", JUDGED, DISPLACED)
LIKELIHOOD = Chart("Log-probability (the loss has no reference)", "nats an answer", JUDGED, DISPLACED)
WITHOUT_REFERENCE = {loss().type for loss in get_args(PairedLoss | UnpairedLoss) if not loss.reference}
PRACTISED = ("ppo", "rl")  # kinds of stage that sample what they learn from
LOSS = ("loss", "loss/mean", "loss/text", "loss/policy")
MOST_DOTS = 60  # of a path whose points are still told apart
BESIDE_LOSS = ("reward/accuracy", "rewards/accuracy", "rewards/margin", "accuracy")


def ppo_charts(stage: Stage) -> list[Markup]:
    """What PPO logged, one chart an idea, and the path of reward over KL."""
    reward, *others = [chart.draw(stage) for chart in PPO_CHARTS]
    return [chart for chart in (reward, reward_path(stage), *others) if chart]


def reward_path(stage: Stage) -> Markup:
    """Reward against KL as training went: past its knee the proxy is bought with drift."""
    kl = dict(stage.series("kl/reference"))
    points = [(kl[step], reward) for step, reward in stage.series("reward/mean") if step in kl]
    path = Series("", points, MAIN, dots=len(points) < MOST_DOTS)
    return line_chart([path], title="Reward over KL", x_label="exact KL, nats an answer")


def loss_charts(stages: Sequence[Stage]) -> list[Markup]:
    """The loss of every stage that trains, and what it logs beside the loss."""
    charts = []
    for stage in stages:
        if stage.kind in PRACTISED:
            continue
        if stage.kind == "dpo" and (drift := drift_chart(stage)):
            charts.append(drift)
        loss = next((key for key in LOSS if stage.series(key)), "")
        for key in (loss, *BESIDE_LOSS):
            if key and changes(points := stage.series(key)):
                named = "loss" if key == loss else key
                charts.append(line_chart([Series(named, points, MAIN)], title=f"{stage.name}: {named}", x_label="step"))
    return charts


def drift_chart(stage: Stage) -> Markup:
    """How far a direct loss moved the answers that it compared; without a reference, how likely they are."""
    alone = stage.config.get("loss", {}).get("type") in WITHOUT_REFERENCE
    return (LIKELIHOOD if alone else DRIFT).draw(stage)


def frontier(evaluation: Mapping[str, Any]) -> Markup:
    """Truth against KL: how much each way from preferences to policy gained, and how far it went for it."""
    criteria, kl = evaluation.get("criteria", {}), evaluation.get("kl", {})
    series = []
    for tone, name in enumerate(evaluation.get("models", [])):
        at = 0.0 if name == evaluation["reference"] else kl.get(name, {}).get("mean")
        total = criteria.get(name, {}).get("sample", {}).get("all", {}).get("total")
        if at is not None and total is not None and name != evaluation["base"]:
            series.append(Series(name, [(at, total["mean"])], tone, dots=True, labels=[name]))
    if len(series) < 2:
        return Markup()
    x_label = f"KL to {evaluation['reference']}, nats an answer"
    return line_chart(series, title="Truth over KL", x_label=x_label, y_label=f"{evaluation['truth']}, sampled")


def accuracy_chart(stages: Sequence[Stage]) -> Markup:
    """Reward models on each round's own pairs: the one that the policy was trained on, and the one refreshed since."""
    rounds = [s.manifest.summary["accuracy"] for s in stages if s.kind == "accuracy" and s.manifest]
    if len(rounds) < 2:
        return Markup()
    names = list(dict.fromkeys(name for found in rounds for name in found))
    series = [
        Series(
            name,
            [(number, found[name]) for number, found in enumerate(rounds, start=1) if name in found],
            1 + tone % 7,
            dots=True,
        )
        for tone, name in enumerate(names)
    ]
    return line_chart(series, title="Reward models on the current policy's pairs", x_label="round", y_label="accuracy")


def calibration_chart(reward: Mapping[str, Any]) -> Markup:
    """How often a reward model is right when it says so."""
    curve = reward.get("calibration", {}).get("curve", [])
    points = [(row["confidence"], row["accuracy"]) for row in curve]
    if not points:
        return Markup()
    edge = max(x for x, _ in points)
    series = [
        Series("the model", points, MAIN, dots=True),
        Series("perfectly calibrated", [(0.5, 0.5), (edge, edge)], SECOND, dashed=True),
    ]
    return line_chart(series, title="Calibration", x_label="confidence σ(|Δ|)", y_label="share of labels that agree")


def reward_stages(view: RunView) -> list[tuple[Stage, Markup]]:
    """Each reward model's report with its calibration chart, the final model first."""
    measured = final_first([stage for stage in view.stages if stage.reward.get("pairs")], "reward")
    return [(stage, calibration_chart(stage.reward)) for stage in measured]

"""One file for each stage: `stage(config, run) -> None` reads files and writes its own folder."""

from __future__ import annotations

from heedful.config import (
    AccuracyConfig,
    AverageConfig,
    BlendConfig,
    DPOConfig,
    EvaluateConfig,
    LabelConfig,
    OpeningsConfig,
    PPOConfig,
    PretrainConfig,
    ReportConfig,
    RewardConfig,
    RLConfig,
    SampleConfig,
    SelectConfig,
    SFTConfig,
    StageConfig,
    WorldConfig,
)
from heedful.run import Run

TRAINING = ("pretrain", "sft", "reward", "dpo", "ppo", "rl")


def run_stage(config: StageConfig, run: Run) -> None:
    """Do the work of one stage. Each is imported when it is needed: the next one may need no torch."""
    match config:
        case WorldConfig():
            from heedful.stages.world import world

            world(config, run)
        case OpeningsConfig():
            from heedful.stages.openings import openings

            openings(config, run)
        case PretrainConfig():
            from heedful.stages.pretrain import pretrain

            pretrain(config, run)
        case SFTConfig():
            from heedful.stages.sft import sft

            sft(config, run)
        case SampleConfig():
            from heedful.stages.sample import sample

            sample(config, run)
        case LabelConfig():
            from heedful.stages.label import label

            label(config, run)
        case RewardConfig():
            from heedful.stages.reward import reward

            reward(config, run)
        case BlendConfig():
            from heedful.stages.blend import blend

            blend(config, run)
        case DPOConfig():
            from heedful.stages.dpo import dpo

            dpo(config, run)
        case PPOConfig() | RLConfig() | SelectConfig():
            _practise(config, run)
        case AccuracyConfig():
            from heedful.stages.accuracy import accuracy

            accuracy(config, run)
        case AverageConfig():
            from heedful.stages.average import average

            average(config, run)
        case EvaluateConfig():
            from heedful.stages.evaluate import evaluate

            evaluate(config, run)
        case ReportConfig():
            from heedful.stages.report import report

            report(config, run)


def _practise(config: PPOConfig | RLConfig | SelectConfig, run: Run) -> None:
    """Stages that learn from, or choose among, what a policy samples."""
    match config:
        case PPOConfig():
            from heedful.stages.ppo import ppo

            ppo(config, run)
        case RLConfig():
            from heedful.stages.rl import rl

            rl(config, run)
        case SelectConfig():
            from heedful.stages.select import select

            select(config, run)

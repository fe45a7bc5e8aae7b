"""What a user may set: pydantic models, frozen, unknown keys refused. Imports no torch."""

from heedful.config.direct import DPOConfig
from heedful.config.on_policy import PPOConfig
from heedful.config.recipe import Recipe, StageConfig, load_recipe, load_stage
from heedful.config.reward import RewardConfig
from heedful.config.sections import Architecture, EarlyStop, Generation, KLControl, Lora, Optim, Section, Training
from heedful.config.stages import (
    AccuracyConfig,
    AverageConfig,
    EvaluateConfig,
    LabelConfig,
    OpeningsConfig,
    PretrainConfig,
    ReportConfig,
    SampleConfig,
    SFTConfig,
    SimulatedLabels,
    WorldConfig,
)

__all__ = [
    "AccuracyConfig",
    "Architecture",
    "AverageConfig",
    "DPOConfig",
    "EarlyStop",
    "EvaluateConfig",
    "Generation",
    "KLControl",
    "LabelConfig",
    "Lora",
    "OpeningsConfig",
    "Optim",
    "PPOConfig",
    "PretrainConfig",
    "Recipe",
    "ReportConfig",
    "RewardConfig",
    "SFTConfig",
    "SampleConfig",
    "Section",
    "SimulatedLabels",
    "StageConfig",
    "Training",
    "WorldConfig",
    "load_recipe",
    "load_stage",
]

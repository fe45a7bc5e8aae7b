"""What a user may set: pydantic models, frozen, unknown keys refused. Imports no torch."""

from heedful.config.recipe import Recipe, StageConfig, load_recipe, load_stage
from heedful.config.sections import Architecture, Generation, KLControl, Optim, Section, Training
from heedful.config.stages import (
    DPOConfig,
    EvaluateConfig,
    LabelConfig,
    OpeningsConfig,
    PPOConfig,
    PretrainConfig,
    ReportConfig,
    RewardConfig,
    SampleConfig,
    SFTConfig,
    SimulatedLabels,
    WorldConfig,
)

__all__ = [
    "Architecture",
    "DPOConfig",
    "EvaluateConfig",
    "Generation",
    "KLControl",
    "LabelConfig",
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

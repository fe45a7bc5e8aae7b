"""What a user may set: pydantic models, frozen, unknown keys refused. Imports no torch."""

from heedful.config.blend import BlendConfig, BlendPart
from heedful.config.direct import DPOConfig
from heedful.config.on_policy import PPOConfig
from heedful.config.recipe import Recipe, StageConfig, load_recipe, load_stage
from heedful.config.reward import RewardConfig
from heedful.config.rewards import EnsemblePart, FunctionPart, LikelihoodPart, ModelPart, RewardPart, Rewards
from heedful.config.rl import RLConfig
from heedful.config.sections import Architecture, EarlyStop, Generation, KLControl, Lora, Optim, Section, Training
from heedful.config.stages import (
    AccuracyConfig,
    AverageConfig,
    EvaluateConfig,
    FlippedLabels,
    JudgeLabels,
    LabelConfig,
    OpeningsConfig,
    PeopleLabels,
    PretrainConfig,
    ReportConfig,
    SampleConfig,
    SelectConfig,
    SFTConfig,
    SimulatedLabels,
    WorldConfig,
)

__all__ = [
    "AccuracyConfig",
    "Architecture",
    "AverageConfig",
    "BlendConfig",
    "BlendPart",
    "DPOConfig",
    "EarlyStop",
    "EnsemblePart",
    "EvaluateConfig",
    "FlippedLabels",
    "JudgeLabels",
    "FunctionPart",
    "Generation",
    "KLControl",
    "LabelConfig",
    "LikelihoodPart",
    "Lora",
    "ModelPart",
    "OpeningsConfig",
    "Optim",
    "PPOConfig",
    "PeopleLabels",
    "PretrainConfig",
    "RLConfig",
    "Recipe",
    "ReportConfig",
    "RewardConfig",
    "RewardPart",
    "Rewards",
    "SFTConfig",
    "SampleConfig",
    "Section",
    "SelectConfig",
    "SimulatedLabels",
    "StageConfig",
    "Training",
    "WorldConfig",
    "load_recipe",
    "load_stage",
]

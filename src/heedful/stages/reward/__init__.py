"""Train a reward model of any kind, set its scale on SFT samples, and report how far it can be trusted.

stage      the walk: train one model, or the members of an ensemble and their mean
lesson     what a kind of reward model must bring: batches, an objective, and what to do when it is trained
rankings, side_by_side, ratings, correctness   the kinds, by what they learn from
scale      SFT samples and the unit of β
ladder     detailed and clear > vague > wrong, on the built-in world's prompts
"""

from heedful.stages.reward.ladder import ladder_report
from heedful.stages.reward.scale import first_samples, read_samples, sample_affine, scale_of
from heedful.stages.reward.stage import reward

__all__ = ["first_samples", "ladder_report", "read_samples", "reward", "sample_affine", "scale_of"]

"""What a policy is paid for: text in, named scores out."""

from heedful.rewards.protocol import Reward, Score

__all__ = ["Reward", "Score"]

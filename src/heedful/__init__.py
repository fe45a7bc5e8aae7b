"""heedful: the whole RLHF loop in one tool, with evidence at every step."""

__version__ = "0.1.0"

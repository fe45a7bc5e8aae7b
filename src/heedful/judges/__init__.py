"""Judges score texts. The same judges serve labels, rewards and evaluation."""

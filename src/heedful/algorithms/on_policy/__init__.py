"""The policy learns from what it samples: advantages and objectives, one file for a family."""

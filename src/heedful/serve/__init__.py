"""Talking to a model folder: in the terminal, or over an OpenAI-compatible endpoint."""

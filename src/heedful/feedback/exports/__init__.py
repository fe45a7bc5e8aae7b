"""Judgements as files that other tools train on."""

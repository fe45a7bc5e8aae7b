"""Decoding as compiled functions, for small models on processors: no Python between a row's token and its next one.

Imported where such a model is sampled: numba takes half a second to import.
"""

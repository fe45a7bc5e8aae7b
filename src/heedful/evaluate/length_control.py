"""The win rate that would be left if both sides wrote equally long answers. Imports no torch."""

from __future__ import annotations

from math import exp

import numpy as np
from scipy.special import expit

from heedful.evaluate.statistics import Floats

RIDGE = 1e-2  # on both coefficients, in units of one prompt: finite where one side wins everything
ITERATIONS = 100


def length_controlled(outcomes: Floats, length_difference: Floats, weights: Floats) -> float:
    """Predicted win rate at equal length, by a logistic model of the outcome on the difference in length.

        P(win) = σ(θ + φ·tanh(Δ/sd(Δ))),   reported: σ(θ)

    (Dubois 2024, length-controlled AlpacaEval, without the instruction term: pairs are of the same prompts already.)
    `outcomes` are 1, ½ or 0; `weights` sum to the number of prompts. All (M,) over pairs of answers.
    """
    spread = float(length_difference.std())
    length = np.tanh(length_difference / spread) if spread > 0 else np.zeros_like(length_difference)
    design = np.stack([np.ones_like(length), length], axis=1)  # (M, 2)
    theta = np.zeros(2)
    for _ in range(ITERATIONS):
        predicted = expit(design @ theta)
        gradient = design.T @ (weights * (outcomes - predicted)) - RIDGE * theta
        curvature = (design * (weights * predicted * (1 - predicted))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta = theta + step / max(1.0, float(np.abs(step).max()))  # at most 1 a step: Newton far out overshoots
        if float(np.abs(step).max()) < 1e-10:
            break
    return 1 / (1 + exp(-float(theta[0])))

"""The policy of the last iteration whose KL was within budget, on disk, for when a later one leaves it."""

from __future__ import annotations

from safetensors.torch import load_file, save_file

from heedful.models.heads import Policy
from heedful.run import Run, atomic_folder
from heedful.train.weights import for_file, put, weights


class LastGood:
    """Written at every iteration within budget, so that it is there after a kill and resume as well."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.folder = (
            run.checkpoints / "last-good"
        )  # stays until the run is pruned: a kill may come before the manifest
        self.iteration = -1
        self.kl = 0.0

    def keep(self, policy: Policy, iteration: int, kl: float) -> None:
        """This iteration's rollout was within budget: its weights are the ones to fall back to."""
        self.iteration, self.kl = iteration, kl
        if self.run.main:
            with atomic_folder(self.folder) as folder:
                save_file(for_file(weights(policy.lm)), folder / "policy.safetensors")

    def restore(self, policy: Policy) -> None:
        """Put the kept weights into the policy."""
        put(policy.lm, load_file(self.folder / "policy.safetensors"))

    def state_dict(self) -> dict[str, float | int]:
        return {"kept_iteration": self.iteration, "kept_kl": self.kl}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        self.iteration, self.kl = int(state["kept_iteration"]), float(state["kept_kl"])

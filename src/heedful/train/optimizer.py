"""AdamW over named groups of parameters, each with its own settings and its own clipping.

Loshchilov & Hutter 2019; weight decay on matrices only. Groups are named by the beginning of their parameters' names,
as in `policy.` and `critic.`; the empty name takes what is left.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from heedful.config import Optim
from heedful.train.schedule import rate
from heedful.train.sharding import gathered
from heedful.train.weights import share_of


class Optimizer:
    """One fused AdamW; what it holds is named by parameter, so that it can stand in a safetensors file."""

    def __init__(self, model: nn.Module, optim: Mapping[str, Optim]) -> None:
        self.optim = optim
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.members: dict[str, list[Tensor]] = {prefix: [] for prefix in optim}
        self.rates: dict[str, float] = {}
        groups: dict[tuple[str, bool], list[Tensor]] = {}
        for name, parameter in self.named.items():
            prefix = self._group_of(name)
            self.members[prefix].append(parameter)
            groups.setdefault((prefix, parameter.ndim > 1), []).append(parameter)
        self._rate_of = [(prefix, 1.0 if is_matrix else optim[prefix].gain_rate) for prefix, is_matrix in groups]
        self._adamw = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "weight_decay": optim[prefix].weight_decay if is_matrix else 0.0,
                    "betas": optim[prefix].betas,
                    "eps": optim[prefix].eps,
                }
                for (prefix, is_matrix), parameters in groups.items()
            ],
            lr=0.0,
            fused=True,
        )

    def _group_of(self, name: str) -> str:
        fitting = [prefix for prefix in self.optim if name.startswith(prefix)]
        if not fitting:
            raise ValueError(f"no optimizer settings for parameter {name} (there are some for {list(self.optim)})")
        return max(fitting, key=len)

    def clip(self) -> dict[str, Tensor]:
        """Scale each group's gradients to its largest norm. Returns the norms before, () each."""
        return {
            prefix: gathered(nn.utils.clip_grad_norm_(members, self.optim[prefix].clip))
            for prefix, members in self.members.items()
            if members
        }

    def step(self, step: int, total: int) -> None:
        """One update with the rate of this step; the gradients are gone afterwards."""
        self.rates = {prefix: rate(step, total, optim) for prefix, optim in self.optim.items()}
        for (prefix, factor), group in zip(self._rate_of, self._adamw.param_groups, strict=True):
            group["lr"] = self.rates[prefix] * factor
        self._adamw.step()
        self._adamw.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """All that AdamW remembers, as `parameter/moment` -> tensor, which may be a share of a whole."""
        return {
            f"{name}/{key}": value
            for name, parameter in self.named.items()
            for key, value in self._adamw.state.get(parameter, {}).items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Remember what an earlier one remembered."""
        for key, value in tensors.items():
            name, _, moment = key.rpartition("/")
            parameter = self.named[name]
            like = parameter if value.shape == parameter.shape else value
            self._adamw.state[parameter][moment] = share_of(value.to(parameter.device), like)


def metric_name(prefix: str, what: str) -> str:
    """`optim/lr`, or `optim/policy/lr` where groups have names."""
    return "/".join(part for part in ("optim", prefix.rstrip("."), what) if part)

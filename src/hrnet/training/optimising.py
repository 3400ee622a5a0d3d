"""The recipe's optimiser, and the rate of every part of a network at every step."""

from collections import defaultdict
from collections.abc import Callable

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from hrnet.training.recipe import RunConfig

# From the picture to the head, as the network computes them; names of its attributes.
PARTS = (
    ("conv1", "bn1", "conv2", "bn2"),
    ("layer1", "transition1"),
    ("stage2", "transition2"),
    ("stage3", "transition3"),
    ("stage4",),
    ("head", "final_layer"),
)


def layer_depth(name: str) -> int:
    """How far from the head a parameter of `HighResolutionNet` is: 0, the head's own, to 5."""
    attribute = name.partition(".")[0]
    return next(depth for depth, part in enumerate(reversed(PARTS)) if attribute in part)


def optimizers(network: nn.Module, config: RunConfig, steps: int) -> OptimizerLRScheduler:
    """The recipe's optimiser, with rates that change at every step: a group of parameters for each
    that differs, which without `layer_decay` and `head_first_steps` are two."""
    groups: defaultdict[tuple[float, int, bool], list[Tensor]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        depth = layer_depth(name)
        rate = config.learning_rate * config.layer_decay**depth
        start = config.head_first_steps if depth else 0
        decays = parameter.ndim > 1  # all but batch norm's factors and biases
        groups[rate, start, decays].append(parameter)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
    optimizer = kind(
        [
            {
                "params": parameters,
                "lr": rate,
                "weight_decay": config.weight_decay if decays else 0.0,
            }
            for (rate, _, decays), parameters in groups.items()
        ],
        fused=True,  # one pass over the weights, on CPU and GPU alike
    )

    def factor(start: int) -> Callable[[int], float]:
        return lambda step: config.rate(step, steps, start=start)

    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, [factor(start) for _, start, _ in groups]
    )
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
    }

"""Lists of a checkpoint's keys and shapes as text: a line a module, in the checkpoint's order.

    conv1 weight 64,3,3,3
    bn1 batch_norm 64
    final_layer weight 17,32,1,1 | bias 17

`batch_norm C` stands for a batch norm's five entries.
"""

from itertools import groupby
from pathlib import Path

Shape = tuple[int, ...]
CHECKPOINTS = Path(__file__).with_name("checkpoints")


def read_keys(scheme: str) -> dict[str, Shape]:
    """Keys and shapes of checkpoints/SCHEME.txt, in order."""
    shapes: dict[str, Shape] = {}
    for line in (CHECKPOINTS / f"{scheme}.txt").read_text().splitlines():
        module, entries = line.split(" ", maxsplit=1)
        for entry in entries.split(" | "):
            name, _, numbers = entry.partition(" ")
            shape = tuple(map(int, numbers.split(","))) if numbers else ()
            parts = _batch_norm(shape) if name == "batch_norm" else {name: shape}
            shapes |= {f"{module}.{part}": size for part, size in parts.items()}
    return shapes


def write_keys(scheme: str, shapes: dict[str, Shape]) -> None:
    """The opposite of `read_keys`."""
    lines = []
    for module, keys in groupby(shapes, lambda key: key.rpartition(".")[0]):
        entries = {key.rpartition(".")[2]: shapes[key] for key in keys}
        channels = entries.get("weight", ())
        if list(entries.items()) == list(_batch_norm(channels).items()):
            entries = {"batch_norm": channels}
        written = (f"{name} {','.join(map(str, size))}".rstrip() for name, size in entries.items())
        lines.append(f"{module} {' | '.join(written)}\n")
    CHECKPOINTS.mkdir(exist_ok=True)
    (CHECKPOINTS / f"{scheme}.txt").write_text("".join(lines))


def _batch_norm(channels: Shape) -> dict[str, Shape]:
    names = ("weight", "bias", "running_mean", "running_var")
    return {**dict.fromkeys(names, channels), "num_batches_tracked": ()}

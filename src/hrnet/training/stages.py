"""Several runs one after the other, each from the weights of the one before."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hrnet.errors import ConfigError
from hrnet.files import atomic_write
from hrnet.tables import read_json
from hrnet.training.recipe import AnyRecipe, started_from
from hrnet.training.run import TrainedModel, last_checkpoint, train


def train_stages(
    stages: Sequence[AnyRecipe],
    out: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
) -> TrainedModel:
    """Train by one recipe after the other; a single one as `hrnet.training.run.train` does.

    Several have folders of their own, `out`/stage_1 and so on, and the last one's weights are put
    into `out`. They run in one process.

    Args:
        stages: what each trains is the same network.
        resume: go on where an earlier run stopped, in or between stages.

    Raises:
        ConfigError: as `train`; or several stages are to run in several processes.
    """
    if len(stages) == 1:
        return train(stages[0], out, resume=resume, device=device, devices=devices, nodes=nodes)
    if nodes > 1 or str(devices) not in ("auto", "1"):
        raise ConfigError("a recipe with stages trains in one process; leave out devices and nodes")
    out = Path(out)
    folders = [out / f"stage_{number}" for number in range(1, len(stages) + 1)]
    begun = [(folder / "run.json").is_file() for folder in folders]
    if resume and not any(begun):
        raise ConfigError(f"there is no stage in {out} to resume")
    if any(begun) and not resume:
        raise ConfigError(f"{out} holds a run already; go on with it (--resume), or name another")
    ended = [_has_ended(folder) for folder in folders]
    if all(ended):
        raise ConfigError(f"all stages in {out} have ended; name another folder for another run")
    trained: TrainedModel | None = None
    start: Path | None = None
    for stage, folder, has_ended in zip(stages, folders, ended, strict=True):
        if has_ended:
            start = folder / f"{stage.model.name}.safetensors"
            continue
        if start is not None:
            stage = started_from(stage, start)
        going_on = last_checkpoint(folder).is_file()
        trained = train(stage, folder, resume=going_on, device=device, devices=1)
        start = trained.weights
    assert trained is not None  # one at least has not ended
    whole = out / trained.weights.name
    with atomic_write(whole) as temporary:
        shutil.copyfile(trained.weights, temporary)
    return replace(trained, weights=whole)


def _has_ended(folder: Path) -> bool:
    """Whether a run is over: then its record says what it reached."""
    file = folder / "run.json"
    return file.is_file() and "reached" in read_json(file, "run's record", ConfigError)

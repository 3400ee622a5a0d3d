"""A training run: from a recipe to a weights file."""

import json
import logging
import math
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console

import hrnet
from hrnet.data.people import in_words
from hrnet.errors import ConfigError
from hrnet.evaluation.evaluate import Evaluation
from hrnet.files import atomic_write, sha256_of
from hrnet.runtime.execution import package_versions
from hrnet.runtime.torch_session import multiplies_bf16
from hrnet.tables import read_json, validate
from hrnet.training.callbacks import (
    AtomicCheckpoints,
    RunProgress,
    StepCheckpoint,
)
from hrnet.training.detection import DetectionTask
from hrnet.training.distributed import sync_batch_norm
from hrnet.training.pose import PoseTask
from hrnet.training.recipe import AnyRecipe, DetectorRecipe, RunConfig
from hrnet.training.task import Task

PACKAGES = ("torch", "pytorch-lightning", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class TrainedModel:
    """What a run made.

    Attributes:
        weights: float16 safetensors that carry the model card. Of several processes the first
            one writes it.
        measure: what was measured while training, in words.
        measured: the last measurement, in per cent, after early stopping the best one; None where
            nobody was measured.
        people: how many were measured.
        evaluations: by validation file; none in other processes than the first.
    """

    weights: Path
    measure: str
    measured: float | None
    people: int
    evaluations: dict[str, Evaluation]


def train(
    recipe: AnyRecipe,
    out: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
) -> TrainedModel:
    """Train as the recipe says, and evaluate on its validation files.

    Args:
        out: folder for checkpoints, the logs (`log/from_step_0/metrics.csv`, TensorBoard's events,
            pictures), the resolved recipe (`recipe.json`), what it ran on (`run.json`) and the
            weights.
        resume: go on from the last checkpoint in `out`.
        device: "auto", "cpu", "cuda", ..., Lightning's accelerators.
        devices: how many on each node, a process each; "auto" for all GPUs, or one process.
        nodes: how many there are; under torchrun and SLURM too.

    Raises:
        ConfigError: there is nothing to resume, or a run in `out` already, or one of another model
            or optimiser; no such device; or the recipe names no data.
        KeyboardInterrupt: Ctrl-C or SIGTERM while training.
        DataError: annotation files that are missing or do not fit the model's skeleton.
        ImageError: a picture is missing or broken.
        DownloadError, WeightsError: see `hrnet.training.start.load_start`.
    """
    out = Path(out)
    _check_folder(recipe, out, resume)
    _check_start(recipe)
    task = _task(recipe, out, device)
    pl.seed_everything(recipe.training.seed, verbose=False)
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    task.build()
    share = recipe.training.start_share
    start = {n: tensor.clone() for n, tensor in task.network.state_dict().items()} if share else {}
    trainer, steps, done = _trainer(recipe, out, task, resume, device, devices, nodes)
    if trainer.is_global_zero:
        record = _record(recipe, task, steps, trainer)
        _begin(recipe, out, record)
        _say(task, recipe, trainer)
    _fit(trainer, recipe, task, steps, done, last_checkpoint(out))
    measured = _take_result(trainer, recipe, task, last_checkpoint(out), done >= steps)
    weights, evaluations = out / f"{recipe.model.name}.safetensors", {}
    if trainer.is_global_zero:
        if share:
            _mix(task.network, start, share)
        task.save(weights)
        evaluations = task.evaluate(weights, device)
        figures = {file: evaluation.figures for file, evaluation in evaluations.items()}
        _write_json(out / "run.json", {**record, "reached": {task.measure: measured, **figures}})
    return TrainedModel(weights, task.measure_in_words, measured, task.measured_on, evaluations)


def last_checkpoint(out: Path) -> Path:
    """Where a run keeps what it can be resumed from."""
    return out / "checkpoints" / "last.ckpt"


def _check_start(recipe: AnyRecipe) -> None:
    """Refuse what is made of the weights that a run starts from, where there are none."""
    if recipe.training.start_from is not None:
        return
    for key in ("start_share", "distillation"):
        if getattr(recipe.training, key, 0):
            raise ConfigError(
                f"training.{key} is of the weights that a run starts from; give "
                "training.start_from as well"
            )


def _check_folder(recipe: AnyRecipe, out: Path, resume: bool) -> None:
    checkpoint = last_checkpoint(out)
    if resume and not checkpoint.is_file():
        raise ConfigError(f"there is no checkpoint {checkpoint} to resume from")
    if checkpoint.is_file() and not resume:
        raise ConfigError(f"{out} holds a run already; go on with it (--resume), or name another")
    if resume:
        _check_resumable(recipe, out / "recipe.json")


def _task(recipe: AnyRecipe, out: Path, device: str) -> Task:
    if isinstance(recipe, DetectorRecipe):
        return DetectionTask(recipe, out)
    return PoseTask(recipe, out, device)


def _trainer(
    recipe: AnyRecipe,
    out: Path,
    task: Task,
    resume: bool,
    device: str,
    devices: int | str,
    nodes: int,
) -> tuple[pl.Trainer, int, int]:
    """Lightning's trainer; optimiser steps in all, and those done before."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no tips and adverts
    config = recipe.training
    placement: dict[str, Any] = {
        "accelerator": "gpu" if device == "cuda" else device,
        "devices": devices,
        "num_nodes": nodes,
    }
    place = _place(placement)  # an epoch's steps depend on how many processes there are
    samples_per_step = config.batch_size * config.accumulate * place.world_size
    steps = config.steps or math.ceil((config.epochs or 1) * task.epoch_size / samples_per_step)
    done = _steps_done(last_checkpoint(out)) if resume else 0
    on_cpu = isinstance(place.accelerator, CPUAccelerator)
    trainer = pl.Trainer(
        **placement,
        **_settings(config),
        precision=_precision(config, on_cpu),
        sync_batchnorm=config.sync_batchnorm and not on_cpu,  # ours there, see `_fit`
        max_steps=steps,
        log_every_n_steps=max(1, min(20, steps // 50)),
        logger=[
            CSVLogger(out, name="log", version=f"from_step_{done}", flush_logs_every_n_steps=1),
            TensorBoardLogger(out, name="log", version=f"from_step_{done}"),
        ],
        callbacks=_callbacks(recipe, out, steps, task),
    )
    return trainer, steps, done


def _begin(recipe: AnyRecipe, out: Path, record: dict[str, Any]) -> None:
    """Write what is to be trained, and on what."""
    for unfinished in last_checkpoint(out).parent.glob(".*.ckpt"):  # of a run that was killed
        unfinished.unlink()
    with atomic_write(out / "recipe.json") as temporary:
        temporary.write_text(recipe.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
    _write_json(out / "run.json", record)


def _fit(
    trainer: pl.Trainer,
    recipe: AnyRecipe,
    task: Task,
    steps: int,
    done: int,
    checkpoint: Path,
) -> None:
    config = recipe.training
    process, processes = trainer.global_rank, trainer.world_size
    if config.sync_batchnorm and isinstance(trainer.accelerator, CPUAccelerator):
        sync_batch_norm(task.network)
    if config.compile:
        task.network.compile()
    samples = done * config.batch_size * config.accumulate * processes
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")  # advice on what is meant
        try:
            trainer.fit(
                task.module(steps),
                task.batches(samples, process, processes),
                task.measured_batches(process, processes) if task.measured_on else None,
                ckpt_path=str(checkpoint) if done else None,
                weights_only=True,
            )
        except (SystemExit, RuntimeError) as stopped:
            # Lightning's for Ctrl-C and SIGTERM; PyTorch's where the workers have got it too.
            if isinstance(stopped, RuntimeError) and not trainer.received_sigterm:
                raise
            raise KeyboardInterrupt from stopped


def _take_result(
    trainer: pl.Trainer, recipe: AnyRecipe, task: Task, checkpoint: Path, nothing_left: bool
) -> float | None:
    """Put the weights that count into the network; their measurement."""
    measured = trainer.callback_metrics.get(task.measure)
    if trainer.should_stop and recipe.training.early_stopping is not None:
        _take(task.network, checkpoint.with_name("best.ckpt"))
        measured = next(
            callback.best_model_score
            for callback in trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint) and callback.monitor == task.measure
        )
    elif nothing_left:  # Lightning takes no average then.
        _take(task.network, checkpoint)
    return None if measured is None else float(measured)


def _mix(network: torch.nn.Module, start: dict[str, torch.Tensor], share: float) -> None:
    """Make the weights a mean of those started from, with that share, and of what they are."""
    learnt = network.state_dict()
    network.load_state_dict(
        {
            name: tensor.lerp(start[name].to(tensor.device), share)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in learnt.items()
        }
    )


def _check_resumable(recipe: AnyRecipe, begun: Path) -> None:
    """What a checkpoint holds depends on some keys, or overrules them."""
    before = validate(type(recipe), read_json(begun, "recipe", ConfigError), str(begun))
    now, then = recipe.lasting(), before.lasting()
    changed = [key for key in now if now[key] != then[key]]
    if changed:
        raise ConfigError(
            f"the run in {begun.parent} was begun with another {' and '.join(changed)}; "
            "resume it with the recipe that it was begun with, or name another folder"
        )


def _place(placement: dict[str, Any]) -> pl.Trainer:
    """A trainer of nothing, which knows which process this is, of how many, and on what."""
    try:
        return pl.Trainer(
            **placement, logger=False, enable_checkpointing=False, enable_progress_bar=False
        )
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(f"cannot train on these devices: {error}") from None


def _settings(config: RunConfig) -> dict[str, Any]:
    """Of Lightning's trainer, what does not change from run to run but by the recipe."""
    plugins: list[Any] = [AtomicCheckpoints()]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # it would not resume as we do
    return {
        "accumulate_grad_batches": config.accumulate,
        "val_check_interval": config.validate_every * config.accumulate,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the sampler is ours
        "benchmark": True,  # cuDNN's choice of algorithms; all crops are of one size
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "plugins": plugins,
    }


def _precision(config: RunConfig, on_cpu: bool) -> Any:
    """The recipe's, but for bf16 on a processor that can only emulate it."""
    if on_cpu and config.precision == "bf16-mixed" and not multiplies_bf16():
        return "32-true"
    return config.precision


def _callbacks(recipe: AnyRecipe, out: Path, steps: int, task: Task) -> list[pl.Callback]:
    """Checkpoints last.ckpt and, of the best measurement, best.ckpt; the average; progress."""
    config = recipe.training
    folder = last_checkpoint(out).parent
    callbacks: list[pl.Callback] = [
        StepCheckpoint(folder, config.checkpoint_minutes, config.validate_every),
        RunProgress(steps, task.measure, task.measure_in_words),
    ]
    if task.measured_on:
        callbacks += [
            ModelCheckpoint(
                dirpath=folder,
                filename="best",
                monitor=task.measure,
                mode="max",
                enable_version_counter=False,
            ),
            *task.pictures(out / "log" / "pictures"),
        ]
    if config.early_stopping is not None:
        if not task.measured_on:
            raise ConfigError(
                "early_stopping needs people to measure on; give data.validation, or leave it out"
            )
        callbacks.append(EarlyStopping(task.measure, mode="max", patience=config.early_stopping))
    if config.ema is not None:
        callbacks.append(EMAWeightAveraging(decay=config.ema))
    return callbacks


def _record(recipe: AnyRecipe, task: Task, steps: int, trainer: pl.Trainer) -> dict[str, Any]:
    """What a run depends on beside its recipe."""
    files = [*recipe.data.sources, *recipe.data.validation]
    return {
        "schema": 1,
        "hrnet": hrnet.__version__,
        "python": platform.python_version(),
        "packages": package_versions(PACKAGES),
        "machine": platform.machine(),
        "processes": trainer.world_size,
        "precision": trainer.precision,
        "steps": steps,
        "seed": recipe.training.seed,
        "data": {s.file: sha256_of(Path(recipe.data.root, s.file)) for s in files},
        "people": {
            "trained_on": task.trained_on,
            "measured_on": task.measured_on,
        },
        "people_by_file": task.counts,
    }


def _write_json(file: Path, content: dict[str, Any]) -> None:
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _take(network: torch.nn.Module, checkpoint: Path) -> None:
    """A checkpoint's weights; the average, where there is one."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "model.network."
    network.load_state_dict(
        {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    )


def _say(task: Task, recipe: AnyRecipe, trainer: pl.Trainer) -> None:
    """On standard error and in TensorBoard's log: how many people each file has, who is left out of
    it, and whose boxes are made from the joints; what else there is to say; and whether another
    precision was chosen."""
    lines = [f"{file}: {in_words(of_file)}" for file, of_file in task.counts.items()]
    lines += task.remarks
    if trainer.precision != recipe.training.precision:
        lines.append(
            f"this processor has no bf16 instructions, without which {recipe.training.precision} "
            f"is slower: training in {trainer.precision}"
        )
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    console.print("\n".join(lines))
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        experiment = logger.experiment  # the CSV file's too, which wants its folder to be empty
        if isinstance(logger, TensorBoardLogger):
            experiment.add_text("people", "\n\n".join(lines))


def _steps_done(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])

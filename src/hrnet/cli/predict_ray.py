"""`hrnet predict --engine ray`: the same pictures on all cores, GPUs and machines that Ray has."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hrnet.cli.console import INTERRUPTED, console, plural, stoppable
from hrnet.cli.pictures import AS_ONE, found_by, hash_of, ids_and_boxes

if TYPE_CHECKING:
    from hrnet.detection.boxes_file import BoxesFile
    from hrnet.predicting.parts import Pictures


def predict_with_ray(
    sources: Sequence[str],
    *,
    recursive: bool,
    boxes: Path | None,
    annotations: Path | None,
    out: Path,
    save: str,
    resume: bool,
    actors: int | None,
    cpus: float,
    gpus: float,
    model: str | None,
    weights: str,
    detector: str,
    device: str,
    runtime: str,
    precision: str,
    flip_test: bool,
) -> None:
    """See `hrnet.cli.predict.predict`."""
    from rich.progress import Progress

    from hrnet import ray
    from hrnet.detection.coco_detections import passed_over_in_words
    from hrnet.detection.find import AUTO, WHOLE, auto_detector
    from hrnet.detection.find import VARIABLE as DETECTOR_VARIABLE
    from hrnet.errors import ConfigError
    from hrnet.predicting.parts import KINDS, Parts
    from hrnet.runtime.execution import PRECISION_VARIABLE, RUNTIME_VARIABLE

    kinds = {kind.strip() for kind in save.split(",")}
    if others := kinds.difference(KINDS):
        raise ConfigError(
            f"--engine ray saves {', '.join(KINDS)}; leave out {', '.join(sorted(others))}"
        )
    if (actors is not None and actors < 1) or cpus < 0 or gpus < 0 or cpus == gpus == 0:
        raise ConfigError("--actors must be at least 1, and of CPUs or GPUs each needs some")
    errors = console(errors=True)
    pictures, given = _pictures(sources, recursive, boxes, annotations, out)
    if given is not None and given.passed_over:
        errors.print(f"{boxes}: passed over {passed_over_in_words(given.passed_over)}")
    estimator = {
        "model": _absolute(model),
        "weights": _absolute(weights),
        "detector": _absolute(detector),
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "flip_test": flip_test,
    }
    parts = Parts(
        out,
        pictures,
        settings={
            "model": estimator["model"],
            "weights": estimator["weights"],
            "flip test": flip_test,
            "runtime, device or precision": [
                *(runtime, device, precision),
                *map(os.environ.get, (RUNTIME_VARIABLE, PRECISION_VARIABLE)),
            ],
            "boxes": hash_of(boxes),
            "detector": [estimator["detector"], os.environ.get(DETECTOR_VARIABLE)],
            "annotations": hash_of(annotations),
        },
        resume=resume,
    )
    lost = 0
    try:
        with (
            stoppable(),
            Progress(console=errors, disable=not errors.is_terminal, transient=True) as progress,
        ):
            task = progress.add_task("predicting", total=len(pictures))
            progress.advance(task, parts.pictures_done())
            if parts.pictures_done() < len(pictures):
                with ray.running():
                    for part, summary, sentences in ray.write_parts(
                        parts.folder,
                        parts.todo(),
                        upright=given is None or given.upright,
                        actors=actors,
                        cpus=cpus,
                        gpus=gpus,
                        **estimator,
                    ):
                        first, last = parts.pictures_in(part.number)
                        for sentence in sentences:
                            errors.print(f"error: {sentence}")
                        if summary is None:
                            lost += last - first
                            errors.print(
                                f"error: the pictures from {first + 1} to {last} end the process "
                                "that works on them; --resume tries them again"
                            )
                        progress.advance(task, last - first)
            if not lost:
                parts.finish(kinds)
    except KeyboardInterrupt:
        so_far = f"{plural(parts.pictures_done(), 'picture', 'pictures')} of {len(pictures)}"
        errors.print(f"interrupted; {so_far} are done; to go on, repeat the command with --resume")
        raise typer.Exit(INTERRUPTED) from None
    if lost:
        raise typer.Exit(1 if parts.pictures_done() else 2)
    total = parts.total()
    skeleton = total.skeleton
    if detector == AUTO and boxes is None:
        detector = auto_detector(skeleton)
    people, good = plural(total.people, "person", "people"), total.pictures - total.failed
    said = f"{people} in {plural(good, 'picture', 'pictures')}"
    if boxes is None:
        said += f", {found_by(detector)}"
    if total.failed:
        failed = plural(total.failed, "picture", "pictures")
        said += f"; {failed} could not be used (the error is in the row)"
    console().print(f"{said}; the model ran in {' and '.join(total.runs)}; results are in {out}/")
    if detector == WHOLE and boxes is None and not skeleton.of_people:
        console().print(AS_ONE.format("picture", total.model))
    if total.failed:
        raise typer.Exit(1 if good else 2)


def _pictures(
    sources: Sequence[str],
    recursive: bool,
    boxes: Path | None,
    annotations: Path | None,
    out: Path,
) -> "tuple[Pictures, BoxesFile | None]":
    """Those meant, and the boxes of the people in them."""
    from hrnet.errors import ConfigError
    from hrnet.images.sources import find_sources
    from hrnet.predicting.parts import FoundPictures, ParquetPictures
    from hrnet.video.reading import is_video

    tables = [source for source in sources if source.endswith(".parquet")]
    if tables:
        if len(tables) < len(sources):
            raise ConfigError("there are pictures and Parquet files; give them one after the other")
        if boxes is not None or annotations is not None:
            raise ConfigError(
                "Parquet files go without --boxes and --annotations; hrnet.ray.predict takes boxes "
                "from a column"
            )
        return ParquetPictures(list(map(Path, tables))), None
    if any(map(is_video, sources)):
        raise ConfigError("--engine ray reads no videos; leave it out for them")
    found = find_sources(sources, recursive=recursive, skip=out)
    ids, given = ids_and_boxes(found, boxes, annotations)
    return FoundPictures(found, ids, given, annotations), given


def _absolute(name: str | None) -> str | None:
    """Of a file the absolute path, for processes that are elsewhere; any other name as it is."""
    return name if name is None or not os.path.exists(name) else os.path.abspath(name)

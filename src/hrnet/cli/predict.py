"""`hrnet predict`: pictures and videos in; annotated copies, JSON and tables out."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from hrnet.cli.console import INTERRUPTED, console, plural, stoppable
from hrnet.cli.options import Device, FlipTest, ModelName, OtherWeights, Precision, Runtime
from hrnet.cli.pictures import AS_ONE, found_by, hash_of, ids_and_boxes

if TYPE_CHECKING:
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.predicting.folder import Done
    from hrnet.predicting.picture import FrameResult
    from hrnet.video.reading import Frames

LOCAL, RAY = "local", "ray"
THRESHOLD = 0.2


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, videos, folders, glob patterns (** goes down), URLs, '@FILE' (a list, "
            "one a line), '-' (standard input), 'sample', or 'webcam'."
        ),
    ],
    model: ModelName = None,
    weights: OtherWeights = "default",
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Search subfolders of folders too.")
    ] = False,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="People's boxes: JSON {picture: [[x1, y1, x2, y2], ...]} or CSV "
            "name,x1,y1,x2,y2[,score], in pixels of the picture as shown, turned upright; or COCO "
            "detections, in pixels of the picture as stored."
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="COCO annotation file that tells pictures' image_id, for COCO detections and "
            "--save coco. [default: the number that a picture is called]"
        ),
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            help="What finds the people: auto (the detector in the package), whole (each picture "
            "is one person), yolox_nano to yolox_x, or a file: ONNX of YOLOX's, or weights of a "
            "detector trained with hrnet."
        ),
    ] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    save: Annotated[
        str | None,
        typer.Option(
            help="Some of json, image, crops (for each picture), coco, csv, labels (one file for "
            "all; labels: in COCO's format, to correct and train on); of --engine ray parquet, "
            "jsonl, coco. [default: json,image, or parquet]"
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            help="Joints less probable, or without probabilities of a lower score, are not drawn, "
            "nor labelled."
        ),
    ] = THRESHOLD,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run into OUT stopped.")
    ] = False,
    start: Annotated[float, typer.Option(help="Of videos, the second to begin with.")] = 0.0,
    end: Annotated[
        float | None, typer.Option(help="Of videos, the second to end with. [default: the last]")
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            help="Of videos, look for people in every so many frames; in between their boxes move "
            "on."
        ),
    ] = 1,
    fps: Annotated[
        float | None,
        typer.Option(help="Take the pictures of a folder as frames of a video, so many a second."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print one JSON line a picture, nothing else.")
    ] = False,
    device: Device = "auto",
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    flip_test: FlipTest = False,
    engine: Annotated[
        str,
        typer.Option(
            help="local, or ray: on all cores, GPUs and machines that Ray has, in parts. Takes "
            "Parquet files with a column path, and perhaps bytes, too."
        ),
    ] = LOCAL,
    actors: Annotated[
        int | None,
        typer.Option(help="Of --engine ray, how many work. [default: as there is room for]"),
    ] = None,
    cpus_per_actor: Annotated[
        float, typer.Option(help="Of --engine ray, of each, as Ray counts them.")
    ] = 1.0,
    gpus_per_actor: Annotated[
        float, typer.Option(help="Of --engine ray, of each, as Ray counts them.")
    ] = 0.0,
) -> None:
    """Find people's joints in pictures and videos.

    For every picture, an annotated copy and a JSON file appear in the folder OUT; for every video,
    an annotated copy and a file with a JSON line a frame.
    """
    from rich.progress import Progress

    from hrnet.detection.coco_detections import passed_over_in_words
    from hrnet.detection.find import AUTO, WHOLE, auto_detector
    from hrnet.errors import ConfigError
    from hrnet.images.sources import find_sources
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.predicting.folder import predict_folder
    from hrnet.predicting.outputs import Outputs, parse_kinds
    from hrnet.video.reading import is_video

    if not isfinite(threshold):
        raise ConfigError(f"--threshold is {threshold}; it must be a number such as 0.2")
    if boxes is not None and detector != AUTO:
        raise ConfigError("--boxes say where the people are; leave out --detector")
    if every < 1:
        raise ConfigError(f"--every is {every}; it must be at least 1")
    if engine not in (LOCAL, RAY):
        raise ConfigError(f"there is no engine {engine!r}; it is {LOCAL} or {RAY}")
    if engine == RAY:
        from hrnet.cli.predict_ray import predict_with_ray

        other = {
            "--start": start,
            "--end": end is not None,
            "--every": every != 1,
            "--fps": fps is not None,
            "--threshold": threshold != THRESHOLD,
            "--quiet": quiet,
        }
        if names := " and ".join(name for name, is_given in other.items() if is_given):
            raise ConfigError(f"--engine ray reads no videos and draws nothing; leave out {names}")
        predict_with_ray(
            sources,
            recursive=recursive,
            boxes=boxes,
            annotations=annotations,
            out=out,
            save="parquet" if save is None else save,
            resume=resume,
            actors=actors,
            cpus=cpus_per_actor,
            gpus=gpus_per_actor,
            model=model,
            weights=weights,
            detector=detector,
            device=device,
            runtime=runtime,
            precision=precision,
            flip_test=flip_test,
        )
        return
    if (actors, cpus_per_actor, gpus_per_actor) != (None, 1, 0):
        raise ConfigError("--actors, --cpus-per-actor and --gpus-per-actor are for --engine ray")
    kinds = parse_kinds("json,image" if save is None else save)
    sources = [own for source in sources for own in _listed(source)]
    videos = sources if fps is not None else [source for source in sources if is_video(source)]
    if not videos and (start or end is not None or every != 1):
        raise ConfigError("--start, --end and --every are for videos; there are none")
    if videos and len(videos) < len(sources):
        raise ConfigError("there are pictures and videos; give them one after the other")
    if videos and (boxes is not None or annotations is not None or resume):
        raise ConfigError("videos go without --boxes, --annotations and --resume")
    found = [] if videos else find_sources(sources, recursive=recursive, skip=out)
    estimator = PoseEstimator(
        model,
        weights=weights,
        device=device,
        runtime=runtime,
        precision=precision,
        flip_test=flip_test,
        detector=detector,
    )
    if detector == AUTO and boxes is None:
        detector = auto_detector(estimator.card.skeleton)
        as_one = detector == WHOLE and not estimator.card.skeleton.of_people and not quiet
    else:
        as_one = False
    if videos:
        how = {"start": start, "end": inf if end is None else end, "threshold": threshold}
        _predict_videos(estimator, videos, out, kinds, quiet=quiet, fps=fps, every=every, **how)
        if as_one:
            console().print(AS_ONE.format("frame", estimator.card.name))
        return
    ids, given = ids_and_boxes(found, boxes, annotations)
    outputs = Outputs(
        out,
        kinds,
        found,
        image_ids=ids,
        settings={
            "model": estimator.card.name if model is None else model,
            "weights": weights,
            "flip test": flip_test,
            "runtime, device or precision": estimator.runner.runs,
            "boxes": hash_of(boxes),
            "detector": detector,
            "annotations": hash_of(annotations),
            "save": sorted(kinds),
            "threshold": threshold,
        },
        skeleton=estimator.card.skeleton,
        has_probability=estimator.card.calibration is not None,
        threshold=threshold,
        resume=resume,
    )
    errors = console(errors=True)
    # Elsewhere than on a terminal it would leave an empty line.
    hidden = quiet or len(found) == 1 or not errors.is_terminal
    if given is not None and given.passed_over:
        errors.print(f"{boxes}: passed over {passed_over_in_words(given.passed_over)}")
    count = _Count()
    try:
        with stoppable(), Progress(console=errors, disable=hidden, transient=True) as progress:
            task = progress.add_task("predicting", total=len(found))
            for done in predict_folder(
                estimator, found, outputs, boxes=given, annotations=annotations
            ):
                count.add(done)
                if done.error is not None:
                    prefix = "" if str(done.source) in str(done.error) else f"{done.source}: "
                    errors.print(f"error: {prefix}{done.error}")
                elif quiet and done.answer is not None:
                    print(json.dumps(done.answer, allow_nan=False), flush=True)
                progress.advance(task)
    except KeyboardInterrupt:
        written = sum(map(outputs.is_done, found))  # a last one may be written and not counted
        so_far = f"{plural(written, 'picture', 'pictures')} of {len(found)} are done"
        errors.print(f"interrupted; {so_far}; to go on, repeat the command with --resume")
        raise typer.Exit(INTERRUPTED) from None
    if not quiet:
        by = None if boxes is not None else detector
        console().print(count.summary(out, by, estimator.runner.runs))
        if as_one and count.done:
            console().print(AS_ONE.format("picture", estimator.card.name))
    if count.failed:
        raise typer.Exit(1 if count.done or count.earlier else 2)


def _predict_videos(
    estimator: "PoseEstimator",
    videos: Sequence[str],
    out: Path,
    kinds: frozenset[str],
    *,
    quiet: bool,
    fps: float | None,
    every: int,
    **settings: float,
) -> None:
    """One after the other; an error of one is said, and the others go on."""
    from hrnet.errors import HRNetError
    from hrnet.predicting.outputs import output_names
    from hrnet.predicting.videos import predict_video
    from hrnet.video.reading import open_frames

    errors = console(errors=True)
    failed = 0
    names = output_names([_video_name(source) for source in videos])
    try:
        for source, name in zip(videos, names, strict=True):
            try:
                frames = open_frames(source, fps=fps)
                results = predict_video(
                    estimator, frames, out / name, kinds, every=every, **settings
                )
                with stoppable():
                    summary = _follow(results, frames, hidden=quiet or not errors.is_terminal)
            except HRNetError as error:
                failed += 1
                errors.print(f"error: {error}")
                continue
            if frames.broken:
                errors.print(
                    f"{source}: {len(frames.broken)} frames could not be read, "
                    f"{frames.broken[0]} first"
                )
            if not quiet:
                found = found_by(estimator.detector.name)
                console().print(
                    f"{source}: {summary} ({estimator.runner.runs}), {found}; results are in {out}/"
                )
    except KeyboardInterrupt:
        errors.print(f"interrupted; what is done so far is in {out}/")
        raise typer.Exit(INTERRUPTED) from None
    if failed:
        raise typer.Exit(2 if failed == len(videos) else 1)


def _follow(results: "Iterator[FrameResult]", frames: "Frames", *, hidden: bool) -> str:
    """See a video through, with a bar; what to say of it."""
    from rich.progress import Progress

    begun = perf_counter()
    done, people = 0, set[int]()
    speed = ""
    with Progress(console=console(errors=True), disable=hidden, transient=True) as progress:
        task = progress.add_task(frames.source, total=None)
        for result in results:
            done += 1
            assert result.poses.track_ids is not None
            people.update(result.poses.track_ids.tolist())
            speed = f"{done / (perf_counter() - begun):.1f} frames a second"
            said = f"{frames.source}, {speed}"
            progress.update(task, completed=result.number, total=frames.frames, description=said)
    counts = plural(done, "frame", "frames"), plural(len(people), "person", "people")
    return ", ".join([*counts, speed])


def _listed(source: str) -> list[str]:
    """What a list of videos names; any other source as it is."""
    from hrnet.images.sources import find_sources
    from hrnet.video.reading import is_video

    if not source.startswith("@") or not Path(source[1:]).is_file() or Path(source).exists():
        return [source]
    named = [str(own.place) for own in find_sources([source])]
    return named if all(map(is_video, named)) else [source]


def _video_name(source: str) -> str:
    """What the results of a video are called, but for their endings."""
    from hrnet.images.sources import url_name

    if Path(source).exists():
        return Path(os.path.abspath(source)).name  # a link has its own name
    return url_name(source) if "://" in source else source.replace(":", "_")


@dataclass
class _Count:
    """How many pictures came to what."""

    done: int = 0
    people: int = 0
    earlier: int = 0
    failed: int = 0

    def add(self, done: "Done") -> None:
        if done.error is not None:
            self.failed += 1
        elif done.answer is None:
            self.earlier += 1
        else:
            self.done += 1
            self.people += len(done.answer["people"])

    def summary(self, out: Path, detector: str | None, runs: str) -> str:
        """With the name of what found the people, if anything did, and what the model runs in."""
        people, pictures = (self.people, "person", "people"), (self.done, "picture", "pictures")
        parts = [f"{plural(*people)} in {plural(*pictures)}"]
        if detector is not None:
            parts[0] += f", {found_by(detector)}"
        if self.earlier:
            parts.append(f"{plural(self.earlier, 'picture was', 'pictures were')} done before")
        if self.failed:
            failed = plural(self.failed, "picture", "pictures")
            parts.append(f"{failed} could not be used (see above)")
        if self.done:
            parts.append(f"the model ran in {runs}")
        if self.done or self.earlier:
            parts.append(f"results are in {out}/")
        return "; ".join(parts)

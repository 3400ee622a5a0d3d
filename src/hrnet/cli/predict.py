"""`hrnet predict`: pictures and videos in; annotated copies, JSON and tables out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from hrnet.cli.console import INTERRUPTED, console

if TYPE_CHECKING:
    from hrnet.images.sources import Source
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.predicting.folder import Done


AS_ONE = (
    "Each {} was taken as one person. For several people, give a detector, such as --detector "
    "yolox_nano, or their boxes with --boxes."
)


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, videos, folders, glob patterns (** goes down), URLs, '@FILE' (a list, "
            "one a line), '-' (standard input), or 'sample'."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A model's name, a file, or hf:owner/name. [default: the packaged]"),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="A file, URL or hf:owner/name of other weights for the model.")
    ] = "default",
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
            help="What finds the people: whole (each picture is one person), yolox_nano, or an "
            "ONNX file of YOLOX's."
        ),
    ] = "whole",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    save: Annotated[
        str,
        typer.Option(
            help="Some of json, image, crops (for each picture), coco, csv, labels (one file for "
            "all; labels: in COCO's format, to correct and train on)."
        ),
    ] = "json,image",
    threshold: Annotated[
        float,
        typer.Option(
            help="Joints less probable, or without probabilities of a lower score, are not drawn, "
            "nor labelled."
        ),
    ] = 0.2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run into OUT stopped.")
    ] = False,
    start: Annotated[float, typer.Option(help="Of videos, the second to begin with.")] = 0.0,
    end: Annotated[
        float | None, typer.Option(help="Of videos, the second to end with. [default: the last]")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print one JSON line a picture, nothing else.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture; half as fast.")
    ] = False,
) -> None:
    """Find people's joints in pictures and videos.

    For every picture, an annotated copy and a JSON file appear in the folder OUT; for every video,
    an annotated copy and a file with a JSON line a frame.
    """
    import signal

    from rich.progress import Progress

    from hrnet.detection.boxes_file import BoxesFile, category_ids, image_ids
    from hrnet.detection.coco_detections import passed_over_in_words
    from hrnet.errors import ConfigError
    from hrnet.images.sources import find_sources
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.predicting.folder import predict_folder
    from hrnet.predicting.outputs import Outputs, parse_kinds

    if not isfinite(threshold):
        raise ConfigError(f"--threshold is {threshold}; it must be a number such as 0.2")
    if boxes is not None and detector != "whole":
        raise ConfigError("--boxes say where the people are; leave out --detector")
    kinds = parse_kinds(save)
    found = find_sources(sources, recursive=recursive, skip=out)
    videos = [source for source in found if _is_video(source)]
    if not videos and (start or end is not None):
        raise ConfigError("--start and --end are for videos; there are none")
    if videos:
        if len(videos) < len(found):
            raise ConfigError("there are pictures and videos; give them one after the other")
        if boxes is not None or annotations is not None or resume:
            raise ConfigError("videos go without --boxes, --annotations and --resume")
        estimator = PoseEstimator(
            model, weights=weights, device=device, flip_test=flip_test, detector=detector
        )
        limits = {"start": start, "end": inf if end is None else end}
        _predict_videos(estimator, videos, out, kinds, threshold=threshold, quiet=quiet, **limits)
        return
    identities = [source.identity for source in found]
    ids = image_ids(identities, annotations)
    given = None
    if boxes is not None:
        categories = None if annotations is None else category_ids(annotations)
        given = BoxesFile(boxes, identities, ids, categories)
    estimator = PoseEstimator(
        model, weights=weights, device=device, flip_test=flip_test, detector=detector
    )
    outputs = Outputs(
        out,
        kinds,
        found,
        image_ids=ids if annotations is not None else _unique(ids),
        settings={
            "model": estimator.card.name if model is None else model,
            "weights": weights,
            "flip test": flip_test,
            "boxes": _hash(boxes),
            "detector": detector,
            "annotations": _hash(annotations),
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
    at_kill = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        with Progress(console=errors, disable=hidden, transient=True) as progress:
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
        so_far = f"{_plural(written, 'picture', 'pictures')} of {len(found)} are done"
        errors.print(f"interrupted; {so_far}; to go on, repeat the command with --resume")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, at_kill)
    if not quiet:
        summary = count.summary(out)
        if given is None and detector == "whole" and count.done:
            summary += "\n" + AS_ONE.format("picture")
        console().print(summary)
    if count.failed:
        raise typer.Exit(1 if count.done or count.earlier else 2)


def _is_video(source: "Source") -> bool:
    from hrnet.video.reading import SUFFIXES

    return isinstance(source.place, Path) and source.place.suffix.lower() in SUFFIXES


def _predict_videos(
    estimator: "PoseEstimator",
    videos: "list[Source]",
    out: Path,
    kinds: frozenset[str],
    *,
    quiet: bool,
    **settings: float,
) -> None:
    """One after the other; an error of one is said, and the others go on."""
    import signal

    from rich.progress import Progress

    from hrnet.detection.find import WHOLE
    from hrnet.errors import HRNetError
    from hrnet.predicting.outputs import output_names
    from hrnet.predicting.videos import predict_video

    errors = console(errors=True)
    failed = 0
    at_kill = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        for source, name in zip(videos, output_names([s.name for s in videos]), strict=True):
            begun = perf_counter()
            frames, people = 0, set[int]()
            broken: list[int] = []
            hidden = quiet or not errors.is_terminal
            with Progress(console=errors, disable=hidden, transient=True) as progress:
                task = progress.add_task(source.name, total=None)
                try:
                    for result, reader in predict_video(
                        estimator, Path(source.place), out / name, kinds, **settings
                    ):
                        frames, broken = frames + 1, reader.broken
                        assert result.poses.track_ids is not None
                        people.update(result.poses.track_ids.tolist())
                        speed = frames / (perf_counter() - begun)
                        described = f"{source.name}, {speed:.1f} frames a second"
                        progress.update(
                            task,
                            completed=result.number,
                            total=reader.frames,
                            description=described,
                        )
                except HRNetError as error:
                    failed += 1
                    errors.print(f"error: {error}")
                    continue
            if broken:
                errors.print(f"{source}: {len(broken)} frames could not be read, {broken[0]} first")
            if not quiet:
                speed = frames / (perf_counter() - begun)
                console().print(
                    f"{source}: {_plural(frames, 'frame', 'frames')}, "
                    f"{_plural(len(people), 'person', 'people')}, {speed:.1f} frames a second; "
                    f"results are in {out}/"
                )
        if not quiet and estimator.detector.name == WHOLE:
            console().print(AS_ONE.format("frame"))
    except KeyboardInterrupt:
        errors.print(f"interrupted; what is done so far is in {out}/")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, at_kill)
    if failed:
        raise typer.Exit(2 if failed == len(videos) else 1)


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

    def summary(self, out: Path) -> str:
        people, pictures = (self.people, "person", "people"), (self.done, "picture", "pictures")
        parts = [f"{_plural(*people)} in {_plural(*pictures)}"]
        if self.earlier:
            parts.append(f"{_plural(self.earlier, 'picture was', 'pictures were')} done before")
        if self.failed:
            failed = _plural(self.failed, "picture", "pictures")
            parts.append(f"{failed} could not be used (see above)")
        if self.done or self.earlier:
            parts.append(f"results are in {out}/")
        return "; ".join(parts)


def _unique(ids: Sequence[int | None]) -> Sequence[int | None]:
    """The ids, or numbers from 1 if not all pictures have one of their own."""
    return range(1, len(ids) + 1) if None in ids or len(set(ids)) < len(ids) else ids


def _hash(file: Path | None) -> str | None:
    from hrnet.files import sha256_of

    return None if file is None else sha256_of(file)


def _plural(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

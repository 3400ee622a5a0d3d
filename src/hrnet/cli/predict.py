"""`hrnet predict`: pictures in; annotated copies, JSON and tables out."""

import json
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrnet.cli.progress import INTERRUPTED

if TYPE_CHECKING:
    from hrnet.images.sources import Source
    from hrnet.predicting.estimator import Picture


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders, glob patterns (** goes down), URLs, '@FILE' (a list, one a "
            "line), '-' (standard input), or 'sample'."
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
            help="People's boxes in pixels: JSON {picture: [[x1, y1, x2, y2], ...]}, CSV "
            "name,x1,y1,x2,y2[,score], or COCO detections."
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="COCO annotation file that tells pictures' image_id, for COCO detections and "
            "--save coco. [default: the number that a picture is called]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    save: Annotated[
        str,
        typer.Option(
            help="Some of json, image, crops (for each picture), coco, csv (one file for all)."
        ),
    ] = "json,image",
    threshold: Annotated[float, typer.Option(help="Joints that score less are not drawn.")] = 0.2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run into OUT stopped.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print one JSON line a picture, nothing else.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture; half as fast.")
    ] = False,
) -> None:
    """Find people's joints in pictures.

    For every picture, an annotated copy and a JSON file appear in the folder OUT.
    """
    import signal

    from rich.console import Console
    from rich.progress import Progress

    from hrnet.detection.boxes_file import BoxesFile, image_ids
    from hrnet.errors import BoxError, ConfigError, HRNetError
    from hrnet.images.sources import find_sources
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.predicting.outputs import Outputs, parse_kinds

    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    if not isfinite(threshold):
        raise ConfigError(f"--threshold is {threshold}; it must be a number such as 0.2")
    kinds = parse_kinds(save)
    found = find_sources(sources, recursive=recursive, skip=out)
    identities = [source.identity for source in found]
    ids = image_ids(identities, annotations)
    given = None if boxes is None else BoxesFile(boxes, identities, ids)
    estimator = PoseEstimator(model, weights=weights, device=device, flip_test=flip_test)
    outputs = Outputs(
        out,
        kinds,
        found,
        image_ids=ids if annotations is not None else _unique(ids),
        settings={
            "model": str(model or estimator.card.name),
            "weights": weights,
            "flip test": flip_test,
            "boxes": _hash(boxes),
            "annotations": _hash(annotations),
            "save": sorted(kinds),
            "threshold": threshold,
        },
        skeleton=estimator.card.skeleton,
        threshold=threshold,
        resume=resume,
    )
    done = people = earlier = failed = 0

    def pictures() -> Iterator["Picture"]:
        nonlocal earlier, failed
        for source, identity, image_id in zip(found, identities, ids, strict=True):
            if outputs.is_done(source):
                earlier += 1
                progress.advance(task)
                continue
            try:
                if annotations is not None and image_id is None:
                    raise BoxError(f"{annotations} does not list it")
                picture = estimator.prepare(
                    source.read(), None if given is None else given.of(identity), key=source
                )
            except HRNetError as error:
                prefix = "" if str(source) in str(error) else f"{source}: "
                errors.print(f"error: {prefix}{error}")
                failed += 1
                progress.advance(task)
                continue
            yield picture

    # Elsewhere than on a terminal it would leave an empty line.
    hidden = quiet or len(found) == 1 or not errors.is_terminal
    at_kill = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        with Progress(console=errors, disable=hidden, transient=True) as progress:
            task = progress.add_task("predicting", total=len(found))
            for picture, poses in estimator.stream(pictures()):
                source: Source = picture.key
                height, width = picture.image.shape[:2]
                content: dict[str, Any] = {
                    "image": {
                        "file": source.file_name,
                        "path": str(source.place),
                        "width": width,
                        "height": height,
                    },
                    "model": {"name": estimator.card.name, "flip_test": flip_test},
                    **poses.to_dict(),
                }
                outputs.write(source, picture, poses, content)
                if quiet:
                    print(json.dumps(content, allow_nan=False), flush=True)
                done += 1
                people += len(poses)
                progress.advance(task)
        outputs.finish()
    except KeyboardInterrupt:
        errors.print(
            f"interrupted; {_count(earlier + done, 'picture', 'pictures')} of {len(found)} are "
            "done; to go on, repeat the command with --resume"
        )
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, at_kill)

    if not quiet:
        summary = f"{_count(people, 'person', 'people')} in {_count(done, 'picture', 'pictures')}"
        if earlier:
            summary += f"; {_count(earlier, 'picture was', 'pictures were')} done before"
        if failed:
            summary += f"; {_count(failed, 'picture', 'pictures')} could not be used (see above)"
        if done or earlier:
            summary += f"; results are in {out}/"
        if given is None and done:
            summary += (
                "\nEach picture was taken as one person: there is no detector yet. "
                "For several people, give their boxes with --boxes."
            )
        Console(soft_wrap=True, highlight=False, markup=False).print(summary)
    if failed:
        raise typer.Exit(1 if done or earlier else 2)


def _unique(ids: Sequence[int | None]) -> Sequence[int | None]:
    """The ids, or numbers from 1 if not all pictures have one of their own."""
    return range(1, len(ids) + 1) if None in ids or len(set(ids)) < len(ids) else ids


def _hash(file: Path | None) -> str | None:
    from hrnet.files import sha256_of

    return None if file is None else sha256_of(file)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

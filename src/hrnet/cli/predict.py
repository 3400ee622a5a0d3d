"""`hrnet predict`: pictures in, annotated copies and JSON out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hrnet.estimator import Boxes
    from hrnet.images import Image


def predict(
    sources: Annotated[
        list[str], typer.Argument(help="Pictures, folders, glob patterns, or 'sample'.")
    ],
    model: Annotated[
        str | None, typer.Option(help="A model's name or a weights file. [default: the packaged]")
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(help="JSON file {picture's file name: [[x1, y1, x2, y2], ...]}, in pixels."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture; half as fast.")
    ] = False,
    min_score: Annotated[float, typer.Option(help="Joints below it are not drawn.")] = 0.2,
) -> None:
    """Find people's joints in pictures.

    For every picture, an annotated copy and a JSON file appear in the folder OUT.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hrnet.detection import check_boxes
    from hrnet.errors import BoxError, ConfigError, HRNetError
    from hrnet.estimator import PoseEstimator
    from hrnet.files import atomic_write
    from hrnet.images import find_images, read_image, write_image

    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    files = find_images([_sample() if s == "sample" else s for s in sources])
    names = _output_names(files)
    given = None if boxes is None else _read_boxes(boxes)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder")
    _check_not_overwriting(files, names, out)
    estimator = PoseEstimator(model, device=device, flip_test=flip_test)

    read: list[Path] = []
    failed: list[Path] = []

    def pictures() -> Iterator[tuple["Image", "Boxes"]]:
        for file in files:
            try:
                image = read_image(file)
                people = None
                if given is not None:
                    if file.name not in given:
                        raise BoxError(f"{boxes} has no boxes for it")
                    people = check_boxes(given[file.name], image.shape[1], image.shape[0])
            except HRNetError as error:
                prefix = "" if str(file) in str(error) else f"{file}: "
                errors.print(f"error: {prefix}{error}")
                failed.append(file)
                progress.advance(task)
                continue
            read.append(file)
            yield image, people

    people = 0
    # Elsewhere than on a terminal it would leave an empty line.
    quiet = len(files) == 1 or not errors.is_terminal
    with Progress(console=errors, disable=quiet, transient=True) as progress:
        task = progress.add_task("predicting", total=len(files))
        for done, (image, poses) in enumerate(estimator.stream(pictures())):
            file = read[done]
            write_image(out / f"{names[file]}.png", poses.draw(image, min_score=min_score))
            content: dict[str, Any] = {
                "image": {"file": file.name, "width": image.shape[1], "height": image.shape[0]},
                "model": {"name": estimator.card.name, "flip_test": flip_test},
                **poses.to_dict(),
            }
            with atomic_write(out / f"{names[file]}.json") as temporary:
                temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
            people += len(poses)
            progress.advance(task)

    summary = f"{_count(people, 'person', 'people')} in {_count(len(read), 'picture', 'pictures')}"
    if failed:
        summary += f"; {_count(len(failed), 'picture', 'pictures')} could not be used (see above)"
    if read:
        summary += f"; results are in {out}/"
    if given is None and read:
        summary += (
            "\nEach picture was taken as one person: there is no detector yet. "
            "For several people, give their boxes with --boxes."
        )
    Console(soft_wrap=True, highlight=False, markup=False).print(summary)
    if failed:
        raise typer.Exit(1 if read else 2)


def _sample() -> str:
    """The photograph that comes with the package."""
    from importlib.resources import files

    return str(files("hrnet") / "samples" / "astronaut.jpg")


def _output_names(files: list[Path]) -> dict[Path, str]:
    """Each picture's stem, or where several share one, with their suffix or a number."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    stems = [file.stem for file in files]
    for file in files:
        name = file.stem if stems.count(file.stem) == 1 else file.name
        number = 2
        while name in taken:
            name = f"{file.name}-{number}"
            number += 1
        taken.add(name)
        names[file] = name
    return names


def _check_not_overwriting(files: list[Path], names: dict[Path, str], out: Path) -> None:
    """Annotated copies must not take the place of the pictures themselves."""
    from hrnet.errors import ConfigError

    given = {file.resolve(): file for file in files}
    for name in names.values():
        original = given.get((out / f"{name}.png").resolve())
        if original is not None:
            raise ConfigError(
                f"an annotated copy would overwrite {original}; give another folder by --out"
            )


def _read_boxes(file: Path) -> dict[str, Any]:
    from hrnet.errors import BoxError

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BoxError(f"there is no boxes file {file}") from None
    except (OSError, ValueError, RecursionError) as error:  # not JSON, not UTF-8, too deep
        raise BoxError(f"the boxes file {file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise BoxError(f"{file} must be a table {{file name: [[x1, y1, x2, y2], ...]}}")
    return content


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

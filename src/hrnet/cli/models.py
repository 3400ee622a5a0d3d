"""`hrnet models`: what there is, what each one is, and its weights onto this machine."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrnet.cli.console import console

if TYPE_CHECKING:
    from hrnet.detection.find import DetectorSource
    from hrnet.zoo.card import ModelCard, WeightsCard

models = typer.Typer(help="List, show and download models.", no_args_is_help=True)


@models.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="Glob pattern of names, such as '*coco*'.")] = "*",
    skeleton: Annotated[str | None, typer.Option(help="Only of this skeleton.")] = None,
    codec: Annotated[str | None, typer.Option(help="Only plain, dark or udp.")] = None,
) -> None:
    """List the models by name, and after them what finds people for them."""
    from rich.table import Table

    from hrnet.errors import ConfigError
    from hrnet.skeletons import load_skeleton
    from hrnet.tables import nearest_names
    from hrnet.zoo import find_model, list_models

    codecs = ("plain", "dark", "udp")
    if codec is not None and codec not in codecs:
        raise ConfigError(f"there is no codec {codec!r}{nearest_names(codec, codecs)}")
    if skeleton is not None:
        load_skeleton(skeleton)
    cards = [find_model(name).card for name in list_models(pattern)]
    cards = [
        c for c in cards if skeleton in (None, c.skeleton.name) and codec in (None, c.codec.kind)
    ]
    detectors = _detectors(pattern) if skeleton is None and codec is None else []
    if not cards and not detectors:
        raise ConfigError(f"no model matches {pattern}; see hrnet models list")
    screen = console()
    if not screen.is_terminal:
        for card in cards:
            typer.echo(f"{card.name}\t{card.skeleton.name}\t{card.description}")
        for source in detectors:
            typer.echo(f"{source.name}\tdetector\t{source.description}")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "published", "weights"):
        table.add_column(column, no_wrap=True)
    for card in cards:
        table.add_row(card.name, _headline(card), _where(card.weights))
    for source in detectors:
        table.add_row(source.name, "detector", _where(source))
    screen.print(table)


@models.command()
def show(
    name: Annotated[str, typer.Argument(help="A model's or detector's name, or a weights file.")],
) -> None:
    """Say all there is to know about a model."""

    from hrnet.detection.find import detector_sources
    from hrnet.zoo import find_model
    from hrnet.zoo.build import cost

    detector = detector_sources().get(name)
    if detector is not None:
        use = f"hrnet predict PICTURE --detector {name}"
        _say(name, {"what": detector.description, **_whereabouts(detector), "use": use})
        return
    card = find_model(name).card
    parameters, multiply_adds = cost(card.network, len(card.skeleton), card.input_size)
    width, height = card.input_size
    network, codec, names = card.network, card.codec, card.skeleton.keypoints
    flip = "the mirrored heatmap is moved by one cell" if card.flip_shift else "no shift"
    rows = {
        "what": card.description,
        "points": f"{len(names)} ({card.skeleton.name}): {', '.join(names)}",
        "input": f"{width} x {height} pixels (width x height), boxes padded by {card.padding:g}",
        "network": f"HRNet-W{network.base_channel}, {parameters / 1e6:.1f} M parameters, "
        f"{multiply_adds / 1e9:.2f} G multiply-adds, {network.upsampling} upsampling, "
        f"head {network.head}",
        "codec": f"{codec.kind}, sigma {codec.sigma:g} cells"
        + (f", blur of {codec.blur_kernel} cells" if codec.kind != "plain" else ""),
        "flip test": flip,
        "probabilities": ""
        if card.calibration is None
        else f"fitted on {card.calibration.fitted_on}",
        "trained on": card.trained_on,
        "by": card.source,
        "licence": card.licence,
        **({} if card.weights is None else _whereabouts(card.weights)),
    }
    _say(card.name, rows)
    screen = console()
    if card.figures:
        screen.print("  figures")
        for f in card.figures:
            screen.print(f"    {f.metric:<14} {f.value:<7g} {f.protocol}")
    screen.print(f"  use              hrnet predict PICTURE --model {name}")


@models.command()
def download(
    names: Annotated[
        list[str], typer.Argument(help="Names of models and detectors, or glob patterns.")
    ],
) -> None:
    """Fetch models' weights, to be used later without a network."""

    from hrnet.zoo import find_model, list_models
    from hrnet.zoo.sources import fetch_weights

    screen = console()
    for pattern in names:
        detectors = _detectors(pattern)
        models = list_models(pattern) or ([] if detectors else [pattern])
        found = {name: find_model(name).card.weights for name in models}
        for name, weights in (found | {source.name: source for source in detectors}).items():
            assert weights is not None  # every card of a name has weights
            screen.print(f"{name}  {fetch_weights(weights)}")


@models.command()
def push(
    file: Annotated[Path, typer.Argument(help="A .safetensors file with its card.")],
    name: Annotated[str, typer.Argument(help="hf:owner/name")],
    private: Annotated[bool, typer.Option("--private", help="For your own eyes.")] = False,
) -> None:
    """Put a model on Hugging Face's hub, for 'hrnet predict --model hf:owner/name'."""

    from hrnet.zoo.hub import push as run

    url = run(file, name, private=private)
    console().print(url)


def _detectors(pattern: str) -> "list[DetectorSource]":
    from hrnet.detection.find import detector_sources

    return [s for name, s in detector_sources().items() if fnmatchcase(name, pattern)]


def _say(name: str, rows: dict[str, str]) -> None:
    screen = console()
    screen.print(name)
    for title, text in rows.items():
        if text:
            screen.print(f"  {title:<16} {text}")


def _whereabouts(weights: "WeightsCard") -> dict[str, str]:
    """Rows that say where weights come from, and whether they are here."""
    from hrnet.zoo.sources import cache_place

    rows = {"weights": weights.url or weights.page or f"{weights.file}, in the package"}
    if weights.sha256 is not None:
        rows["sha256"] = weights.sha256 + ("" if len(weights.sha256) == 64 else "...")
    if not weights.packaged:
        file = cache_place(weights)
        rows["on this machine"] = str(file) if file.is_file() else f"no; would be {file}"
    return rows


def _headline(card: "ModelCard") -> str:
    """The first of a card's figures, as in "AP 0.749"."""
    return f"{card.figures[0].metric} {card.figures[0].value:g}" if card.figures else ""


def _where(weights: "WeightsCard | None") -> str:
    from hrnet.zoo.sources import cache_place

    if weights is None or weights.packaged:
        return "in the package"
    if cache_place(weights).is_file():
        return "on this machine"
    return "to download" if weights.url else "by hand"

"""`hrnet data`: data sets of one's own: looked over, brought into form, divided, joined."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hrnet.cli.console import console, plural, progress_bar

data = typer.Typer(help="Check, fix, prepare, split and merge data sets.", no_args_is_help=True)

SHOWN = 5  # ids of each kind of fault

Images = Annotated[
    Path | None, typer.Option(help="Folder of the pictures. [default: images beside the file]")
]


class Orient(StrEnum):
    """What a file's pixels are of a picture that its EXIF data turn."""

    stored = "stored"
    exif = "exif"


@data.command()
def check(
    file: Annotated[Path, typer.Argument(help="Annotation file in COCO's keypoint format.")],
    images: Images = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml", help="What the keypoints must be. [default: as the file says]"
        ),
    ] = None,
    orient: Annotated[
        Orient | None,
        typer.Option(
            help="What the labels are of where EXIF data turn a picture: its stored pixels, or "
            "the picture turned upright. [default: stored, and a fault where that is not sure]"
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="Draw some people as training sees them."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help="Whose crops and augmentation the sheet shows. [default: the paper's for COCO]",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="Write the findings, with all ids.")
    ] = None,
) -> None:
    """Look for what would spoil training. Exit code 0: no faults; 1: faults; 2: no data set."""
    from json import dumps

    from hrnet.data.check.checking import check as run
    from hrnet.errors import ConfigError, DataError
    from hrnet.files import atomic_write
    from hrnet.images import write_image
    from hrnet.skeletons import Colours, find_skeleton, list_skeletons

    if recipe is not None and sheet is None:
        raise ConfigError("--recipe is for --sheet; give both")
    wanted = find_skeleton(skeleton) if skeleton is not None else None
    shown_as = {} if recipe is None else _crop_settings(recipe, file)
    errors = console(errors=True)
    with progress_bar("reading pictures") as progress:
        report = run(
            file,
            images,
            skeleton=wanted,
            orient=orient.value if orient is not None else None,
            progress=progress,
        )

    screen = console()
    known = f" ({report.skeleton.name})" if report.skeleton is not None else ""
    screen.print(
        f"{file}: {plural(report.pictures, 'picture', 'pictures')}, "
        f"{plural(report.people, 'person', 'people')}, "
        f"{len(report.labelled)} keypoints{known}"
    )
    own = report.skeleton
    if own is not None and wanted is None and own.name not in list_skeletons():
        screen.print(f"  by the keypoints' names, {own.mirroring}")
    for finding in report.findings:
        severity = "fault" if finding.is_fault else "note "
        screen.print(f"  {severity} {len(finding.cases):7}  {finding.kind}: {finding.meaning}")
        cases = [f"{id_} ({what})" if what else f"{id_}" for id_, what in finding.cases[:SHOWN]]
        more = ", ..." if len(finding.cases) > SHOWN else ""
        screen.print(f"                 {', '.join(cases)}{more}")
    kinds = [finding for finding in report.findings if finding.is_fault]
    count = sum(len(finding.cases) for finding in kinds)
    screen.print("OK: no faults" if report.ok else f"FAULTS: {count} of {len(kinds)} kinds")

    if json is not None:
        with atomic_write(json) as temporary:
            temporary.write_text(dumps(report.to_dict(), indent=1), encoding="utf-8")
    if sheet is not None:
        from hrnet.data.check.sheet import checked_sheet

        try:
            write_image(sheet, checked_sheet(report, **shown_as))
            usual = report.skeleton is not None and report.skeleton.colours == Colours()
            sides = "; the person's left is green, right is orange, middle is blue" if usual else ""
            whose = "the paper's augmentation for COCO" if recipe is None else f"recipe {recipe}"
            screen.print(f"{sheet}: crops by {whose}{sides}")
        except DataError as error:
            if report.ok:
                raise
            errors.print(f"no sheet: {error}")
    if not report.ok:
        raise typer.Exit(1)


def _crop_settings(name: str, file: Path) -> dict[str, Any]:
    """What a recipe makes of the people in a file, for `crop_sheet`."""
    from hrnet.training.recipe import augmentation_of, load_pose_recipe

    recipe = load_pose_recipe(name)
    sources = recipe.data.sources
    own = [s for s in sources if Path(recipe.data.root, s.file).resolve() == file.resolve()]
    return {
        "augmentation": augmentation_of(recipe, own[0]) if own else recipe.augmentation,
        "input_size": recipe.model.input_size,
        "padding": recipe.model.padding,
        "unbiased": recipe.model.unbiased,
    }


class Published(StrEnum):
    """Data sets that come in a form of their own, and such forms of tools."""

    lsp = "lsp"
    coco = "coco"
    mpii = "mpii"
    voc = "voc"
    cvat = "cvat"
    deeplabcut = "deeplabcut"
    label_studio = "label-studio"
    labelme = "labelme"
    rectlabel = "rectlabel"
    sleap = "sleap"
    supervisely = "supervisely"
    via = "via"
    yolo = "yolo"
    categories = "categories"


@data.command()
def prepare(
    name: Annotated[
        Published,
        typer.Argument(
            help="A data set as published, or whose export it is; categories: a COCO file with "
            "several."
        ),
    ],
    source: Annotated[
        Path, typer.Argument(help="Folder that it was unpacked to; file that was exported.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the annotation files.")],
    skeleton: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.toml", help="What a tool's points are. [default: it says]"),
    ] = None,
) -> None:
    """Bring what its makers publish, or a tool exports, into the form to train on. Pictures are
    linked, not copied."""
    from hrnet.data.people import in_words
    from hrnet.data.prepare.coco2017 import prepare_coco
    from hrnet.data.prepare.lsp import prepare_lsp
    from hrnet.data.prepare.mpii import prepare_mpii
    from hrnet.data.prepare.voc import prepare_voc
    from hrnet.errors import ConfigError

    published = {
        Published.lsp: prepare_lsp,
        Published.coco: prepare_coco,
        Published.mpii: prepare_mpii,
        Published.voc: prepare_voc,
    }
    if name not in published:
        _prepare_labels(name.value, source, out, skeleton)
        return
    if skeleton is not None:
        raise ConfigError(f"--skeleton is for a tool's form; {name.value} has its own")
    for file, counts in published[name](source, out).items():
        typer.echo(f"{file}: {in_words(counts)}")


def _prepare_labels(tool: str, source: Path, out: Path, skeleton: str | None) -> None:
    from hrnet.data.check.sheet import crop_sheet
    from hrnet.data.coco import read_coco
    from hrnet.data.people import in_words
    from hrnet.data.tools.registry import prepare_labels
    from hrnet.images import write_image
    from hrnet.skeletons import find_skeleton

    points = None if skeleton is None else find_skeleton(skeleton)
    prepared = prepare_labels(tool, source, out, points)
    for file, toml in prepared.files.items():
        people = read_coco(file)
        sheet = file.with_suffix(".png")
        look = ""
        if len(people):
            write_image(sheet, crop_sheet(people, find_skeleton(str(toml))))
            look = f"; look at them in {sheet}"
        typer.echo(f"{file}: {in_words(people.counts())}{look}")
    for what, count in prepared.left_out.items():
        typer.echo(f"  left out: {count} {what}")
    for what, count in prepared.found.items():
        typer.echo(f"  pictures {what}: {count}")
    for what in prepared.guessed:
        typer.echo(f"  taken for granted: {what}")
    for toml in dict.fromkeys(prepared.files.values()):
        typer.echo(f"{toml}: look it over, its pairs and sigmas above all")


class Tool(StrEnum):
    """Whose form to write."""

    cvat = "cvat"
    label_studio = "label-studio"
    yolo = "yolo"


@data.command()
def export(
    tool: Annotated[Tool, typer.Argument(help="Whose form to write.")],
    file: Annotated[Path, typer.Argument(help="Annotation file in COCO's keypoint format.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    images: Images = None,
) -> None:
    """Write a data set as another tool has it. Pictures are linked, not copied."""
    from hrnet.data.tools.registry import EXPORT

    people = EXPORT[tool.value](file, out, images)
    typer.echo(f"{out}: {people} people")


@data.command()
def fix(
    file: Annotated[Path, typer.Argument(help="Annotation file in COCO's keypoint format.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The mended one.")],
    images: Images = None,
) -> None:
    """Mend what there is one way to mend; what is left, check says."""
    from hrnet.data.fix import FIXES
    from hrnet.data.fix import fix as run

    made = run(file, out, images)
    for what in FIXES:
        if made[what]:
            typer.echo(f"{made[what]:7}  {what}")
    typer.echo(f"{out}: written; hrnet data check {out} says what is left")


@data.command()
def sigmas(
    files: Annotated[
        list[Path], typer.Argument(help="Annotation files: the same people, labelled by several.")
    ],
    images: Images = None,
) -> None:
    """Measure how far labels of the same joints are apart: sigmas for a skeleton's TOML file."""
    from hrnet.data.sigmas import FEW, measure_sigmas

    spread = measure_sigmas(files, images)
    names = spread.skeleton.keypoints
    typer.echo(f"{spread.people} people were labelled by several, {spread.alone} by one")
    for name, sigma, count in zip(names, spread.sigmas, spread.joints, strict=True):
        few = "  too few to know" if count < FEW else ""
        typer.echo(f"  {name:<24} {sigma:.4f}  {count:6} joints{few}")
    if spread.joints.all():
        typer.echo(f"sigmas = [{', '.join(f'{sigma:.4f}' for sigma in spread.sigmas)}]")


@data.command()
def split(
    file: Annotated[Path, typer.Argument(help="Annotation file in COCO's keypoint format.")],
    first: Annotated[Path, typer.Argument(metavar="OUT1", help="Gets most pictures.")],
    second: Annotated[Path, typer.Argument(metavar="OUT2", help="Gets the fraction.")],
    fraction: Annotated[float, typer.Option(help="Share of the pictures that goes to OUT2.")],
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    images: Images = None,
) -> None:
    """Divide a data set in two that share no picture, such as to train on and to measure by."""
    from hrnet.data.split import split as run

    counts = run(file, first, second, fraction=fraction, seed=seed, images=images)
    for part, count in zip((first, second), counts, strict=True):
        typer.echo(f"{part}: {count} pictures")


@data.command()
def merge(
    files: Annotated[list[Path], typer.Argument(help="Annotation files in COCO's format.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.json")],
    skeleton: Annotated[
        str, typer.Option(metavar="NAME|FILE.toml", help="The keypoints of the joined data set.")
    ],
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="A joint's name in the files, and the skeleton's."),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the pictures, once a file. [default: images beside each]"),
    ] = None,
) -> None:
    """Join data sets, joints by name; those that one lacks are not trained on in its people."""
    from hrnet.data.merge import merge as run
    from hrnet.errors import ConfigError
    from hrnet.skeletons import find_skeleton

    names = {}
    for text in rename or []:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise ConfigError(f"{text!r} is not of the form OLD=NEW")
        names[old] = new
    for part in run(files, out, find_skeleton(skeleton), rename=names, images=images):
        typer.echo(f"{part.file}: {part.people} people")
        if part.lacking:
            typer.echo(f"  has no {', '.join(part.lacking)}")
        if part.dropped:
            typer.echo(f"  dropped: {', '.join(part.dropped)}")
    typer.echo(f"{out}: written")

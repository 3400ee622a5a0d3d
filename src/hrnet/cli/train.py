"""`hrnet train`: from a recipe to a weights file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrnet.cli.console import INTERRUPTED, console

if TYPE_CHECKING:
    from hrnet.training.run import TrainedModel
    from hrnet.zoo.card import Figure


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe's name (see --list), or a TOML file.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Keys to change: training.steps=2000"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log and weights.")] = Path(
        "runs/latest"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    devices: Annotated[
        str, typer.Option(help="How many to train on, on each node: a number, or auto.")
    ] = "auto",
    nodes: Annotated[int, typer.Option(help="How many nodes there are.")] = 1,
    list_: Annotated[
        bool,
        typer.Option("--list", help="List the recipes, what each is for, and what it is to reach."),
    ] = False,
) -> None:
    """Train a model as a recipe says."""
    from hrnet.errors import ConfigError
    from hrnet.training.recipe import load_stages

    if list_:
        _list()
        return
    if recipe is None:
        raise ConfigError("say what to train: a name of hrnet train --list, or a TOML file")
    stages = load_stages(recipe, changes)
    from pytorch_lightning.utilities import rank_zero_only

    from hrnet.training.stages import train_stages

    try:
        trained = train_stages(
            stages, out, resume=resume, device=device, devices=devices, nodes=nodes
        )
    except KeyboardInterrupt:
        rank_zero_only(_say_how_to_go_on)(out)
        raise typer.Exit(INTERRUPTED) from None
    rank_zero_only(_report)(trained, stages[-1].published)  # of several processes one speaks


def _say_how_to_go_on(out: Path) -> None:
    from hrnet.training.run import last_checkpoint

    folders = [out, *sorted(out.glob("stage_*"))]
    checkpoints = [c for c in map(last_checkpoint, folders) if c.is_file()]
    how = "there is no checkpoint yet"
    if checkpoints:
        how = f"to go on from {checkpoints[-1]}, repeat the command with --resume"
    typer.echo(f"interrupted; {how}", err=True)


def _report(trained: "TrainedModel", published: "tuple[Figure, ...]") -> None:
    """What was reached, beside what the recipe is for."""

    from hrnet.data.people import in_words
    from hrnet.evaluation.report import shown

    screen = console()
    screen.print(f"the weights are in {trained.weights}")
    if trained.measured is not None:
        screen.print(
            f"{trained.measure} when last measured, on {trained.people} people: "
            f"{trained.measured:.1f}"
        )
    for file, evaluation in trained.evaluations.items():
        people = in_words(evaluation.protocol)
        figures = ", ".join(f"{name} {shown(v)}" for name, v in evaluation.figures.items())
        flip_test = "on" if evaluation.protocol["flip_test"] else "off"
        screen.print(f"reached on {file} ({people}, true boxes, flip test {flip_test}): {figures}")
    for f in published:
        screen.print(f"the recipe is for: {f.metric} {f.value:g}, {f.protocol}")


def _list() -> None:
    """One row a recipe: its name, the first sentence of its description, the published figure."""
    from rich.console import Console
    from rich.table import Table

    from hrnet.training.recipe import list_recipes, load_recipe

    rows = []
    for name in list_recipes():
        recipe = load_recipe(name)
        purpose = " ".join(recipe.description.split()).partition(". ")[0].removesuffix(".")
        figures = [f"{f.metric} {f.value:g}, {f.protocol}" for f in recipe.published[:1]]
        rows.append((name, purpose, *(figures or [""])))
    wrapping = Console(highlight=False, markup=False)
    if not wrapping.is_terminal:
        for row in rows:
            typer.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("recipe", "for", "published"):
        table.add_column(column, no_wrap=column == "recipe")
    for row in rows:
        table.add_row(*row)
    wrapping.print(table)

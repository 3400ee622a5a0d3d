"""`hrnet train`: from a recipe to a weights file."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a TOML file.")],
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
) -> None:
    """Train a model as a recipe says."""
    from rich.console import Console

    from hrnet.training.recipe import load_recipe

    resolved = load_recipe(recipe, changes)
    from hrnet.training.run import train as run

    trained = run(resolved, out, resume=resume, device=device, devices=devices, nodes=nodes)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"the weights are in {trained.weights}")

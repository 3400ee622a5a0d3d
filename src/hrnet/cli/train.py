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
) -> None:
    """Train a model as a recipe says."""
    from rich.console import Console

    from hrnet.training.recipe import load_recipe

    resolved = load_recipe(recipe, changes)
    from hrnet.training.run import train as run

    weights = run(resolved, out, resume=resume)
    Console(soft_wrap=True, highlight=False, markup=False).print(f"the weights are in {weights}")

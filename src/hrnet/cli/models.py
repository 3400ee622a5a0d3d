"""`hrnet models`: what there is."""

from typing import Annotated

import typer


def models(
    pattern: Annotated[str, typer.Argument(help="Glob pattern of names.")] = "*",
) -> None:
    """List the models by name."""
    from rich.console import Console

    from hrnet.zoo import list_models, model_card

    console = Console(soft_wrap=True, highlight=False, markup=False)
    for name in list_models(pattern):
        console.print(f"{name}  {model_card(name).description}")

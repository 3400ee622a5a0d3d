"""`hrnet benchmark`: how fast a model is on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrnet.cli.console import console, progress_bar
from hrnet.cli.options import Device, ModelName, OtherWeights


def benchmark(
    model: ModelName = None,
    weights: OtherWeights = "default",
    device: Device = "cpu",
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture; half as fast.")
    ] = False,
    people: Annotated[
        list[int] | None,
        typer.Option(help="How many in a picture; may be repeated. [default: 1 2 4 8 16 32 64]"),
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often each is measured.")] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Write a report into this folder: JSON, Markdown, a plot.")
    ] = None,
) -> None:
    """Measure a model in every runtime and precision that is installed here, in turns: milliseconds
    a person against people in a picture, seconds to the first result, memory."""
    from rich.table import Table

    from hrnet.benchmarking.measuring import markdown, measure, most_a_second, plot
    from hrnet.errors import ConfigError
    from hrnet.files import atomic_write

    people = sorted(set(people or [1, 2, 4, 8, 16, 32, 64]))
    if people[0] < 1 or rounds < 1:
        raise ConfigError("--people and --rounds must be at least 1")
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder to write the report into")
    settings = {"model": model, "weights": weights, "device": device, "flip_test": flip_test}
    with progress_bar("measuring") as progress:
        record = measure(settings, people=people, rounds=rounds, progress=progress)
    about = record["machine"]
    screen = console()
    screen.print(
        f"{record['model']} on {about['processor']}, {about['processors']} processors "
        f"({', '.join(about['instructions'])})"
    )
    table = Table("ms a person", *map(str, people), "people/s", "start", "MB", box=None)
    for way in record["ways"]:
        per_person = [f"{1000 * way['whole'][str(n)][1] / n:.1f}" for n in people]
        table.add_row(
            f"{way['runtime']}, {way['precision']}",
            *per_person,
            f"{most_a_second(record, way):.0f}",
            f"{way['start']:.1f} s",
            f"{way['memory']:.0f}",
        )
    screen.print(table)
    for way, why in record["not here"].items():
        screen.print(f"not measured: {way}: {why}")
    if out is not None:
        with atomic_write(out / "benchmark.json") as file:
            file.write_text(json.dumps(record, indent=1) + "\n")
        with atomic_write(out / "benchmark.md") as file:
            file.write_text(markdown(record))
        with atomic_write(out / "benchmark.png") as file:
            plot(record, file)
        screen.print(f"the report is in {out}/")

"""The command line: `hrnet predict`, `hrnet evaluate`, `hrnet train`, `hrnet models`,
`hrnet convert`, `hrnet export`, `hrnet benchmark`, `hrnet serve`, `hrnet data`.

One file a command. Each imports what it needs when it runs, so that `--help` is instant.
"""

import os
import sys

import typer

from hrnet.cli import benchmark, convert, data, evaluate, export, models, predict, serve, train
from hrnet.cli.console import console
from hrnet.errors import HRNetError

# Which extra brings a package.
EXTRAS = {
    "fastapi": "serve",
    "h11": "serve",
    "matplotlib": "train",
    "prometheus_client": "serve",
    "pycocotools": "train",
    "pytorch_lightning": "train",
    "scipy": "data",
    "uvicorn": "serve",
}

app = typer.Typer(
    name="hrnet",
    help="Joints of people in pictures, with High-Resolution Networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.command("train")(train.train)
app.command("convert")(convert.convert)
app.command("export")(export.export)
app.command("benchmark")(benchmark.benchmark)
app.command("serve")(serve.serve)
app.add_typer(models.models, name="models")
app.add_typer(data.data, name="data")


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit code 2."""
    # A broken picture is one sentence of ours, without OpenCV's report from its own sources.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # so is a hub that cannot be reached
    try:
        app()
    except HRNetError as error:
        _fail(str(error))
    except OSError as error:  # no permission, disk full, ...
        file = error.filename2 or error.filename or "a file"
        _fail(f"cannot read or write {file}: {error.strerror or error}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        _fail(f"this needs {package}: pip install 'hrnet[{EXTRAS[package]}]'")


def _fail(message: str) -> None:
    console(errors=True).print(f"error: {message}")
    sys.exit(2)

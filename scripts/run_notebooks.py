"""Run the notebooks of the documentation and write them back with their outputs.

    pip install nbclient ipykernel
    python scripts/run_notebooks.py

The files hold nothing that differs from run to run or from machine to machine: no times, no version
of Python, and "..." for the folders of this machine.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs").glob("*/*.ipynb"))
FOLDERS = (sys.prefix, sys.base_prefix, str(ROOT), str(Path.home()))  # the inner ones first
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(file: Path) -> NotebookNode:
    """The notebook, run from its first cell to its last, as it is to be written.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised something.
    """
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(file.parent)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            holder, key = text_of(output)
            holder[key] = without_folders(holder[key])
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output: NotebookNode) -> tuple[NotebookNode, str]:
    """Where an output's text is: what was printed, or what stands for a picture."""
    return (output, "text") if output.output_type == "stream" else (output.data, "text/plain")


def texts(notebook: NotebookNode) -> list[list[str]]:
    """The text of every output of every code cell."""
    found = [[text_of(output) for output in cell.outputs] for cell in code_cells(notebook)]
    return [[holder[key] for holder, key in outputs] for outputs in found]


def without_folders(text: str) -> str:
    for folder in FOLDERS:
        text = text.replace(folder, "...")
    return text


def main() -> None:
    for file in NOTEBOOKS:
        nbformat.write(executed(file), file)


if __name__ == "__main__":
    main()

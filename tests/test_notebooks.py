"""The documentation's notebooks run, and say in every language what they give when they run."""

import base64
from pathlib import Path

import nbformat
import pytest
import run_notebooks

ROOT = Path(__file__).parents[1]

EACH = pytest.mark.parametrize(
    "file", run_notebooks.NOTEBOOKS, ids=lambda file: f"{file.parent.name}-{file.stem}"
)


def read(file):
    return nbformat.read(file, as_version=4)


def test_the_notebook_is_there_in_both_languages():
    names = {str(file.relative_to(ROOT / "docs")) for file in run_notebooks.NOTEBOOKS}
    assert {"en/build_it_yourself.ipynb", "zh/build_it_yourself.ipynb"} <= names


@EACH
def test_languages_differ_in_prose_alone(file):
    english = read(ROOT / "docs" / "en" / file.name)
    here = read(file)
    assert [(c.id, c.cell_type) for c in here.cells] == [(c.id, c.cell_type) for c in english.cells]
    code, code_in_english = map(run_notebooks.code_cells, (here, english))
    assert [c.source for c in code] == [c.source for c in code_in_english]
    for name in ("kernelspec", "language_info"):
        assert here.metadata[name] == english.metadata[name]


@EACH
def test_a_title_comes_first_and_pictures_are_small(file):
    notebook = read(file)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    outputs = [out for cell in run_notebooks.code_cells(notebook) for out in cell.outputs]
    pictures = [out.data["image/png"] for out in outputs if "image/png" in out.get("data", {})]
    assert pictures
    for picture in pictures:
        assert len(base64.b64decode(picture)) < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({file.name for file in run_notebooks.NOTEBOOKS}))
def test_it_runs_and_its_outputs_are_what_it_gives(name):
    """Once: in every language it has the same cells."""
    given = run_notebooks.texts(run_notebooks.executed(ROOT / "docs" / "en" / name))
    for file in run_notebooks.NOTEBOOKS:
        if file.name == name:
            assert run_notebooks.texts(read(file)) == given, (
                f"{file} has outputs that are not those of its cells; run "
                "python scripts/run_notebooks.py"
            )

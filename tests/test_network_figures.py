"""The page "How HRNet works" shows what the code measures and draws today."""

import json
from pathlib import Path

import make_network_figures
import numpy as np
import pytest

from hrnet.images import read_image

ROOT = Path(__file__).parents[1]
REMAKE = "run python scripts/make_network_figures.py"


@pytest.fixture(scope="module")
def committed():
    return json.loads(make_network_figures.FIGURES.read_text(encoding="utf-8"))


def test_the_drawing_of_the_network_is_that_of_its_modules():
    drawn = (make_network_figures.PICTURES / "network.svg").read_text(encoding="utf-8")
    assert make_network_figures.network_svg() == drawn, REMAKE


def test_the_parts_sum_to_the_network(committed):
    parts = json.loads(json.dumps(make_network_figures.parts()))
    assert committed["parts"] == parts, REMAKE
    assert sum(part["parameters"] for part in parts) == 28_536_113
    assert sum(part["multiply_adds"] for part in parts) == 7_645_003_776


@pytest.mark.parametrize("page", make_network_figures.PAGES, ids=lambda page: page.parent.name)
def test_the_tables_are_the_figures(page, committed):
    text = page.read_text(encoding="utf-8")
    assert make_network_figures.with_tables(text, committed) == text, REMAKE


def test_both_pages_show_every_picture():
    files = {file.name for file in make_network_figures.PICTURES.iterdir()}
    assert files == {"network.svg", *(f"{name}.png" for name in make_network_figures.DRAWINGS)}
    for page in make_network_figures.PAGES:
        text = page.read_text(encoding="utf-8")
        assert all(f"(../pictures/network/{name})" in text for name in files)


@pytest.mark.slow
def test_the_figures_are_what_is_measured(committed):
    """Counts exactly; squares that hold a share of a gradient to two steps of two pixels; lengths
    to two thousandths of a cell, and shares to two thousandths."""
    measured = make_network_figures.measure()
    assert measured.keys() == committed.keys()
    assert measured["parts"] == committed["parts"]
    assert measured["terms"] == [pytest.approx(row, abs=0.002) for row in committed["terms"]]
    for name in ("codecs", "flip"):
        assert measured[name].keys() == committed[name].keys()
        for kind, row in committed[name].items():
            assert measured[name][kind] == pytest.approx(row, abs=0.002), f"{kind}: {REMAKE}"
    assert measured["packaged_flip"] == pytest.approx(committed["packaged_flip"], abs=0.002)
    assert measured["receptive_fields"].keys() == committed["receptive_fields"].keys()
    for place, field in committed["receptive_fields"].items():
        for key, pixels in field.items():
            tolerance = 4 if key in ("half", "nine_tenths") else 0
            assert abs(measured["receptive_fields"][place][key] - pixels) <= tolerance, REMAKE


@pytest.mark.slow
@pytest.mark.parametrize("name", make_network_figures.DRAWINGS)
def test_the_pictures_are_what_is_drawn(name):
    """To one level of 255 in the mean: fonts and rounding may differ from machine to machine."""
    file = make_network_figures.PICTURES / f"{name}.png"
    assert file.stat().st_size < 150_000
    drawn = read_image(make_network_figures.png(make_network_figures.DRAWINGS[name]()))
    difference = np.abs(drawn.astype(int) - read_image(file)).mean()
    assert difference < 1, f"{name}: {difference:.2f} levels; {REMAKE}"

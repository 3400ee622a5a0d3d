"""The page of mistakes says what was measured, and what would be measured now."""

import json
from pathlib import Path

import measure_mistakes
import numpy as np
import pytest

from hrnet.data.coco import read_coco
from real_data import real_data

ROOT = Path(__file__).parents[1]

MEASURED = json.loads((ROOT / "docs" / "mistakes.json").read_text(encoding="utf-8"))


def test_the_tables_are_what_was_measured():
    for file, text in measure_mistakes.pages(MEASURED).items():
        assert file.read_text(encoding="utf-8") == text, (
            f"{file} is not what docs/mistakes.json and docs/mistakes.toml say; run "
            "python scripts/measure_mistakes.py DATA"
        )


@pytest.mark.slow
def test_how_published_names_fit_the_wrong_networks():
    assert measure_mistakes.loading() == MEASURED["loading"]
    assert measure_mistakes.strides() == MEASURED["strides"]


@pytest.mark.slow
def test_forty_people_s_joints_suffer_as_all_people_s():
    file = real_data("coco/val.json")
    people = read_coco(file, skeleton=measure_mistakes.COCO17)
    some = people.select(np.arange(len(people)) < 40)
    found = measure_mistakes.accuracy({"coco": (file, some)})["rows"]
    known = MEASURED["accuracy"]["rows"]
    assert found.keys() == known.keys()
    for name, row in known.items():
        assert (found[name]["coco"]["moved"] == 0) == (row["coco"]["moved"] == 0), name
        if abs(row["oks"]) > 0.01:
            assert np.sign(found[name]["oks"]) == np.sign(row["oks"]), name

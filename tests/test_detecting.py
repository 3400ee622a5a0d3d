"""Figures of a detector's boxes, on people and boxes whose figures are plain."""

import numpy as np
import pytest

from hrnet.errors import DataError
from hrnet.evaluation.detecting import are_judged, box_figures, read_ignored


def person(image, x, y, width, height, **more):
    return {"image_id": image, "bbox": [x, y, width, height], **more}


def boxes(*rows):
    return np.array(rows, np.float64).reshape(-1, 5)


PEOPLE = [
    person(1, 0, 0, 50, 100),
    person(1, 60, 0, 50, 50),
    person(2, 0, 0, 20, 40),
    person(2, 100, 100, 100, 100, iscrowd=1),
]


def test_recall_by_size_and_false_boxes():
    found = {
        1: boxes(
            [0, 0, 50, 100, 0.9],
            [0, 0, 50, 90, 0.8],  # the same person again
            [60, 0, 110, 24, 0.7],  # less than half of the second
        ),
        2: boxes([110, 110, 150, 150, 0.9], [300, 0, 320, 40, 0.9], [300, 100, 320, 140, 0.9]),
    }
    ignored = {2: np.array([[290.0, 0, 330, 40]])}
    figures = box_figures(PEOPLE, found, ignored, 0)
    assert figures["recall"] == pytest.approx(1 / 3)
    assert figures["recall, over 96"] == 1
    assert figures["recall, 32 to 64"] == 0
    assert np.isnan(figures["recall, 64 to 96"])
    # In the first picture two; in the second one, beside one in the crowd and one that is ignored.
    assert figures["false boxes"] == 3 / 2


def test_poses_are_not_looked_for_on_people_who_are_ignored():
    found = {
        2: boxes(
            [110, 110, 150, 150, 0.9],  # in the crowd, which COCO's own rule is for
            [0, 0, 20, 40, 0.9],  # somebody's, though somebody who is not listed is there as well
            [300, 0, 320, 40, 0.9],  # of one who is not listed
            [305, 30, 325, 70, 0.9],  # a quarter of it is on that one
        )
    }
    ignored = {2: np.array([[290.0, 0, 330, 40], [0, 0, 25, 45]])}
    assert are_judged(PEOPLE, found, ignored)[2].tolist() == [True, True, False, True]
    assert are_judged([], found, {})[2].all()


def test_boxes_below_the_threshold_count_for_ap_alone():
    found = {
        1: boxes([0, 0, 50, 100, 0.9], [60, 0, 110, 50, 0.3], [200, 0, 240, 40, 0.2]),
        2: boxes([0, 0, 20, 40, 0.5]),
    }
    figures = box_figures(PEOPLE, found, {}, 0.5)
    assert figures["box AP"] == 1
    assert figures["recall"] == pytest.approx(1 / 3)  # the score is to be above it
    assert figures["false boxes"] == 0
    assert box_figures(PEOPLE, found, {}, 0.1)["false boxes"] == 1 / 2


def test_everybody_found_and_nobody():
    everybody = {
        1: boxes([0, 0, 50, 100, 0.9], [60, 0, 110, 50, 0.5]),
        2: boxes([0, 0, 20, 40, 0.9]),
    }
    figures = box_figures(PEOPLE, everybody, {}, 0)
    assert figures["box AP"] == figures["box AR"] == figures["recall"] == 1
    assert figures["false boxes"] == 0
    nobody = box_figures(PEOPLE, {1: boxes(), 2: boxes()}, {}, 0)
    assert nobody["box AP"] == nobody["recall"] == nobody["false boxes"] == 0


def test_the_likest_pairs_come_first():
    """A box that is on two people is the one's whom it fits better; the other has the next."""
    people = [person(1, 0, 0, 40, 100), person(1, 10, 0, 40, 100)]
    found = {1: boxes([10, 0, 50, 100, 0.2], [6, 0, 46, 100, 0.9])}
    assert box_figures(people, found, {}, 0)["recall"] == 1


def test_a_file_of_ignored_people_that_is_none(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="is not a COCO detections file"):
        read_ignored(tmp_path / "a.json")

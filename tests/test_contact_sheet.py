import numpy as np
import pytest

from hrnet.drawing import CELL, SHEET, contact_sheet, draw_poses
from hrnet.errors import ImageError
from hrnet.skeletons import load_skeleton


def picture(width, height, colour):
    return np.full((height, width, 3), colour, np.uint8)


RED, BLUE = (255, 0, 0), (0, 0, 255)


def extent(sheet, colour):
    """x1, y1, x2, y2 of what has the colour."""
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_pictures_keep_their_shape_in_equal_cells_row_by_row():
    pictures = [picture(200, 100, RED), picture(50, 100, BLUE), picture(10, 10, (0, 255, 0))]
    sheet = contact_sheet(pictures, ["a", "b", "c"], columns=2)
    red, blue, green = (extent(sheet, p[0, 0]) for p in pictures)
    sizes = [(x2 - x1, y2 - y1) for x1, y1, x2, y2 in (red, blue, green)]
    assert sizes == [(256, 128), (64, 128), (128, 128)]
    assert blue[1] == red[1]
    assert blue[0] > red[2]  # beside
    assert green[1] > red[3]  # below
    middle = [(x1 + x2) / 2 for x1, _, x2, _ in (red, blue, green)]
    assert middle[0] == middle[2]
    assert middle[1] - middle[0] > 256
    assert sheet[0, 0].tolist() == [255, 255, 255]


def test_captions_stand_below_their_picture_within_its_cell():
    pictures = [picture(100, 100, RED), picture(100, 100, BLUE)]
    sheet = contact_sheet(pictures, ["x" * 200, ""], columns=2)
    left, _, right, bottom = extent(sheet, RED)
    rows, columns = np.nonzero((sheet < 100).all(axis=2))  # black on white
    assert rows.min() >= bottom
    assert columns.min() >= left
    assert right - 20 < columns.max() <= right  # as much of it as there is room for
    assert contact_sheet(pictures[:1], ["ünïcode\n"], columns=2).shape[1] < 2 * CELL


def test_a_sheet_of_many_pictures_is_bounded():
    pictures = [picture(40, 40, RED)] * 2000
    height, width = contact_sheet(pictures, [""] * 2000, columns=40).shape[:2]
    assert SHEET / 2 < height * width < 2 * SHEET


def test_an_empty_sheet_is_refused():
    with pytest.raises(ImageError, match="no pictures"):
        contact_sheet([], [])


def test_hollow_joints_are_rings():
    coco = load_skeleton("coco17")
    keypoints = np.zeros((1, 17, 2), np.float32)
    keypoints[0, 9:11] = [[40, 60], [300, 60]]  # wrists, which no limb joins
    scores = np.zeros((1, 17), np.float32)
    scores[0, 9:11] = 1
    hollow = np.zeros((1, 17), bool)
    hollow[0, 9] = True
    drawn = draw_poses(picture(400, 120, 0), keypoints, scores, coco, hollow=hollow)
    assert drawn[60, 40].tolist() == [255, 255, 255]
    assert tuple(drawn[60, 300]) == coco.colours.right
    assert (drawn == coco.colours.left).all(axis=2).any()


def test_limbs_to_hollow_joints_are_faint():
    coco = load_skeleton("coco17")
    keypoints = np.zeros((1, 17, 2), np.float32)
    # Left shoulder, elbow and wrist, one line.
    keypoints[0, [5, 7, 9]] = [[20, 60], [200, 60], [380, 60]]
    scores = np.zeros((1, 17), np.float32)
    scores[0, [5, 7, 9]] = 1
    hollow = np.zeros((1, 17), bool)
    hollow[0, 9] = True
    drawn = draw_poses(picture(400, 120, 50), keypoints, scores, coco, hollow=hollow)
    assert tuple(drawn[60, 110]) == coco.colours.left
    mixed = 0.4 * np.array(coco.colours.left) + 0.6 * 50
    np.testing.assert_allclose(drawn[60, 290], mixed, atol=1)
    hollow[0, [5, 9]] = True, False
    drawn = draw_poses(picture(400, 120, 50), keypoints, scores, coco, hollow=hollow)
    np.testing.assert_allclose(drawn[60, 110], mixed, atol=1)
    assert tuple(drawn[60, 290]) == coco.colours.left

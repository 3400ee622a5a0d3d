from pathlib import Path

import cv2
import numpy as np
import pytest

from hrnet.geometry import crop_matrices, crop_regions, invert, transform_points, warp

GOLDEN = np.load(Path(__file__).parent / "golden" / "codec.npz")


def test_crops_equal_the_official_ones():
    size = (72, 96)
    centers, sizes = crop_regions(GOLDEN["boxes"], size)
    matrices = crop_matrices(centers, sizes, size, rotation=GOLDEN["rotation"])
    # The official code computes in float32.
    np.testing.assert_allclose(matrices, GOLDEN["matrices"], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ([10, 20, 40, 120], (93.75, 125)),  # narrower than 3:4: widened
        ([10, 20, 110, 40], (125, 125 / 0.75)),  # wider: heightened
    ],
)
def test_regions_have_the_input_s_aspect_and_a_quarter_more_than_the_box(box, size):
    centers, sizes = crop_regions([box], (192, 256))
    np.testing.assert_allclose(centers, [[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]])
    np.testing.assert_allclose(sizes, [size])


@pytest.mark.parametrize(("unbiased", "corner"), [(False, (192, 256)), (True, (191, 255))])
def test_a_region_s_corners_map_to_the_crop_s(unbiased, corner):
    center, size = np.array([[50.0, 80.0]]), np.array([[60.0, 80.0]])
    matrix = crop_matrices(center, size, (192, 256), unbiased=unbiased)[0]
    corners = transform_points(matrix, [[20, 40], [80, 120]])
    np.testing.assert_allclose(corners, [[0, 0], corner], atol=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
def test_flip_mirrors_the_crop_s_pixels(unbiased):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 2)
    centers, sizes = crop_regions([[20, 10, 50, 45]], (48, 64))
    plain, flipped = (
        crop_matrices(centers, sizes, (48, 64), flip=flip, unbiased=unbiased)[0]
        for flip in (False, True)
    )
    difference = cv2.absdiff(warp(image, plain, (48, 64))[:, ::-1], warp(image, flipped, (48, 64)))
    assert difference.max() <= 4  # OpenCV 4 warps in fixed point
    point = np.array([[33.0, 22.0]])
    x = transform_points(plain, point)[0, 0]
    assert transform_points(flipped, point)[0, 0] == pytest.approx(47 - x)


def test_rotation_turns_points_about_the_centre():
    """By 90 degrees, what was right of the centre comes to lie above it."""
    centers, sizes = np.array([[50.0, 50.0]]), np.array([[30.0, 40.0]])
    matrix = crop_matrices(centers, sizes, (30, 40), rotation=90)[0]
    moved = transform_points(matrix, [[50, 50], [60, 50]])
    np.testing.assert_allclose(moved, [[15, 20], [15, 10]], atol=1e-9)


def test_a_bright_pixel_lands_where_its_point_lands():
    image = np.zeros((50, 70, 3), np.uint8)
    image[30, 40] = 255
    centers, sizes = crop_regions([[20, 10, 60, 45]], (192, 256))
    matrix = crop_matrices(centers, sizes, (192, 256), rotation=20, flip=True, unbiased=True)[0]
    crop = warp(image, matrix, (192, 256))[..., 0].astype(float)
    y, x = np.mgrid[:256, :192]
    found = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    np.testing.assert_allclose(found, transform_points(matrix, [[40, 30]])[0], atol=0.05)


def test_inverse_brings_points_back():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 100, (5, 2))
    boxes = np.concatenate([boxes, boxes + rng.uniform(1, 100, (5, 2))], axis=1)
    centers, sizes = crop_regions(boxes, (192, 256))
    matrices = crop_matrices(
        centers, sizes, (192, 256), rotation=rng.uniform(-90, 90, 5), flip=rng.random(5) < 0.5
    )
    points = rng.uniform(-10, 200, (5, 17, 2))
    there = transform_points(matrices, points)
    np.testing.assert_allclose(transform_points(invert(matrices), there), points, atol=1e-9)

"""Pictures of kites with five labelled points, as an example of data of one's own.

    python scripts/make_kites.py FOLDER [COUNT]

writes FOLDER/images/*.png and FOLDER/kites.json, in COCO's keypoint format.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

NAMES = ["nose", "left_wing", "right_wing", "tail", "tip_of_tail"]
LIMBS = [[1, 2], [2, 4], [1, 3], [3, 4], [4, 5]]  # from 1, as COCO has them
# On a kite that points up, a unit long from nose to tail. Its left is that of somebody who looks
# along the nose.
SHAPE = np.array([[0, -0.5], [-0.35, -0.15], [0.35, -0.15], [0, 0.5], [0, 1.0]])


def draw_kite(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Draw one kite somewhere; its points (5, 2) in pixels."""
    height, width = picture.shape[:2]
    angle, size = rng.uniform(-np.pi, np.pi), rng.uniform(60, 110)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = SHAPE * rng.uniform(0.85, 1.15, SHAPE.shape) @ turn.T * size
    points += rng.uniform(0.4, 0.6, 2) * (width, height)
    nose, left, right, tail, tip = np.round(points).astype(int).tolist()
    colours = rng.integers(120, 256, (2, 3)).tolist()
    cv2.fillPoly(picture, [np.array([nose, left, tail, right])], colours[0], cv2.LINE_AA)
    cv2.line(picture, tail, tip, colours[1], 3, cv2.LINE_AA)
    return points


def main(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(1, count + 1):
        sky = rng.uniform(40, 140, (6, 6, 3)).astype(np.uint8)
        picture = cv2.resize(sky, (320, 240), interpolation=cv2.INTER_CUBIC)
        points = draw_kite(rng, picture)
        cv2.imwrite(str(folder / "images" / f"{i:04d}.png"), picture)
        inside = ((points >= 0) & (points <= (319, 239))).all(axis=1)
        corners = np.clip([points.min(axis=0), points.max(axis=0)], 0, (319, 239))
        x, y, width, height = map(float, (*corners[0], *(corners[1] - corners[0])))
        labels = np.column_stack([points, np.full(5, 2)]) * inside[:, None]
        images.append({"id": i, "file_name": f"{i:04d}.png", "width": 320, "height": 240})
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x, y, width, height],
                "area": width * height,
                "keypoints": labels.ravel().round(2).tolist(),
                "num_keypoints": int(inside.sum()),
            }
        )
    categories = [{"id": 1, "name": "kite", "keypoints": NAMES, "skeleton": LIMBS}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "kites.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 400)

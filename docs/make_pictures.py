"""Draw the gallery.

    pip install scikit-image matplotlib
    python docs/make_pictures.py

Takes photographs that are free to redistribute from the two packages (origins in gallery.md) and
writes what the packaged model finds in them, the whole picture taken as one person, to
docs/pictures.
"""

from importlib.resources import files
from pathlib import Path

import cv2

import hrnet
from hrnet.images import read_image

PHOTOGRAPHS = {
    "astronaut": files("hrnet") / "samples" / "astronaut.jpg",
    "camera": files("skimage") / "data" / "camera.png",
    "grace_hopper": files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg",
}


def main() -> None:
    estimator = hrnet.PoseEstimator()
    for name, photograph in PHOTOGRAPHS.items():
        image = read_image(photograph.read_bytes())
        drawn = cv2.cvtColor(estimator(image).draw(image), cv2.COLOR_RGB2BGR)
        file = Path(__file__).parent / "pictures" / f"{name}.jpg"
        cv2.imwrite(str(file), drawn, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()

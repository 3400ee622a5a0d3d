"""Draw the gallery.

    pip install scikit-image matplotlib
    python scripts/make_pictures.py SCRATCH

Takes photographs that are free to redistribute (origins in gallery.md) from the two packages and
from SCRATCH, the folder usr/share/scratch/Media of Debian's package scratch 1.4.0.6; writes what
the packaged model finds in them, the whole picture taken as one person, to docs/pictures.
"""

import argparse
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import hrnet
from hrnet.images import read_image

PHOTOGRAPHS = {
    "jumping": files("hrnet") / "samples" / "jumping.jpg",
    "astronaut": files("skimage") / "data" / "astronaut.png",
    "camera": files("skimage") / "data" / "camera.png",
    "grace_hopper": files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg",
}
# Scratch's photographs: people cut out, and scenes without people. The package's sample was made
# in this way of Costumes/People/calvrett-jumping.gif and Backgrounds/Sports/playing-field.jpg.
COMPOSED = {
    "dancing": ("cassy-dancing-3", "Outdoors/brick-wall2.jpg"),
    "standing": ("jay", "Outdoors/the-movies.jpg"),
    "running": ("dan2", "Outdoors/parking-ramp.jpg"),
    "football": ("football-stand", "Sports/football-field.jpg"),
}
WIDTH, HEIGHT, GROUND = 220, 280, 22


def compose(media: Path, person: str, scene: str) -> NDArray[np.uint8]:
    """The person before the scene, twice as large as in the package: (560, 440, 3) RGB."""
    cut_out = Image.open(media / "Costumes" / "People" / f"{person}.gif").convert("RGBA")
    behind = Image.open(media / "Backgrounds" / scene).convert("RGBA").resize((480, 360))
    left = (480 - WIDTH) // 2
    picture = behind.crop((left, 360 - HEIGHT, left + WIDTH, 360))
    place = ((WIDTH - cut_out.width) // 2, HEIGHT - GROUND - cut_out.height)
    picture.alpha_composite(cut_out, place)
    return np.array(
        picture.convert("RGB").resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.LANCZOS)
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    media = parser.parse_args().scratch
    pictures = {name: read_image(file.read_bytes()) for name, file in PHOTOGRAPHS.items()}
    pictures |= {name: compose(media, *parts) for name, parts in COMPOSED.items()}
    estimator = hrnet.PoseEstimator()
    for name, image in pictures.items():
        drawn = cv2.cvtColor(estimator(image).draw(image), cv2.COLOR_RGB2BGR)
        file = Path(__file__).parents[1] / "docs" / "pictures" / f"{name}.jpg"
        cv2.imwrite(str(file), drawn, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()

"""Draw the gallery.

    pip install scikit-image matplotlib
    python scripts/make_pictures.py SCRATCH

Takes photographs that are free to redistribute (origins in gallery.md) from the two packages and
from SCRATCH, the folder usr/share/scratch/Media of Debian's package scratch 1.4.0.6; writes the
package's sample, and to docs/pictures what is found in it and in the others.
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
    "astronaut": files("skimage") / "data" / "astronaut.png",
    "camera": files("skimage") / "data" / "camera.png",
    "grace_hopper": files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg",
}
# Scratch's photographs: people cut out, and scenes without people.
COMPOSED = {
    "jumping": ("calvrett-jumping", "Sports/playing-field.jpg"),
    "dancing": ("cassy-dancing-3", "Outdoors/brick-wall2.jpg"),
    "standing": ("jay", "Outdoors/the-movies.jpg"),
    "running": ("dan2", "Outdoors/parking-ramp.jpg"),
    "football": ("football-stand", "Sports/football-field.jpg"),
}
WIDTH, HEIGHT, GROUND = 220, 280, 22
# The package's sample: who is where, by the middle and the lowest point, and how large; those in
# front last.
SAMPLE = Path(__file__).parents[1] / "src" / "hrnet" / "samples" / "group.jpg"
SCENE = "Sports/playing-field.jpg"
GROUP = (
    ("nathan", 276, 238, 0.55),
    ("sam", 382, 250, 0.6),
    ("dan2", 424, 302, 0.85),
    ("cassy-dancing-3", 68, 305, 0.9),
    ("anjuli-1", 322, 345, 0.95),
    ("calvrett-jumping", 174, 335, 1.0),
)


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


def compose_group(media: Path) -> NDArray[np.uint8]:
    """Several people before a scene, twice as large as in the package: (720, 960, 3) RGB."""
    picture = Image.open(media / "Backgrounds" / SCENE).convert("RGBA").resize((960, 720))
    for name, middle, lowest, size in GROUP:
        person = Image.open(media / "Costumes" / "People" / f"{name}.gif").convert("RGBA")
        width, height = round(2 * size * person.width), round(2 * size * person.height)
        person = person.resize((width, height), Image.Resampling.LANCZOS)
        picture.alpha_composite(person, (2 * middle - width // 2, 2 * lowest - height))
    return np.array(picture.convert("RGB"))


def write(file: Path, image: NDArray[np.uint8]) -> None:
    cv2.imwrite(str(file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    media = parser.parse_args().scratch
    pictures = {name: read_image(file.read_bytes()) for name, file in PHOTOGRAPHS.items()}
    pictures |= {name: compose(media, *parts) for name, parts in COMPOSED.items()}
    write(SAMPLE, compose_group(media))
    docs = Path(__file__).parents[1] / "docs" / "pictures"
    group = read_image(SAMPLE)
    estimator = hrnet.PoseEstimator()
    for name, image in {"group": group, **pictures}.items():
        write(docs / f"{name}.jpg", estimator(image).draw(image))


if __name__ == "__main__":
    main()

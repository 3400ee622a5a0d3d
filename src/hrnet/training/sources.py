"""Whom a recipe trains on, and whom it measures on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.people import People, in_words
from hrnet.data.reading import read_people
from hrnet.errors import ConfigError, DataError
from hrnet.predicting.estimator import PoseEstimator
from hrnet.training.recipe import RECIPES, BoxedDataConfig, DataConfig, DataSource, Recipe
from hrnet.training.relabelling import relabel


@dataclass(frozen=True)
class RecipePeople:
    """The people of a recipe's files.

    Attributes:
        training: of each source those to train on.
        measured: those to measure on, some files' or none.
        counts: by file `People.counts` of all of them, and how many labels were mended.
    """

    training: list[People]
    measured: list[People]
    counts: dict[str, Any]

    def epoch_size(self, recipe: Recipe) -> int:
        """How many samples go by before everybody was there."""
        repeats = (source.repeat for source in recipe.data.sources)
        return sum(n * len(part) for n, part in zip(repeats, self.training, strict=True))


def read_recipe_people(recipe: Recipe, out: Path, device: str) -> RecipePeople:
    """Read the recipe's files. Who is held out goes by the picture, so that a file made of another
    one's pictures does not bring them back.

    Args:
        out: the run's folder, where predictions for relabelling are kept.
        device: Lightning's name, for these predictions.

    Raises:
        ConfigError: the recipe names no data, or nothing that could relabel.
        DataError, ImageError: files are missing or broken or do not fit; nobody is left.
    """
    check_sources(recipe.data)
    counts: dict[str, Any] = {}
    held_out = held_out_pictures(recipe.data)
    training, measured = [], [_read(recipe, source, counts) for source in recipe.data.validation]
    for source in recipe.data.sources:
        people = _read(recipe, source, counts)
        held = are_among(people.files, held_out)
        learnt = people.select(~held)
        if source.relabel is not None:
            mender = _mender(recipe, source, device)
            learnt, changes = relabel(learnt, mender, source.relabel, out / "relabelled")
            counts[source_name(source)]["relabelled"] = changes
        training.append(learnt)
        if held.any():
            measured.append(people.select(held))
    if not any(map(len, training)):
        files = ", ".join(
            f"{s.file}: {in_words(counts[source_name(s)])}" for s in recipe.data.sources
        )
        raise DataError(f"there are no people with labelled keypoints to train on in {files}")
    return RecipePeople(training, [people for people in measured if len(people)], counts)


def _mender(recipe: Recipe, source: DataSource, device: str) -> PoseEstimator:
    """The model that training starts from, to relabel a source's people."""
    start, skeleton = recipe.training.start_from, recipe.model.skeleton
    if start is None:
        raise ConfigError(
            f"{source_name(source)} is to be relabelled by the model that training starts from; "
            "give training.start_from, or leave out relabel"
        )
    mender = flip_tested(recipe, start, device)
    if mender.card.skeleton.keypoints != skeleton.keypoints:
        raise ConfigError(
            f"{source_name(source)} is to be relabelled by {start}, which has other keypoints than "
            f"the recipe's skeleton {skeleton.name}; leave out relabel"
        )
    return mender


def _read(recipe: Recipe, source: DataSource, counts: dict[str, Any]) -> People:
    file = Path(recipe.data.root, source.file)
    people = read_people(
        file,
        recipe.model.skeleton,
        images_folder(recipe, source),
        protocol=source.protocol,
        orient=source.orient,
    )
    if source.pictures is not None:
        pattern = source.pictures
        people = people.select(np.array([fnmatchcase(f.name, pattern) for f in people.files]))
        if not len(people):
            raise DataError(f"{file} has nobody in a picture named {pattern}")
    counts[source_name(source)] = people.counts()
    return people


def source_name(source: DataSource) -> str:
    """What a source is called in reports; a file may be several, each with pictures of its own."""
    return source.file if source.pictures is None else f"{source.file} ({source.pictures})"


def held_out_pictures(data: DataConfig | BoxedDataConfig) -> set[Path]:
    """Real paths of the pictures that are kept from training."""
    if data.held_out is None:
        return set()
    folders = json.loads((RECIPES / data.held_out).read_text())
    return {
        Path(data.root, folder).resolve() / name
        for folder, names in folders.items()
        for name in names
    }


def check_sources(data: DataConfig | BoxedDataConfig) -> None:
    """Raise `ConfigError` where a recipe's data are still to be given."""
    if not data.sources:
        raise ConfigError(
            "the recipe leaves it to you what to train on: give data.sources, such as "
            "'data.sources=[{file=\"my/train.json\"}]'"
        )


def are_among(files: Sequence[Path], held_out: set[Path]) -> NDArray[np.bool_]:
    """(N,) which files are held out: by their folders' real paths, as files may be links."""
    real = {folder: folder.resolve() for folder in {file.parent for file in files}}
    return np.array([real[file.parent] / file.name in held_out for file in files], dtype=bool)


def images_folder(recipe: Recipe, source: DataSource) -> Path | None:
    """Of a source's pictures, where it names one."""
    return None if source.images is None else Path(recipe.data.root, source.images)


def flip_tested(recipe: Recipe, weights: str | Path, device: str) -> PoseEstimator:
    """Weights ready to predict in single precision, with the flip test if the recipe's skeleton
    mirrors; on a device by Lightning's name."""
    return PoseEstimator(
        weights,
        device="cuda" if device == "gpu" else device,
        runtime="torch",
        precision="fp32",
        flip_test=recipe.model.skeleton.mirrors,
    )

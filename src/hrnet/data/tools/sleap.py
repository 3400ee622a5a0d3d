"""SLEAP's `.slp` files and packages (`.pkg.slp`), read by sleap-io. Labelled frames are of videos,
or embedded in the file: they are written as PNG files."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.tools.labels import Export, LabelledPicture, Somebody, file_name, with_pairs
from hrnet.errors import ConfigError, DataError
from hrnet.images import write_image
from hrnet.skeletons import skeleton_of_names


def read_sleap(source: Path) -> Export:
    """A file, with its videos where it says, or beside it.

    What SLEAP predicted and nobody corrected is left out; points that are marked as not visible are
    not labelled, as in SLEAP's own training.

    Raises:
        ConfigError: sleap-io is not installed.
        DataError: it is no such file, or a video is not there.
    """
    try:
        import sleap_io
    except ModuleNotFoundError:
        raise ConfigError(f"{source.name} needs sleap-io: pip install 'hrnet[sleap]'") from None
    if not source.is_file():
        raise DataError(f"there is no file {source}")
    left_out: Counter[str] = Counter()
    try:
        labels = sleap_io.load_slp(str(source), open_videos=False)
        skeletons = labels.skeletons
        if len(skeletons) != 1:
            raise ValueError(f"it has {len(skeletons)} skeletons")
        skeleton = skeleton_of_names(
            file_name(skeletons[0].name or "own"),
            skeletons[0].node_names,
            [(edge.source.name, edge.destination.name) for edge in skeletons[0].edges],
        )
        order = skeleton.index
        symmetries = [sorted((n.name for n in s.nodes), key=order) for s in skeletons[0].symmetries]
        guessed: list[str] = []
        if symmetries:
            skeleton, guessed = with_pairs(skeleton, [(a, b) for a, b in symmetries])
        folders = _folders(labels.videos)
        frames: dict[str, tuple[Any, int]] = {}
        pictures = []
        for frame in labels.labeled_frames:
            left_out["instances that SLEAP predicted"] += len(frame.predicted_instances)
            people = [
                _somebody(i, f"{source}, frame {frame.frame_idx}") for i in frame.user_instances
            ]
            if people:
                number = int(frame.frame_idx)
                name = f"{folders[id(frame.video)]}/{number:06d}.png"
                frames[name] = frame.video, number
                pictures.append(LabelledPicture(name, f"{source}, frame {number}", people))
    except DataError:
        raise
    except Exception as error:  # sleap-io has no errors of its own
        reason = " ".join(str(error).split())
        raise DataError(
            f"{source} cannot be read as a SLEAP file ({type(error).__name__}: {reason})"
        ) from error

    def extract(folder: Path) -> None:
        for video in {id(video): video for video, _ in frames.values()}.values():
            _open(video, source)
        for name, (video, number) in frames.items():
            try:
                picture = np.asarray(video[number])
            except Exception as error:  # whatever decodes it
                raise DataError(
                    f"{source}: frame {number} of {video.filename} cannot be read: {error}"
                ) from error
            write_image(folder / name, np.broadcast_to(picture, (*picture.shape[:2], 3)).copy())

    return Export(
        {"train": pictures},
        source.parent,
        skeleton,
        extract=extract,
        guessed=guessed,
        left_out=left_out,
    )


def _somebody(instance: Any, where: str) -> Somebody:
    somebody = Somebody()
    for name, (x, y) in zip(instance.skeleton.node_names, instance.numpy().tolist(), strict=True):
        if not np.isnan([x, y]).any():
            somebody.mark(name, x, y, 2, where, "")
    return somebody


def _folders(videos: list[Any]) -> dict[int, str]:
    """A name for each video's frames."""
    names: dict[int, str] = {}
    for video in videos:
        first = video.filename[0] if isinstance(video.filename, list) else video.filename
        own = name = file_name(Path(str(first).replace("\\", "/")).stem)
        number = 1
        while name in names.values():
            number += 1
            name = f"{own}_{number}"
        names[id(video)] = name
    return names


def _open(video: Any, source: Path) -> None:
    """Where the file says, or, as it may come from another computer, beside it."""
    said = video.filename
    several = isinstance(said, list)
    files = [str(name).replace("\\", "/") for name in (said if several else [said])]
    if not all(Path(file).is_file() for file in files):
        beside = [source.parent / Path(file).name for file in files]
        missing = [file for file in beside if not file.is_file()]
        if missing:
            raise DataError(f"{source}: there is no video or picture {missing[0].name} beside it")
        found = [str(file) for file in beside]
        video.replace_filename(found if several else found[0], open=False)
    video.open()

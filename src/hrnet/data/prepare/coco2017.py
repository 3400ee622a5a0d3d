"""COCO 2017's keypoints (Lin et al., ECCV 2014) as published: `annotations` and the folders
`train2017` and `val2017`."""

from pathlib import Path
from typing import Any

from hrnet.data.annotations import link_pictures, read_annotations, write_annotations
from hrnet.errors import DataError


def prepare_coco(source: str | Path, out: str | Path) -> dict[Path, dict[str, Any]]:
    """Write `train.json` and `val.json`, whose pictures are found in `images` beside them: what is
    published but for the pictures' names, which get their folder. A part without its annotation
    file is left out.

    Args:
        source: folder with `annotations/person_keypoints_{train,val}2017.json` and the pictures in
            `{train,val}2017` or `images/{train,val}2017`.
        out: folder to write to; the pictures are linked.

    Returns:
        The files written and `hrnet.data.people.People.counts` of each: nobody is left out.

    Raises:
        DataError: there is no such data set, or pictures are missing.
    """
    source, out = Path(source), Path(out)
    contents: dict[Path, dict[str, Any]] = {}
    for part in ("train", "val"):
        file = source / "annotations" / f"person_keypoints_{part}2017.json"
        if not file.is_file():
            continue
        content = read_annotations(file)
        folder = source / f"{part}2017"
        if not folder.is_dir():
            folder = source / "images" / f"{part}2017"
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        missing = [p for p in content["images"] if p.get("file_name") not in there]
        if missing:
            raise DataError(
                f"{len(missing)} of the {len(content['images'])} pictures in {file} are not in "
                f"{folder}, the first is {missing[0].get('file_name')}"
            )
        prefix = link_pictures(out, {folder: f"{part}2017"})[folder]
        for picture in content["images"]:
            picture["file_name"] = prefix + picture["file_name"]
        contents[out / f"{part}.json"] = content
    if not contents:
        raise DataError(
            f"{source} holds no annotations/person_keypoints_train2017.json or ..._val2017.json"
        )
    write_annotations(contents)
    return {
        file: {"people": len(content["annotations"]), "left_out": {}, "box_from_joints": {}}
        for file, content in contents.items()
    }

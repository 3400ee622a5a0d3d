"""PASCAL VOC's boxes (Everingham, Van Gool, Williams, Winn, Zisserman, IJCV 2010) as published, or
as labelling tools write them: a folder with `Annotations/*.xml` and `JPEGImages`."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hrnet.data.annotations import link_pictures, write_annotations
from hrnet.data.people import CROWD
from hrnet.data.prepare.content import LabelledBoxes, boxes_content
from hrnet.data.xml import read_xml
from hrnet.errors import DataError
from hrnet.images import size_and_orientation
from hrnet.tables import MALFORMED

PERSON = "person"


def prepare_voc(source: str | Path, out: str | Path) -> dict[Path, dict[str, Any]]:
    """Write `train.json`, to train a detector on: the boxes of people, and pictures without any as
    well. People whom VOC calls difficult are crowds there (`iscrowd`), which count neither way.

    Args:
        source: a folder with `Annotations` and `JPEGImages`, as `VOCdevkit/VOC2012` is.
        out: folder to write to; the pictures are linked.

    Returns:
        The file written and how many people are in it, and how many are difficult.

    Raises:
        DataError: there is no such data set, a picture is missing or of another size than its
            labels say, or nobody is labelled.
        ImageError: a picture cannot be read.
    """
    source, out = Path(source), Path(out)
    files = sorted((source / "Annotations").glob("*.xml"))
    if not files:
        raise DataError(
            f"{source} holds no Annotations/*.xml; give the folder of a year, as VOCdevkit/VOC2012"
        )
    pictures = []
    for file in files:
        root = read_xml(file)
        try:
            name = str(root.findtext("filename", ""))
            labelled = tuple(int(_text(root, f"size/{side}")) for side in ("width", "height"))
            people = [e for e in root.iter("object") if _text(e, "name").strip() == PERSON]
            boxes = np.array([_edges(e) for e in people]).reshape(-1, 4)
            difficult = np.array(
                [e.findtext("difficult", "0").strip() == "1" for e in people], np.bool_
            )
        except MALFORMED as error:
            raise DataError(f"{file} is not in VOC's format ({error})") from None
        if not name or Path(name).name != name:
            raise DataError(f"{file} names a picture {name!r}; it must be in JPEGImages itself")
        picture = source / "JPEGImages" / name
        if not picture.is_file():
            raise DataError(f"{picture} is missing, which {file} labels")
        size, _ = size_and_orientation(picture)
        if size != labelled:
            raise DataError(
                f"{picture} has {size[0]} x {size[1]} pixels, and {labelled[0]} x {labelled[1]} "
                f"in {file}; its labels are of another picture"
            )
        pictures.append(LabelledBoxes(name, size, boxes, difficult))
    count = sum(len(picture.boxes) for picture in pictures)
    if not count:
        raise DataError(f"none of the {len(files)} files in {source / 'Annotations'} has a person")
    prefix = link_pictures(out, {source / "JPEGImages": "JPEGImages"})[source / "JPEGImages"]
    pictures = [picture._replace(name=prefix + picture.name) for picture in pictures]
    write_annotations({out / "train.json": boxes_content(pictures, "PASCAL VOC: people")})
    crowds = sum(int(picture.crowds.sum()) for picture in pictures)
    left_out = {CROWD: crowds} if crowds else {}
    return {out / "train.json": {"people": count - crowds, "left_out": left_out}}


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"no {path} in {element.tag}")
    return text


def _edges(element: ElementTree.Element) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 in pixels; the file's count from 1, a box has those of its edges, and some
    have fractions."""
    x1, y1, x2, y2 = (
        float(_text(element, f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
    )
    return x1 - 1, y1 - 1, x2, y2

"""CVAT's own XML. "CVAT for images 1.1": pictures with skeletons, whose joints are points with a
label, `outside` and `occluded`; or with single points, of which a group is somebody. "CVAT for
video 1.1": tracks of skeletons by frame, whose pictures have names such as frame_000012.PNG."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from hrnet.data.tools.exporting import read_to_export
from hrnet.data.tools.labels import IN_ORDER, NO_POINTS, Export, LabelledPicture, Somebody
from hrnet.data.xml import read_xml
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.images.sources import SUFFIXES
from hrnet.skeletons import Skeleton, skeleton_of_names
from hrnet.tables import MALFORMED

XML, LABELS = "annotations.xml", "labels.json"
ADVICE = "group everybody's points, or draw skeletons"


def read_cvat(source: Path) -> Export:
    """`annotations.xml`, or its folder, with the pictures in it or below.

    Raises:
        DataError: it is no such export, or it is not clear whose a point is.
    """
    file = source / XML if source.is_dir() else source
    root = read_xml(file)
    images = root.findall("image")
    left_out: Counter[str] = Counter()
    try:
        if images:
            pictures = [_picture(image, file, left_out) for image in images]
        elif root.find("track") is not None:
            pictures = _frames(root, file, left_out)
        else:
            raise DataError(f"{file} has neither pictures nor tracks")
        skeleton, guessed = _points(root)
    except MALFORMED as error:
        raise DataError(
            f'{file} is not in the format "CVAT for images 1.1" or "CVAT for video 1.1" '
            f"({type(error).__name__}: {error})"
        ) from error
    return Export({"train": pictures}, file.parent, skeleton, guessed=guessed, left_out=left_out)


def export_cvat(file: str | Path, out: str | Path, images: str | Path | None = None) -> int:
    """Write a data set in COCO's format for a CVAT task of the same pictures: `labels.json`, the
    raw labels to make the task with, and `annotations.xml` to upload into it.

    Returns:
        How many people.

    Raises:
        ConfigError: `out` holds annotations already.
        DataError, ImageError: the file or a picture is missing or broken.
    """
    file, out = Path(file), Path(out)
    if (out / XML).exists():
        raise ConfigError(f"{out} holds annotations already; name another folder")
    data = read_to_export(file, images)
    text = "".join(
        f'  <image id="{number}" name={quoteattr(str(picture["file_name"]))} '
        'width="{}" height="{}">\n'.format(*data.shown_sizes[picture["id"]])
        + "".join(_skeleton_xml(p.points, data.skeleton) for p in data.people[picture["id"]])
        + "  </image>\n"
        for number, picture in enumerate(data.pictures)
    )
    everybody = (person.points for people in data.people.values() for person in people)
    shape = max(everybody, key=lambda points: int((points[:, 2] > 0).sum()), default=None)
    with atomic_write(out / XML) as temporary:
        temporary.write_text(
            f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"{text}</annotations>\n",
            encoding="utf-8",
        )
    with atomic_write(out / LABELS) as temporary:
        temporary.write_text(
            json.dumps([_raw_label(data.skeleton, shape)], indent=1), encoding="utf-8"
        )
    return len(data)


def _points(root: ElementTree.Element) -> tuple[Skeleton, list[str]]:
    """Points in the order of the task's labels, limbs by the skeleton's drawing, and what is taken
    for granted."""
    used = dict.fromkeys(point.attrib["label"] for point in root.iter("points"))
    if not used:
        raise ValueError("no picture has points")
    listed = [
        str(label.findtext("name"))
        for label in root.iter("label")
        if label.findtext("parent") or label.findtext("type") == "points"
    ]
    names = dict.fromkeys([name for name in listed if name in used] + list(used))
    limbs: list[tuple[str, str]] = []
    for label in root.iter("label"):
        drawing = label.findtext("svg") or ""
        nodes: dict[str, str] = {}
        for circle in re.findall(r"<circle[^>]*>", drawing):
            values = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', circle))
            nodes[values.get("node-id", "")] = values.get("label-name", "")
        for line in re.findall(r"<line[^>]*>", drawing):
            values = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', line))
            limb = tuple(nodes.get(values.get(f"node-{end}", ""), "") for end in ("from", "to"))
            if all(name in names for name in limb):
                limbs.append((limb[0], limb[1]))
    return skeleton_of_names("own", list(names), limbs), [] if listed else [IN_ORDER]


def _picture(image: ElementTree.Element, file: Path, left_out: Counter[str]) -> LabelledPicture:
    name = image.attrib["name"]
    if Path(name).suffix.lower() not in SUFFIXES:  # a video's frame
        name = f"{name}.PNG"
    size = int(image.attrib["width"]), int(image.attrib["height"])
    where = f"{file}, {name}"
    people: dict[str, Somebody] = {}
    for number, element in enumerate(image.findall("skeleton")):
        for point in element.findall("points"):
            _mark(people.setdefault(f"skeleton {number}", Somebody()), point, where)
    for point in image.findall("points"):
        _mark(people.setdefault(f"group {point.get('group_id', '0')}", Somebody()), point, where)
    for box in image.findall("box"):
        if float(box.get("rotation", 0)):
            raise DataError(f"{where}: a box is turned; draw it upright")
        if box.get("group_id", "0") != "0":
            x1, y1, x2, y2 = (float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
            people.setdefault(f"group {box.get('group_id')}", Somebody()).box = x1, y1, x2, y2
    for shape in image:
        if shape.tag not in ("skeleton", "points", "box", "tag"):
            left_out[f"shapes: {shape.tag}"] += 1
    boxes = [box for box in image.findall("box") if box.get("group_id", "0") == "0"]
    left_out[NO_POINTS] += len(boxes)
    return LabelledPicture(name, where, list(people.values()), size)


def _frames(root: ElementTree.Element, file: Path, left_out: Counter[str]) -> list[LabelledPicture]:
    """The frames of a video where somebody was labelled by hand; those between, which CVAT fills
    in, tell training nothing new."""
    size = root.find(".//original_size")
    if size is None:
        raise ValueError("no original_size")
    shown = int(size.findtext("width", "")), int(size.findtext("height", ""))
    frames: dict[int, list[Somebody]] = {}
    for track in root.findall("track"):
        for element in track.findall("skeleton"):
            number = int(element.attrib["frame"])
            points = element.findall("points")
            if "1" not in (element.get("keyframe"), *(p.get("keyframe") for p in points)):
                left_out["skeletons between keyframes"] += 1
                continue
            somebody = Somebody()
            for point in points:
                _mark(somebody, point, f"{file}, frame {number}")
            if element.get("outside") != "1" and somebody.points:
                frames.setdefault(number, []).append(somebody)
        for shape in ("points", "box", "polygon", "polyline"):
            left_out[f"tracked {shape}"] += len(track.findall(shape))
    return [
        LabelledPicture(f"frame_{number:06d}.PNG", f"{file}, frame {number}", people, shown)
        for number, people in sorted(frames.items())
    ]


def _mark(somebody: Somebody, point: ElementTree.Element, where: str) -> None:
    if point.get("outside") == "1":
        return
    name = point.attrib["label"]
    places = [pair.split(",") for pair in point.attrib["points"].split(";")]
    if len(places) != 1:
        raise DataError(
            f"{where}: {name} has {len(places)} points in one shape; draw one point a label, or a "
            "skeleton"
        )
    x, y = places[0]
    somebody.mark(name, x, y, 1 if point.get("occluded") == "1" else 2, where, ADVICE)


def _skeleton_xml(points: NDArray[np.float64], skeleton: Skeleton) -> str:
    lines = [f'    <skeleton label={quoteattr(skeleton.name)} source="manual" z_order="0">\n']
    for name, (x, y, v) in zip(skeleton.keypoints, points.tolist(), strict=True):
        lines.append(
            f'      <points label={quoteattr(name)} source="manual" outside="{int(v == 0)}" '
            f'occluded="{int(v == 1)}" points="{x:.3f},{y:.3f}"></points>\n'
        )
    return "".join([*lines, "    </skeleton>\n"])


def _raw_label(skeleton: Skeleton, shape: NDArray[np.float64] | None) -> dict[str, Any]:
    """What CVAT's constructor takes: the joints, drawn as somebody of the data set has them."""
    places = np.stack([np.linspace(10, 90, len(skeleton)), np.full(len(skeleton), 50.0)], axis=1)
    if shape is not None and (shape[:, 2] > 0).all():
        low, extent = shape[:, :2].min(axis=0), max(1.0, float(np.ptp(shape[:, :2], axis=0).max()))
        places = 10 + 80 * (shape[:, :2] - low) / extent
    number = {name: n for n, name in enumerate(skeleton.keypoints, 1)}
    svg = "".join(
        f'<line x1="{places[a, 0]:.1f}" y1="{places[a, 1]:.1f}" x2="{places[b, 0]:.1f}" '
        f'y2="{places[b, 1]:.1f}" stroke="black" data-type="edge" data-node-from="{a + 1}" '
        f'stroke-width="0.5" data-node-to="{b + 1}"></line>'
        for a, b in skeleton.limb_indices
    ) + "".join(
        f'<circle r="0.75" stroke="black" fill="#b3b3b3" cx="{x:.1f}" cy="{y:.1f}" '
        f'stroke-width="0.1" data-type="element node" data-element-id="{number[name]}" '
        f'data-node-id="{number[name]}" data-label-name="{escape(name)}"></circle>'
        for name, (x, y) in zip(skeleton.keypoints, places.tolist(), strict=True)
    )
    sublabels = [{"name": name, "type": "points", "attributes": []} for name in skeleton.keypoints]
    return {"name": skeleton.name, "type": "skeleton", "svg": svg, "sublabels": sublabels}

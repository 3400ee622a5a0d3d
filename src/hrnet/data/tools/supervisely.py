"""Supervisely's projects: `meta.json`, and data sets with pictures in `img` and a JSON file for
each in `ann`, whose objects of the type "graph" are somebody's points."""

from collections import Counter
from pathlib import Path
from typing import Any

from hrnet.data.tools.labels import Export, LabelledPicture, Somebody
from hrnet.errors import DataError
from hrnet.skeletons import Skeleton, skeleton_of_names
from hrnet.tables import MALFORMED, read_json

META = "meta.json"


def read_supervisely(source: Path) -> Export:
    """A project's folder.

    Raises:
        DataError: it is no such project, or its classes have different points.
    """
    meta = read_json(source / META, "file of a Supervisely project")
    pictures: list[LabelledPicture] = []
    left_out: Counter[str] = Counter()
    try:
        skeleton, names = _points(meta)
    except MALFORMED as error:
        raise _no_project(source / META, error) from error
    for file in sorted(source.glob("**/ann/*.json")):
        table = read_json(file, "annotation")
        try:
            size = int(table["size"]["width"]), int(table["size"]["height"])
            people = [_somebody(o, names, file) for o in _graphs(table, left_out)]
            name = (file.parent.parent / "img" / file.stem).relative_to(source).as_posix()
            pictures.append(LabelledPicture(name, str(file), people, size))
        except MALFORMED as error:
            raise _no_project(file, error) from error
    return Export({"train": pictures}, source, skeleton, left_out=left_out)


def _no_project(file: Path, error: Exception) -> DataError:
    return DataError(
        f"{file} is not of a Supervisely project with keypoints ({type(error).__name__}: {error})"
    )


def _points(meta: dict[str, Any]) -> tuple[Skeleton, dict[str, dict[str, str]]]:
    """What the points are; by class and node, a point's name."""
    classes = [c for c in meta["classes"] if c["shape"] == "graph"]
    names: dict[str, dict[str, str]] = {}
    for own in classes:
        nodes = own["geometry_config"]["nodes"]
        names[own["title"]] = {key: str(node.get("label") or key) for key, node in nodes.items()}
    if not classes:
        raise ValueError("no class is a graph")
    lists = {tuple(nodes.values()) for nodes in names.values()}
    if len(lists) > 1:
        raise ValueError(f"the classes {', '.join(names)} have different points")
    first = classes[0]
    points = names[first["title"]]
    edges = first["geometry_config"].get("edges") or []
    limbs = [(points[edge["src"]], points[edge["dst"]]) for edge in edges]
    title = str(first["title"]) if len(classes) == 1 else "own"
    return skeleton_of_names(title, list(points.values()), limbs), names


def _graphs(table: dict[str, Any], left_out: Counter[str]) -> list[dict[str, Any]]:
    graphs = [o for o in table["objects"] if o["geometryType"] == "graph"]
    for other in table["objects"]:
        if other["geometryType"] != "graph":
            left_out[f"objects: {other['geometryType']}"] += 1
    return graphs


def _somebody(table: dict[str, Any], names: dict[str, dict[str, str]], file: Path) -> Somebody:
    """A node that is disabled is hidden in the picture."""
    somebody = Somebody()
    for key, node in table["nodes"].items():
        x, y = node["loc"]
        label = names[table["classTitle"]][key]
        somebody.mark(label, x, y, 1 if node.get("disabled") else 2, str(file), "")
    return somebody

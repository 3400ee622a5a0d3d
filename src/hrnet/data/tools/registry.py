"""Which tools there are, and what of theirs is read and written."""

from collections.abc import Callable
from pathlib import Path

from hrnet.data.tools.coco_categories import prepare_categories, read_rectlabel
from hrnet.data.tools.cvat import export_cvat, read_cvat
from hrnet.data.tools.deeplabcut import read_deeplabcut
from hrnet.data.tools.label_studio import export_label_studio, read_label_studio
from hrnet.data.tools.labelme import read_labelme
from hrnet.data.tools.labels import Export, Prepared, write_export
from hrnet.data.tools.sleap import read_sleap
from hrnet.data.tools.supervisely import read_supervisely
from hrnet.data.tools.via import read_via
from hrnet.data.tools.yolo import export_yolo, read_yolo
from hrnet.errors import ConfigError
from hrnet.skeletons import Skeleton

READ: dict[str, Callable[[Path], Export]] = {
    "cvat": read_cvat,
    "deeplabcut": read_deeplabcut,
    "label-studio": read_label_studio,
    "labelme": read_labelme,
    "rectlabel": read_rectlabel,
    "sleap": read_sleap,
    "supervisely": read_supervisely,
    "via": read_via,
    "yolo": read_yolo,
}
CATEGORIES = "categories"

EXPORT: dict[str, Callable[[Path, Path, Path | None], int]] = {
    "cvat": export_cvat,
    "label-studio": export_label_studio,
    "yolo": export_yolo,
}


def prepare_labels(
    tool: str, source: str | Path, out: str | Path, skeleton: Skeleton | None = None
) -> Prepared:
    """Bring what a tool exported into COCO's format: `train.json` (and `val.json`, `test.json` of a
    data set that is divided; a file a category of several) and `skeleton.toml`. Pictures are
    linked.

    Args:
        tool: of `READ`, or `CATEGORIES`.
        source: file or folder, as the tool's reader says.
        out: folder to write to.
        skeleton: what the points are; by default what the export says of them.

    Raises:
        ConfigError: a library is needed for it, or `out` has other pictures.
        DataError: it is no such export, it is not clear whose a point is, a picture is not there.
        ImageError: a picture is none.
    """
    source, out = Path(source), Path(out)
    if tool != CATEGORIES:
        return write_export(READ[tool](source), source, out, skeleton)
    if skeleton is not None:
        raise ConfigError("each category has points of its own; leave out the skeleton")
    return prepare_categories(source, out)

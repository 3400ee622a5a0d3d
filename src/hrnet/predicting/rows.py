"""Rows, one a person, of many pictures: what data pipelines such as Ray Data map over."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hrnet.errors import ConfigError
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture, PictureResult
from hrnet.result import SCHEMA_VERSION, Poses, probability_columns, row_columns
from hrnet.skeletons import Skeleton

if TYPE_CHECKING:
    import pyarrow


class PoseRows:
    """A callable for pipelines, a batch of pictures in, rows out:
    `dataset.map_batches(PoseRows, batch_format="pyarrow", fn_constructor_kwargs={...})`.

    It is made once a worker, from plain values, and loads the model there.

    Args:
        column: of the pictures: paths, URLs, encoded bytes, or arrays (H, W, 3) uint8 RGB.
        boxes: column of people's boxes, see `Picture`; None where the detector is to find them.
        arguments: of `PoseEstimator`.
    """

    def __init__(self, column: str = "path", *, boxes: str | None = None, **arguments: Any) -> None:
        self.column = column
        self.boxes = boxes
        self.estimator = PoseEstimator(**arguments)

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """A row a person, in the pictures' order: the batch's own columns, but for boxes and for
        pictures that are not paths or URLs, then those of `row_fields`. A picture without people
        has one row whose `person` and all after it are null; so has one that cannot be used, with
        the reason in `error`.

        Raises:
            ConfigError: a column is not there, or is one of `row_fields`; or there are none to tell
                one picture's rows from another's by.
        """
        import pyarrow as pa

        fields = row_fields(self.estimator)
        kept = kept_columns(batch.schema, self.column, self.boxes)
        for field in fields:
            if field.name in kept:
                raise ConfigError(
                    f"the data have a column {field.name!r}, and so have rows; give it another name"
                )
        sources = _values(batch[self.column])
        boxes = [None] * len(sources) if self.boxes is None else batch[self.boxes].to_pylist()
        rows: list[dict[str, Any]] = []
        places: list[int] = []
        results = self.estimator.stream(map(Picture, sources, boxes))
        for place, result in enumerate(results):
            own = rows_of(result)
            rows += own
            places += [place] * len(own)
        found = pa.Table.from_pylist(rows, schema=pa.schema(fields))
        known = batch.select(kept).take(places)
        return pa.table([*known.columns, *found.columns], names=[*kept, *found.column_names])


def row_fields(estimator: PoseEstimator) -> "list[pyarrow.Field]":
    """The columns of a row: of its picture `width`, `height`, the `orientation` by which it was
    turned, what coordinates are measured on (`pixels`, "upright" or "stored"), `error` ("" where
    there is none) and `box_source`; of the person what `Poses.to_rows` has."""
    import pyarrow as pa

    columns = row_columns(estimator.card.skeleton)
    if estimator.card.calibration is not None:
        columns += probability_columns(estimator.card.skeleton)
    return [
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("orientation", pa.int8()),
        pa.field("pixels", pa.string()),
        pa.field("error", pa.string()),
        pa.field("box_source", pa.string()),
        *(pa.field(name, pa.int32() if name == "person" else pa.float64()) for name in columns),
    ]


def rows_of(result: PictureResult) -> list[dict[str, Any]]:
    """A picture's rows, at least one; what has no value is left out."""
    if result.poses is None:
        return [{"error": str(result.error)}]
    width, height = result.size
    about = {
        "width": width,
        "height": height,
        "orientation": result.orientation,
        "pixels": "upright" if result.picture.upright else "stored",
        "error": "",
        "box_source": result.poses.box_source,
    }
    return [about | row for row in result.poses.to_rows()] or [about]


def poses_of(rows: Sequence[dict[str, Any]], skeleton: Skeleton) -> Poses:
    """Back from the rows of a picture that can be used."""
    joints = [[f"{name}_{part}" for part in ("x", "y", "score")] for name in skeleton.keypoints]
    sure = probability_columns(skeleton)
    people: list[dict[str, Any]] = []
    for row in rows:
        if row["person"] is None:
            continue
        person = {
            "keypoints": [[row[name] for name in names] for names in joints],
            "box": [row[name] for name in ("x1", "y1", "x2", "y2")],
            "box_score": row["box_score"],
        }
        if sure[0] in row:
            person["probability"] = [row[name] for name in sure]
        people.append(person)
    return Poses.from_dict(
        {
            "schema": SCHEMA_VERSION,
            "box_source": rows[0]["box_source"],
            "people": people,
            "skeleton": skeleton.to_dict(),
        }
    )


def kept_columns(schema: "pyarrow.Schema", column: str, boxes: str | None) -> list[str]:
    """Of a data set, those that its rows have too; see `PoseRows`.

    Raises:
        ConfigError: a column is not there, or there are none to tell one picture's rows from
            another's by.
    """
    import pyarrow as pa

    for name in (column, boxes):
        if name is not None and name not in schema.names:
            raise ConfigError(
                f"the data have no column {name!r}; they have {', '.join(schema.names)}"
            )
    text = pa.types.is_string, pa.types.is_large_string
    is_name = any(is_text(schema.field(column).type) for is_text in text)
    kept = [name for name in schema.names if name != boxes and (name != column or is_name)]
    if not kept:
        raise ConfigError(
            f"the data have nothing but {column!r}; add a column, such as path, that says which "
            "picture a row is of"
        )
    return kept


def _values(column: "pyarrow.ChunkedArray") -> list[Any]:
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):  # arrays, as Ray Data has them
        return [own for chunk in column.chunks for own in chunk.to_numpy(zero_copy_only=False)]
    return column.to_pylist()

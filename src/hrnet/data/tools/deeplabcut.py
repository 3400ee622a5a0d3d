"""DeepLabCut's labelled frames: `CollectedData_*.csv` or `.h5`, a row a frame, a column a number;
the columns' names are the scorer, of several animals the individual, the body part, and x or y.

HDF5 files are read without PyTables: in some of them names are pickled, of which only texts,
numbers and lists are taken.
"""

import csv
import io
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.tools.labels import Export, LabelledPicture, Somebody
from hrnet.errors import ConfigError, DataError
from hrnet.skeletons import skeleton_of_names
from hrnet.tables import MALFORMED, read_yaml

KEY = "df_with_missing"

# Names of columns, from the outer to the inner; names of rows; numbers.
Table = tuple[list[tuple[str, ...]], list[str], NDArray[np.float64]]


def read_deeplabcut(source: Path) -> Export:
    """A project's folder, another one with labelled frames below, or one file of them.

    Of a CSV file and an HDF5 file of the same name in a folder the first counts.

    Raises:
        ConfigError: an HDF5 file needs h5py.
        DataError: there are no such files, or one is not of this form.
    """
    files = [source]
    if source.is_dir():
        found = {file.with_suffix(""): file for file in source.glob("**/CollectedData_*.h5")}
        found |= {file.with_suffix(""): file for file in source.glob("**/CollectedData_*.csv")}
        files = sorted(found.values())
    if not files:
        raise DataError(f"there is no CollectedData_*.csv or .h5 in {source} or below")
    folder = source if source.is_dir() else source.absolute().parent
    pictures: list[LabelledPicture] = []
    parts: dict[str, None] = {}
    for file in files:
        try:
            columns, rows, values = _from_hdf5(file) if file.suffix == ".h5" else _from_csv(file)
            parts |= dict.fromkeys(name[-2] for name in columns)
            for row, numbers in zip(rows, values.tolist(), strict=True):
                where = f"{file}, {row}"
                people = _people(columns, numbers, where)
                pictures.append(LabelledPicture(_name(row, file, folder), where, people))
        except MALFORMED as error:
            raise DataError(
                f"{file} holds no labels of DeepLabCut's ({type(error).__name__}: {error})"
            ) from error
    limbs = [limb for limb in _limbs(source, files[0]) if set(limb) <= set(parts)]
    return Export({"train": pictures}, folder, skeleton_of_names("own", list(parts), limbs))


def _from_csv(file: Path) -> Table:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    lines = [line for line in csv.reader(text.splitlines()) if line]
    head = [
        line for line in lines[:4] if line[0] in ("scorer", "individuals", "bodyparts", "coords")
    ]
    if not head or head[-1][0] != "coords":
        raise ValueError("it does not begin with scorer, bodyparts and coords")
    # A frame is one path, or, in later versions, three columns that make one.
    first = next(i for i, text in enumerate(head[0][1:], 1) if text)
    columns = list(zip(*(line[first:] for line in head), strict=True))
    rows = ["/".join(line[:first]) for line in lines[len(head) :]]
    values = [[float(text or "nan") for text in line[first:]] for line in lines[len(head) :]]
    return columns, rows, np.array(values, np.float64).reshape(len(rows), len(columns))


def _from_hdf5(file: Path) -> Table:
    try:
        import h5py
    except ModuleNotFoundError:
        raise ConfigError(
            f"{file.name} needs h5py: pip install 'hrnet[data]'; or use the CSV file beside it"
        ) from None
    try:
        with h5py.File(file) as content:
            group = content[KEY]
            return _from_table(group) if "table" in group else _from_blocks(group)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(str(error)) from error


def _from_blocks(group: Any) -> Table:
    """pandas' "fixed" form: levels and which of them, of columns, rows and blocks of numbers."""
    columns, rows = _names(group, "axis0"), ["/".join(name) for name in _names(group, "axis1")]
    values = np.full((len(rows), len(columns)), np.nan)
    for number in range(int(group.attrs["nblocks"])):
        block = np.asarray(group[f"block{number}_values"], np.float64)
        for name, column in zip(_names(group, f"block{number}_items"), block.T, strict=True):
            values[:, columns.index(name)] = column
    return columns, rows, values


def _names(group: Any, axis: str) -> list[tuple[str, ...]]:
    if group.attrs.get(f"{axis}_nlevels") is None:
        return [(_text(value),) for value in group[axis][()]]
    levels = []
    for number in range(int(group.attrs[f"{axis}_nlevels"])):
        texts = [_text(value) for value in group[f"{axis}_level{number}"][()]]
        levels.append([texts[i] for i in group[f"{axis}_label{number}"][()].tolist()])
    return list(zip(*levels, strict=True))


def _from_table(group: Any) -> Table:
    """pandas' "table" form: a record a row, and the names of columns in an attribute."""
    ((_, names),) = _Plain(io.BytesIO(bytes(group.attrs["non_index_axes"]))).load()
    columns = [tuple(map(str, name)) for name in names]
    table = group["table"][()]
    index, *blocks = table.dtype.names
    values = np.concatenate([table[block].reshape(len(table), -1) for block in blocks], axis=1)
    if values.shape[1] != len(columns):
        raise ValueError(f"{values.shape[1]} numbers a row for {len(columns)} columns")
    return columns, [_text(value) for value in table[index]], values.astype(np.float64)


class _Plain(pickle.Unpickler):
    """Texts, numbers, lists: whatever needs no code of anybody's."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds a pickled {module}.{name}, which is not read")


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _people(columns: list[tuple[str, ...]], numbers: Iterable[float], where: str) -> list[Somebody]:
    places: dict[tuple[str, ...], dict[str, float]] = {}
    for name, number in zip(columns, numbers, strict=True):
        if name[-1] not in ("x", "y"):
            raise ValueError(f"a column is neither x nor y, but {name[-1]}")
        place = places.setdefault(name[:-1], {})
        if name[-1] in place:
            raise ValueError(f"two columns are {', '.join(name)}")
        place[name[-1]] = number
    people: dict[tuple[str, ...], Somebody] = {}
    for name, place in places.items():
        if not np.isnan([place["x"], place["y"]]).any():
            somebody = people.setdefault(name[:-1], Somebody())
            somebody.mark(name[-1], place["x"], place["y"], 2, where, "")
    return list(people.values())


def _name(row: str, file: Path, folder: Path) -> str:
    """Of the picture: beside the file, as long as a project is in order."""
    beside = file.parent / row.replace("\\", "/").rpartition("/")[2]
    return str(beside.absolute().relative_to(folder.absolute())) if beside.is_file() else row


def _limbs(source: Path, file: Path) -> list[tuple[str, str]]:
    """That the project draws."""
    projects = [source, *file.absolute().parents[:3]]
    config = next((p / "config.yaml" for p in projects if (p / "config.yaml").is_file()), None)
    if config is None:
        return []
    limbs = read_yaml(config).get("skeleton") or []
    return [(str(limb[0]), str(limb[1])) for limb in limbs if len(limb) == 2]

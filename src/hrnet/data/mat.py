"""MATLAB's files."""

from pathlib import Path
from typing import Any

from hrnet.errors import DataError


def read_mat(file: Path) -> dict[str, Any]:
    """The variables of a .mat file: arrays without axes of length 1, structs as objects with their
    fields as attributes.

    Raises:
        DataError: the file is missing or no .mat file.
        ModuleNotFoundError: scipy is not installed.
    """
    from scipy.io import loadmat

    try:
        return dict(loadmat(file, squeeze_me=True, struct_as_record=False))
    except FileNotFoundError:
        raise DataError(f"there is no file {file}") from None
    except Exception as error:  # scipy has none of its own for broken files
        raise DataError(f"{file} cannot be read as a .mat file: {error}") from error

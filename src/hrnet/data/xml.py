"""Files in XML, which come from anywhere."""

from pathlib import Path
from xml.etree import ElementTree

from hrnet.errors import DataError


def read_xml(file: Path) -> ElementTree.Element:
    """The root of a file's tree.

    Raises:
        DataError: the file is missing or no XML, or declares entities, which could grow without
            end, and which no data set and no labelling tool needs.
    """
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {file}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise DataError(f"{file} declares entities, which no data set or labelling tool does")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file} cannot be read as XML: {error}") from None

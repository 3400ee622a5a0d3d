"""Pictures: which are meant, what their headers say, and their pixels as RGB uint8."""

from hrnet.images.headers import size_and_orientation
from hrnet.images.orientation import to_stored, to_upright, turn_upright, turned_size
from hrnet.images.reading import (
    Image,
    ImageSource,
    decode_image,
    encode_image,
    is_url,
    read_image,
    read_oriented,
    read_stored,
    write_image,
)

__all__ = [
    "Image",
    "ImageSource",
    "decode_image",
    "encode_image",
    "is_url",
    "read_image",
    "read_oriented",
    "read_stored",
    "size_and_orientation",
    "to_stored",
    "to_upright",
    "turn_upright",
    "turned_size",
    "write_image",
]

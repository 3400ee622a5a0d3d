"""Pictures: which are meant, what their headers say, and their pixels as RGB uint8."""

from hrnet.images.reading import Image, ImageSource, is_url, read_image, read_stored, write_image

__all__ = ["Image", "ImageSource", "is_url", "read_image", "read_stored", "write_image"]

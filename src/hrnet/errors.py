"""What can go wrong. Every message is one sentence: what was wrong, where, and what to do."""


class HRNetError(Exception):
    """Base of the errors that a user can mend; the command line prints them and exits with 2."""


class ImageError(HRNetError):
    """A picture that is missing, broken, not a picture, or too large."""


class BoxError(HRNetError, ValueError):
    """A box that is not four finite numbers, is empty, or lies outside the picture."""


class DataError(HRNetError):
    """An annotation file that is missing, broken, or does not fit the model's skeleton."""


class ConfigError(HRNetError):
    """A recipe, model card or skeleton file with a wrong key or value, or an unknown name."""


class WeightsError(HRNetError):
    """A weights file that is missing, broken, or does not fit the network."""


class DownloadError(HRNetError):
    """A URL that cannot be fetched, or whose content is not the file that was asked for."""

"""Cards of our own detectors: everything that a weights file alone does not say."""

from pathlib import Path

from pydantic import Field

from hrnet.zoo.card import DETECTOR_KEY, Card, read_card_of


class DetectorCard(Card):
    """A person detector: architecture, input, what it takes for a person, and where it comes from.

    Attributes:
        input_size: the longer side of its input in pixels: pictures are brought to it.
        threshold: of the score.
        overlap: intersection over union above which the box with the lower score goes.
    """

    input_size: int = Field(default=384, ge=64, le=4096, multiple_of=32)
    threshold: float = Field(default=0.3, ge=0, le=1)
    overlap: float = Field(default=0.6, ge=0, le=1)


def read_detector_card(file: Path) -> DetectorCard | None:
    """The card in a detector's weights file, see `hrnet.zoo.card.read_card_of`."""
    return read_card_of(DetectorCard, DETECTOR_KEY, file)

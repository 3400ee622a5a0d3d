"""What a measure of joints returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class JointFigures:
    """Figures that are made of single joints.

    Attributes:
        figures: by name, as published tables print them; the first is the headline.
        per_joint: the headline by joint name (NaN where the joint is counted nowhere).
        people, joints: how many were counted.
        protocol: what a figure must share with this one to be compared, in words.
    """

    figures: dict[str, float]
    per_joint: dict[str, float]
    people: int
    joints: int
    protocol: str

    @property
    def mean(self) -> float:
        """The headline figure."""
        return next(iter(self.figures.values()))

"""HRNet: joints of people (and of anything else with a skeleton) in pictures.

import hrnet

estimator = hrnet.PoseEstimator()
poses = estimator("photo.jpg")
poses.keypoints, poses.scores
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrnet.errors import (
        BoxError,
        ConfigError,
        DataError,
        DownloadError,
        HRNetError,
        ImageError,
        WeightsError,
    )
    from hrnet.model import PoseModel
    from hrnet.network import HighResolutionNet
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.predicting.picture import Picture
    from hrnet.result import Poses
    from hrnet.skeletons import Skeleton, load_skeleton
    from hrnet.zoo import list_models
    from hrnet.zoo.build import create_model
    from hrnet.zoo.loading import load_weights

__version__ = "0.1.0"

_HOMES = {
    "BoxError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "DownloadError": "errors",
    "HRNetError": "errors",
    "HighResolutionNet": "network",
    "ImageError": "errors",
    "Picture": "predicting.picture",
    "PoseEstimator": "predicting.estimator",
    "PoseModel": "model",
    "Poses": "result",
    "Skeleton": "skeletons",
    "WeightsError": "errors",
    "create_model": "zoo.build",
    "list_models": "zoo",
    "load_skeleton": "skeletons",
    "load_weights": "zoo.loading",
}

__all__ = [
    "BoxError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "HRNetError",
    "HighResolutionNet",
    "ImageError",
    "Picture",
    "PoseEstimator",
    "PoseModel",
    "Poses",
    "Skeleton",
    "WeightsError",
    "__version__",
    "create_model",
    "list_models",
    "load_skeleton",
    "load_weights",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `import hrnet` and `hrnet --help` are instant.
    if name not in _HOMES:
        raise AttributeError(f"module 'hrnet' has no attribute {name!r}")
    value = getattr(import_module(f"hrnet.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

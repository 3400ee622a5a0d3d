"""Models as ONNX, with everything from uint8 pictures to points or boxes."""

import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from hrnet.detection_model import DetectionModel
from hrnet.errors import ConfigError
from hrnet.model import PoseModel
from hrnet.runtime.onnx_names import BOXES, CROPS, HEATMAPS, PICTURES, POINTS
from hrnet.runtime.torch_session import fold_batch_norms

OPSET = 17  # of ONNX: the one of 2022, which ONNX Runtime 1.13 and newer read


class _WithMaps(nn.Module):
    """A model that also gives the network's maps, from which the rest is made."""

    def __init__(self, model: PoseModel | DetectionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.model, DetectionModel):
            maps = self.model.maps(pictures)
            return self.model.people(maps), maps
        maps = self.model.heatmaps(pictures)
        height, width = pictures.shape[1:3]
        return self.model.points(maps, (width, height)), maps


def write_onnx(model: PoseModel | DetectionModel, size: tuple[int, int], file: Path) -> None:
    """Write a model as ONNX, and change it: batch norms go into the convolutions before them.

    A pose model takes CROPS (N, H, W, 3) uint8 of its input size, and gives POINTS (N, K, 4), see
    `hrnet.model.PoseModel`, and the HEATMAPS (N, K, H/4, W/4) that they are from, as somebody who
    computes the network in half precision is to decode in single. A detector takes PICTURES
    (N, H, W, 3) uint8, H and W multiples of 32, and gives BOXES (N, P, 5), see
    `hrnet.detection_model.DetectionModel`, and as HEATMAPS its five maps.

    Args:
        size: (width, height) of the input; of a detector any, as they may have all.

    Raises:
        ConfigError: onnx is not installed.
    """
    if find_spec("onnx") is None:  # which PyTorch's exporter needs
        raise ConfigError("models are converted by onnx: pip install onnx")
    fold_batch_norms(model.eval())
    if isinstance(model, PoseModel):
        inputs, outputs = [CROPS], [POINTS, HEATMAPS]
        dynamic = {CROPS: {0: "n"}, POINTS: {0: "n"}, HEATMAPS: {0: "n"}}
    else:
        inputs, outputs = [PICTURES], [BOXES, HEATMAPS]
        free = {0: "n", 1: "h", 2: "w"}
        dynamic = {PICTURES: free, BOXES: {0: "n"}, HEATMAPS: {0: "n", 2: "h", 3: "w"}}
    width, height = size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        # Of sizes that become constants, which is meant, and of the exporter that is to replace
        # this one: it needs another package, and a minute.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _WithMaps(model),
            (example,),
            os.fspath(file),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )

import pytest
import torch
from torch import nn

from hrnet.codec import HeatmapCodec
from hrnet.model import PoseModel
from hrnet.network import HighResolutionNet

INPUT = (96, 128)  # width, height
FLIP_ORDER = [0, 2, 1]


class Echo(nn.Module):
    """A "network" whose heatmaps are the picture's channels, at a quarter of the resolution."""

    def forward(self, x):
        return nn.functional.avg_pool2d(x, 4)


def crops_with_dots(points):
    """A crop whose channel k is bright around points[k], in crop pixels; as UDP's cells see it."""
    codec = HeatmapCodec("udp", 2.0)
    heatmaps, _ = codec.encode(points[None], torch.ones(1, 3, dtype=torch.bool), INPUT)
    big = nn.functional.interpolate(heatmaps, scale_factor=4, mode="nearest")
    return (big * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def model(**settings):
    settings = {"flip_shift": False, "tolerance": [0.1, 0.1, 0.1], **settings}
    return PoseModel(Echo(), HeatmapCodec("udp", 2.0), FLIP_ORDER, **settings).eval()


POINTS = torch.tensor([[30.0, 40.0], [60.0, 90.0], [70.0, 30.0]])


def test_points_come_in_crop_pixels():
    points = model()(crops_with_dots(POINTS))
    assert points.shape == (1, 3, 4)
    # Within a quarter of a cell: normalisation shifts the levels, and so bends the logarithm.
    assert (points[0, :, :2] - POINTS).abs().max() < 1


def test_normalisation_is_imagenet_s():
    crop = torch.tensor([[[[0, 255, 128]]]], dtype=torch.uint8)
    normalised = model().normalise(crop)
    expected = torch.tensor([-0.485 / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225])
    assert torch.allclose(normalised.flatten(), expected)
    assert normalised.shape == (1, 3, 1, 1)


def test_flip_test_swaps_pairs_and_mirrors_back():
    """The echo of a mirrored crop has joint 2 where joint 1 should be: the average shows both."""
    crops = crops_with_dots(POINTS)
    plain = model().heatmaps(crops)
    both = model(flip_test=True).heatmaps(crops)
    assert torch.allclose(both[:, 0], plain[:, 0], atol=1e-5)
    assert torch.allclose(both[:, 1], (plain[:, 1] + plain[:, 2]) / 2, atol=1e-5)
    assert torch.allclose(both[:, 2], both[:, 1], atol=1e-5)


def test_flip_shift_moves_the_mirrored_heatmap_one_cell_to_the_right():
    crops = crops_with_dots(POINTS)
    plain = model().heatmaps(crops)[0, 0]
    both = model(flip_test=True, flip_shift=True).heatmaps(crops)[0, 0]
    mirrored = 2 * both - plain
    assert torch.allclose(mirrored[:, 1:], plain[:, :-1], atol=1e-4)
    assert torch.allclose(mirrored[:, 0], plain[:, 0], atol=1e-4)


def test_logits_become_heatmaps_of_peak_one():
    """The logarithm of a Gaussian, as cross-entropy training makes it, is a peak of 1 again."""
    codec = HeatmapCodec("dark", 1.5)
    targets, _ = codec.encode(
        torch.tensor([[[48.0, 64.0]]]), torch.ones(1, 1, dtype=torch.bool), INPUT
    )
    logits = targets.clamp(min=1e-12).log() + 5.0
    heatmaps = PoseModel(Echo(), codec, [0], output="logits", tolerance=[0.1]).activate(logits)
    assert torch.allclose(heatmaps, targets, atol=1e-3)
    assert abs(heatmaps.max() - 1) < 1e-3


@pytest.mark.parametrize("flip_test", [False, True])
def test_an_export_holds_each_convolution_once(flip_test):
    """The mirrored crops go through the network together with the others; any number of them."""
    arguments = {
        "num_modules": (1, 1, 1),
        "num_blocks": 1,
        "layer1_channels": 16,
        "layer1_blocks": 1,
    }
    network = HighResolutionNet(4, 3, **arguments)
    exporting = PoseModel(
        network, HeatmapCodec("udp"), FLIP_ORDER, flip_test=flip_test, tolerance=[0.1, 0.1, 0.1]
    ).eval()
    crops = torch.randint(0, 256, (3, 128, 96, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(exporting, (crops[:2],), dynamic_shapes=({0: batch},))
    found = sum("conv2d" in str(node.target) for node in program.graph.nodes)
    assert found == sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
    assert torch.allclose(program.module()(crops), exporting(crops), atol=1e-3)

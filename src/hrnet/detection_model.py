"""DetectionModel: from whole pictures to boxes of people. The same network as for joints, with
another last layer.

One heatmap says where people's centres are (Zhou, Wang, Krähenbühl: *Objects as Points*,
arXiv:1904.07850). Four more maps say at every place how far the person's edges are from there. In
training these are learnt all around the centres, not at the peaks alone, which takes a fraction of
the time (Liu, Zheng, Xu, Yang, Liu, Cai: *Training-Time-Friendly Network for Real-Time Object
Detection*, AAAI 2020). And so is the heatmap: all about a centre it is to be the overlap that the
box from there has with the person's (Li et al.: *Generalized Focal Loss*, NeurIPS 2020). With one
place a person, somebody large, whose centre is anybody's guess, would have no high peak anywhere.

Boxes are edges in pixels of the input: pixel k reaches from k to k + 1, as in COCO's `bbox`.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrnet.errors import WeightsError
from hrnet.model import Normalise
from hrnet.network import HighResolutionNet, conv3x3_bn_relu
from hrnet.zoo.card import NetworkCard
from hrnet.zoo.checkpoints import read_checkpoint

STRIDE = 4  # pixels of the input a cell of the maps, each way
HEAD_CHANNELS = 64
CONTEXT_CHANNELS = 128
MOST = 100  # people in a picture
# Distances are exp(output) of these pixels, the output bounded: 0.5 to 1,700 pixels.
UNIT, LARGEST_OUTPUT = 32.0, 4.0
# A person's Gaussian: standard deviation of the box's sides / 6 times this, cut at three of them.
SPREAD = 0.54
CENTRAL = 0.5  # of the Gaussian: from there places are the person's centre, for all one can tell
# Where a network has learnt nothing yet: so few places are somebody's centre.
RARE = 0.01


class Targets(NamedTuple):
    """What the maps of N pictures are to be.

    Attributes:
        heatmap: (N, h, w), 1 at people's centres, falling off around them.
        central: (N, h, w) how much each place counts as a person's centre; 0 where it is none. A
            person's add up to 1.
        counted: (N, h, w) whether a place counts as one without a centre: not where people may
            be of whom nothing is known.
        boxes: (N, h, w, 4) edges of the person whom each place is near to.
        weights: (N, h, w) how much each place's distances count; 0 where nobody is near. A
            person's add up to 1 and the logarithm of the box's area in cells.
    """

    heatmap: Tensor
    central: Tensor
    counted: Tensor
    boxes: Tensor
    weights: Tensor


class DetectionNet(HighResolutionNet):
    """`HighResolutionNet` with another head: pictures (N, 3, H, W) -> (N, 5, H/4, W/4), the logit
    of a centre and four distances, see `DetectionModel`.

    Whether something large is a person shows in the branches of low resolution, and the highest
    has few channels to be told in: these are brought together at 1/8, and the result joins the
    highest branch.

    Args:
        arguments: of `HighResolutionNet`, without the number of joints.
    """

    def __init__(self, **arguments: object) -> None:
        super().__init__(num_joints=5, multi_scale_output=True, **arguments)  # type: ignore[arg-type] # checked by the card
        c = self.final_layer.in_channels
        last = nn.Conv2d(HEAD_CHANNELS, 5, kernel_size=1)
        nn.init.normal_(last.weight, std=0.001)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            assert last.bias is not None
            last.bias[0] = torch.logit(torch.tensor(RARE))
        self.head = nn.Sequential(
            nn.Conv2d((2 + 4 + 8) * c, CONTEXT_CHANNELS, kernel_size=1, bias=False),
            nn.BatchNorm2d(CONTEXT_CHANNELS),
            nn.ReLU(inplace=True),
            conv3x3_bn_relu(CONTEXT_CHANNELS, HEAD_CHANNELS, stride=1),
        )
        first = conv3x3_bn_relu(c + HEAD_CHANNELS, HEAD_CHANNELS, stride=1)
        for module in (*self.head.modules(), *first.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.final_layer = nn.Sequential(first, last)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) -> (N, 5, H/4, W/4)."""
        highest, *lower = self.features(x)
        size = lower[0].shape[-2:]
        lower = [lower[0], *(F.interpolate(b, size, mode="nearest") for b in lower[1:])]
        assert self.head is not None
        context = self.head(torch.cat(lower, dim=1))
        context = F.interpolate(context, highest.shape[-2:], mode="nearest")
        return self.final_layer(torch.cat([highest, context], dim=1))


class DetectionModel(nn.Module):
    """Normalise -> network -> peaks and their boxes.

    Args:
        network: normalised pictures (N, 3, H, W) -> (N, 5, H/4, W/4): the logit of a person's
            centre, and logarithms of the distances to the person's left, upper, right and lower
            edge.
    """

    def __init__(self, network: DetectionNet) -> None:
        super().__init__()
        self.network = network
        self.normalise = Normalise()

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (N, H, W, 3) uint8 RGB -> (N, P, 5) float32: x1, y1, x2, y2 in pixels and a
        score from 0 to 1, best first: MOST of them, or as many as there are places, most of which
        are nobody (a score near 0). H and W are multiples of 4, at least 32."""
        return self.people(self.maps(pictures))

    def maps(self, pictures: Tensor) -> Tensor:
        """Pictures -> the network's outputs (N, 5, H/4, W/4), float32."""
        outputs: Tensor = self.network(self.normalise(pictures)).float()
        return outputs

    def people(self, outputs: Tensor) -> Tensor:
        """The network's outputs -> (N, P, 5), see `forward`."""
        score = outputs[:, 0].sigmoid()
        # A place is a peak where none of its neighbours has more.
        peak = score * (F.max_pool2d(score[:, None], 3, stride=1, padding=1)[:, 0] == score)
        best, place = peak.flatten(1).topk(min(MOST, peak.shape[1] * peak.shape[2]))
        boxes = boxes_of(outputs).flatten(1, 2)
        found = boxes.gather(1, place[..., None].expand(-1, -1, 4))
        return torch.cat([found, best[..., None]], dim=2)


def cell_centers(height: int, width: int, device: torch.device) -> Tensor:
    """(h, w, 2) x, y in pixels of the centres of h x w cells."""
    x, y = (
        (torch.arange(n, dtype=torch.float32, device=device) + 0.5) * STRIDE
        for n in (width, height)
    )
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)


def boxes_of(outputs: Tensor) -> Tensor:
    """The network's outputs (N, 5, h, w) -> at each place a box (N, h, w, 4), edges in pixels."""
    distances = UNIT * outputs[:, 1:].clamp(-LARGEST_OUTPUT, LARGEST_OUTPUT).exp()
    left_top, right_bottom = distances.permute(0, 2, 3, 1).tensor_split(2, dim=-1)
    places = cell_centers(outputs.shape[2], outputs.shape[3], outputs.device)
    return torch.cat([places - left_top, places + right_bottom], dim=-1)


def detection_targets(boxes: Tensor, ignored: Tensor, size: tuple[int, int]) -> Targets:
    """What the network's outputs are to be.

    Args:
        boxes: (N, P, 4) people's edges in pixels of the input; NaN for nobody.
        ignored: (N, Q, 4) regions in which people may be of whom nothing is known; NaN for none.
        size: (h, w) of the maps.
    """
    height, width = size
    places = cell_centers(height, width, boxes.device)
    known = ~boxes.isnan().any(dim=2)
    boxes = boxes.nan_to_num(0.0)
    sides = boxes[..., 2:] - boxes[..., :2]
    limit = boxes.new_tensor([width - 1, height - 1])
    cells = torch.minimum(((boxes[..., :2] + boxes[..., 2:]) / 2 / STRIDE).floor(), limit)
    centers = (cells.clamp(min=0) + 0.5) * STRIDE
    sigmas = (sides / 6 * SPREAD).clamp(min=STRIDE / 6)  # a small person has one place
    # (N, P, h, w, 2)
    off = (places - centers[:, :, None, None]) / sigmas[:, :, None, None]
    near = (off.abs() <= 3).all(dim=-1) & known[:, :, None, None]
    heat = torch.exp(-off.square().sum(dim=-1) / 2) * near
    areas = (sides.prod(dim=2) / STRIDE**2).clamp(min=1.0)
    # A place near several people is the smallest one's.
    rank = torch.where(near, areas[:, :, None, None], torch.inf)
    owner = rank.argmin(dim=1)
    own = heat.gather(1, owner[:, None])[:, 0]
    share = torch.where(
        torch.arange(boxes.shape[1], device=boxes.device)[None, :, None, None] == owner[:, None],
        heat,
        0.0,
    ).sum(dim=(2, 3))
    amount = (1 + areas.log()) / share.clamp(min=1e-6)
    batch = torch.arange(len(boxes), device=boxes.device)[:, None, None]
    weights = own * amount[batch, owner]
    is_central = own >= CENTRAL
    number = (F.one_hot(owner, boxes.shape[1]) * is_central[..., None]).sum(dim=(1, 2))
    central = is_central / number.clamp(min=1)[batch, owner]
    edges = ignored.nan_to_num(-1.0)[:, :, None, None]
    inside = (places >= edges[..., :2]) & (places < edges[..., 2:])
    return Targets(
        heatmap=heat.amax(dim=1),
        central=central,
        counted=~inside.all(dim=-1).any(dim=1),
        boxes=boxes[batch, owner],
        weights=weights,
    )


def load_detection_model(card: NetworkCard, file: Path) -> DetectionModel:
    """A detector with the weights of its own file, in evaluation mode.

    Raises:
        WeightsError: they do not fit, or hold NaN or infinity.
    """
    network = DetectionNet(**card.model_dump())
    load_detection_weights(network, file)
    return DetectionModel(network).eval()


def load_detection_weights(network: DetectionNet, file: Path) -> None:
    """Load a detector's weights file, all or nothing; see `load_detection_model`."""
    tensors = read_checkpoint(file).tensors
    expected = network.state_dict()
    wrong = sorted(
        name
        for name in expected.keys() | tensors.keys()
        if name not in expected
        or name not in tensors
        or expected[name].shape != tensors[name].shape
        or not tensors[name].isfinite().all()
    )
    if wrong:
        raise WeightsError(
            f"{file} does not hold the weights that its card describes: {wrong[0]} is missing, has "
            "another shape, or holds NaN; take the file from where it was made"
        )
    network.load_state_dict(tensors)

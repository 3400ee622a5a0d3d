"""Heatmaps <-> points.

A network does not output coordinates but one heatmap a joint, at a quarter of the input's
resolution. `encode` draws what the network should output, `decode` finds the points. Both treat
all people and joints at once. Three published codecs differ in where the target's peak is and in
how a peak is found between cells:

plain   Sun et al., CVPR 2019 (and Xiao et al., ECCV 2018). The target is centred on the nearest
        cell; the decoded peak moves a quarter of a cell towards its larger neighbour.
dark    Zhang et al., *Distribution-Aware Coordinate Representation*, CVPR 2020. The target keeps
        its true centre; the decoder blurs, takes the logarithm (of a Gaussian: a parabola) and
        jumps to the maximum of its Taylor expansion.
udp     Huang et al., *The Devil is in the Details*, CVPR 2020. As dark, in coordinates that
        measure from the first cell's centre to the last one's, without blind borders.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

DARK_FLOOR = 1e-10
UDP_FLOOR, UDP_CEILING = 1e-3, 50.0
DARK_REACH, UDP_REACH = 2, 1  # cells to each side of the peak of whose blur differences are taken


@dataclass(frozen=True)
class HeatmapCodec:
    """How points become heatmaps and heatmaps become points.

    Args:
        kind: "plain", "dark" or "udp".
        sigma: standard deviation of the target's Gaussian, in heatmap cells.
        blur_kernel: width in cells of the decoder's blur (dark and udp), odd; published models
            use 11 for sigma 2 and mostly for sigma 3 too.
    """

    kind: Literal["plain", "dark", "udp"] = "plain"
    sigma: float = 2.0
    blur_kernel: int = 11

    def cell_size(self, input_size: tuple[int, int]) -> tuple[float, float]:
        """Distance of neighbouring cells in crop pixels, for an input of (width, height)."""
        width, height = input_size
        if self.kind == "udp":
            return (width - 1) / (width // 4 - 1), (height - 1) / (height // 4 - 1)
        return width / (width // 4), height / (height // 4)

    def encode(
        self, points: Tensor, visible: Tensor, input_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Target heatmaps of joints.

        Args:
            points: (N, K, 2) x, y in crop pixels.
            visible: (N, K) bool, whether a joint is labelled.
            input_size: (width, height) of the crop.

        Returns:
            Heatmaps (N, K, height / 4, width / 4) float32 with peak 1 (0 where not visible), and
            weights (N, K) float32: 1, or 0 for a joint that is not visible or whose Gaussian lies
            wholly outside the heatmap. Formulas: official `JointsDataset.generate_target`,
            DarkPose's, and mmpose's `generate_udp_gaussian_heatmaps`.
        """
        width, height = input_size[0] // 4, input_size[1] // 4
        cells = points.float() / points.new_tensor(self.cell_size(input_size), dtype=torch.float32)
        nearest = torch.trunc(cells + 0.5)
        radius = 3 * self.sigma

        # The window of +-3 sigma as the official code rounds it: towards zero.
        corner = cells if self.kind == "dark" else nearest
        first, last = torch.trunc(corner - radius), torch.trunc(corner + radius + 1)
        size = cells.new_tensor([width, height])
        weights = (visible & (first < size).all(-1) & (last >= 0).all(-1)).float()

        center = nearest if self.kind == "plain" else cells
        x = torch.arange(width, device=points.device) - center[..., :1]  # (N, K, width)
        y = torch.arange(height, device=points.device) - center[..., 1:]  # (N, K, height)
        gx = torch.exp(-(x**2) / (2 * self.sigma**2))
        gy = torch.exp(-(y**2) / (2 * self.sigma**2))
        if self.kind != "dark":  # cut off outside the window
            x = torch.arange(width, device=points.device)
            y = torch.arange(height, device=points.device)
            gx = gx * ((x >= first[..., :1]) & (x < last[..., :1]))
            gy = gy * ((y >= first[..., 1:]) & (y < last[..., 1:]))
        return (gy * weights[..., None])[..., :, None] * gx[..., None, :], weights

    def decode(self, heatmaps: Tensor) -> Tensor:
        """Points (N, K, 3) of heatmaps (N, K, h, w): x, y in heatmap cells, and the peak's value.

        Everything is computed in float32. Where a heatmap has no positive value, the point is
        (0, 0), as in the official code. Multiply by `cell_size` for crop pixels.

        The steps of dark and udp from the peak are the references' as long as they stay, in x and
        in y, among the cells that their differences look at: to each side two (dark) or one (udp)
        of the blurred heatmap, and as many more as the blur takes in, `blur_kernel // 2`; with the
        usual kernel of 11, 7 or 6 cells. Beyond, where those of the references know no bound (flat
        or noisy heatmaps give thousands of cells), x and y are cut to that.
        """
        heatmaps = heatmaps.float()
        x, y, scores = _peaks(heatmaps)
        refine = {"plain": _quarter_offset, "dark": self._dark, "udp": self._udp}[self.kind]
        offset = refine(heatmaps, x, y)
        points = torch.stack([x, y], dim=-1) + offset
        points = torch.where((scores > 0)[..., None], points, torch.zeros_like(points))
        return torch.cat([points, scores[..., None]], dim=-1)

    def expected_similarity(self, heatmaps: Tensor, points: Tensor, spread: Tensor) -> Tensor:
        """How near to its point each heatmap expects the joint, from 0 to 1.

        The positive part of the map is taken for the distribution of where the joint is; under it,
        the mean of exp(-d^2 / (2 spread^2)), with which OKS measures the distance d.

        Args:
            heatmaps: (N, K, h, w).
            points: (N, K, 2) x, y in cells.
            spread: (K,) in cells: that of OKS, the joint's constant times the person's size.

        Returns:
            (N, K) float32; 0 where a map has no positive value.
        """
        h, w = heatmaps.shape[-2:]
        mass = heatmaps.float().clamp(min=0)

        def near(cells: int, places: Tensor) -> Tensor:  # (N, K, cells)
            distance = torch.arange(cells, device=places.device) - places[..., None]
            return torch.exp(-(distance**2) / (2 * spread[:, None] ** 2))

        in_rows = (mass @ near(w, points[..., 0])[..., None]).squeeze(-1)
        total = (in_rows * near(h, points[..., 1])).sum(dim=-1)
        return total / mass.sum(dim=(2, 3)).clamp(min=1e-12)

    def _dark(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """DarkPose's `taylor` on the logarithm of the blurred heatmap, second differences over
        two cells; none within two cells of the border."""
        h, w = heatmaps.shape[-2:]
        log = self._blurred_patches(heatmaps, x, y).clamp(min=DARK_FLOOR).log()
        at = _Patch(log)
        dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
        dxx = 0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0))
        dyy = 0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2))
        dxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
        inside = (x > 1) & (x < w - 2) & (y > 1) & (y < h - 2)
        reach = DARK_REACH + self.blur_kernel // 2
        return _newton_step(dx, dy, dxx, dyy, dxy, reach) * inside[..., None]

    def _udp(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """mmpose's `refine_keypoints_dark_udp`: differences over one cell, the border repeated."""
        log = self._blurred_patches(heatmaps, x, y).clamp(UDP_FLOOR, UDP_CEILING).log()
        at = _Patch(log)
        dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
        epsilon = torch.finfo(torch.float32).eps
        dxx = at(1, 0) - 2 * at(0, 0) + at(-1, 0) + epsilon
        dyy = at(0, 1) - 2 * at(0, 0) + at(0, -1) + epsilon
        dxy = 0.5 * (
            at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1)
        )
        return _newton_step(dx, dy, dxx, dyy, dxy, UDP_REACH + self.blur_kernel // 2)

    def _blurred_patches(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """(N, K, 5, 5) around each peak of the blurred heatmap, rescaled so that the whole blurred
        map has the original's maximum. Beyond the border the nearest cell is repeated."""
        n, k, h, w = heatmaps.shape
        # Mixed precision would take the products to 16 bits, and the logarithm shows it.
        with torch.autocast(heatmaps.device.type, enabled=False):
            blurred = _blur_matrix(h, self.blur_kernel, heatmaps) @ heatmaps
            blurred = (blurred @ _blur_matrix(w, self.blur_kernel, heatmaps)).flatten(2)
        around = torch.arange(-2, 3, device=x.device)
        rows = (y[..., None] + around).clamp(0, h - 1)
        columns = (x[..., None] + around).clamp(0, w - 1)
        index = rows[..., :, None] * w + columns[..., None, :]
        patches = blurred.gather(2, index.flatten(2)).view(n, k, 5, 5)
        scale = heatmaps.flatten(2).amax(-1) / blurred.amax(-1)
        return patches * scale[..., None, None]


def _peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and value of each heatmap's first maximum, in reading order: (N, K) each.

    The maximum of every few rows, then `argmax` among those and within the best: on a CPU several
    times as fast as `argmax` over all cells, since `amax` is vectorised and `argmax` is not.
    """
    n, k, h, w = heatmaps.shape
    rows = next(r for r in (4, 2, 1) if h % r == 0)
    strips = heatmaps.reshape(n, k, h // rows, rows * w)
    maxima = strips.amax(dim=-1)
    strip = maxima.argmax(dim=-1, keepdim=True)
    best = strips.gather(2, strip[..., None].expand(-1, -1, 1, rows * w)).squeeze(2)
    index = strip.squeeze(-1) * (rows * w) + best.argmax(dim=-1)
    return index % w, index // w, maxima.gather(2, strip).squeeze(2)


class _Patch:
    """A 5x5 neighbourhood (N, K, 5, 5), read by offset from its middle."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __call__(self, dx: int, dy: int) -> Tensor:
        return self.values[..., 2 + dy, 2 + dx]


def _quarter_offset(heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A quarter cell towards the larger neighbour in x and in y; none at the border (official
    `get_final_preds`: column and row 0, 1 and the last count as border)."""
    h, w = heatmaps.shape[-2:]
    flat = heatmaps.flatten(2)
    cx, cy = x.clamp(1, w - 2), y.clamp(1, h - 2)
    index = torch.stack(
        [cy * w + cx + 1, cy * w + cx - 1, cy * w + w + cx, cy * w - w + cx], dim=-1
    )
    right, left, below, above = flat.gather(2, index).unbind(-1)
    inside = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)
    offset = torch.stack([torch.sign(right - left), torch.sign(below - above)], dim=-1)
    return 0.25 * offset * inside[..., None]


def _newton_step(
    dx: Tensor, dy: Tensor, dxx: Tensor, dyy: Tensor, dxy: Tensor, reach: int
) -> Tensor:
    """(N, K, 2) from the peak to the maximum of the Taylor expansion, in x and y at most `reach`;
    none where there is no single one."""
    determinant = dxx * dyy - dxy**2
    single = determinant.abs() > 0  # nor is NaN
    step = -torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1)
    step = step / torch.where(single, determinant, 1.0)[..., None]
    return torch.where(single[..., None], step.clamp(-reach, reach), 0.0)


def _blur_matrix(size: int, kernel: int, like: Tensor) -> Tensor:
    """(size, size) symmetric matrix that blurs along an axis, zero beyond the border, with
    OpenCV's deviation for a kernel's width."""
    radius = kernel // 2
    sigma = 0.3 * (radius - 1) + 0.8
    distance = torch.arange(max(size, kernel), device=like.device)
    taps = torch.where(distance <= radius, torch.exp(-(distance**2) / (2 * sigma**2)), 0.0)
    taps = taps / (2 * taps.sum() - taps[0])
    position = torch.arange(size, device=like.device)
    return taps[(position[:, None] - position).abs()]

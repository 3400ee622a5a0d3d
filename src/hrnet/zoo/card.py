"""Model cards: everything that a weights file alone does not say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from safetensors import SafetensorError, safe_open

from hrnet.calibration import Calibration
from hrnet.errors import WeightsError
from hrnet.skeletons import Skeleton, load_skeleton
from hrnet.tables import merged, validate

# Of a card in a weights file's metadata: a pose model's, and a detector's.
POSE_KEY, DETECTOR_KEY = "hrnet_card", "hrnet_detector"
# Of an exported file: "true" or "false"; and "int8" of a quantised one.
FLIP_TEST_KEY, PRECISION_KEY = "hrnet_flip_test", "hrnet_precision"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# The upper limits are far above any network's: a card comes with files from anywhere, and must
# not make its reader allocate at will. `read_card` bounds their product by the file's size.
_Count = Annotated[int, Field(ge=1, le=16)]


class NetworkCard(_Table):
    """Arguments of `HighResolutionNet`; the number of joints comes from the skeleton.

    Attributes:
        base_channel: channels of the branch of highest resolution: 32 of W32.
        num_modules: of each stage, 2 to 4.
        num_blocks: residual blocks of a branch in a module.
        layer1_channels: that come out of layer1.
        layer1_blocks: bottlenecks in layer1.
        upsampling: of the exchanges between branches.
        head: "v1" from the branch of highest resolution, "v2" from all of them.
    """

    base_channel: int = Field(default=32, ge=1, le=512)
    num_modules: tuple[_Count, _Count, _Count] = (1, 4, 3)
    num_blocks: _Count = 4
    layer1_channels: int = Field(default=256, ge=4, le=4096, multiple_of=4)
    layer1_blocks: _Count = 4
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    head: Literal["v1", "v2"] = "v1"

    @property
    def least_parameters(self) -> int:
        """Parameters of the residual blocks' 3x3 convolutions, which are most of all."""
        per_module = (18 * self.base_channel**2 * sum(4**b for b in range(n)) for n in (2, 3, 4))
        stages = sum(n * size for n, size in zip(self.num_modules, per_module, strict=True))
        return self.num_blocks * stages + self.layer1_blocks * 9 * (self.layer1_channels // 4) ** 2


class CodecCard(_Table):
    """Arguments of `HeatmapCodec`.

    Attributes:
        kind: how points become heatmaps and heatmaps points, see `hrnet.codec.HeatmapCodec`.
        sigma: of the Gaussians in training targets, in cells.
        blur_kernel: width in cells, odd, of the blur before "dark" and "udp" look for a peak.
    """

    kind: Literal["plain", "dark", "udp"] = "plain"
    sigma: float = Field(default=2.0, gt=0, lt=1000)
    blur_kernel: int = Field(default=11, ge=1, lt=1000)

    @model_validator(mode="after")
    def _odd(self) -> "CodecCard":
        if self.blur_kernel % 2 == 0:
            raise ValueError(f"blur_kernel is {self.blur_kernel}; it must be odd")
        return self


class WeightsCard(_Table):
    """Where a model's weights come from: the package, a URL, or a page that only people can use.

    Attributes:
        file: name in the package or in the cache folder; the URL's last part if not given.
        packaged: whether it is in the package.
        url: where it is fetched from.
        page: where a person finds it, if it cannot be fetched.
        sha256: all 64 hexadecimal digits, or as many as were published.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")
    packaged: bool = False
    url: str | None = Field(default=None, pattern="^https://")
    page: str | None = Field(default=None, pattern="^https://")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{8,64}$")

    @model_validator(mode="before")
    @classmethod
    def _named_by_url(cls, table: Any) -> Any:
        if isinstance(table, dict) and "file" not in table and isinstance(table.get("url"), str):
            return {**table, "file": table["url"].rpartition("/")[2]}
        return table

    @model_validator(mode="after")
    def _one_source(self) -> "WeightsCard":
        if [self.packaged, bool(self.url), bool(self.page)].count(True) != 1:
            raise ValueError("give one of packaged, url and page")
        if self.url and not self.sha256:
            raise ValueError("a file that is fetched needs its sha256")
        return self


class BackboneCard(WeightsCard):
    """An ImageNet classification network, to start a pose network of the same width from.

    Attributes:
        description: what it is.
        base_channel: of the networks that can start from it.
    """

    description: str
    base_channel: int


class Figure(_Table):
    """One measured or published figure with all that makes it comparable.

    Attributes:
        data: the data set.
        metric: the measure: "OKS AP", "PCK@0.2", ...
        value: the figure.
        boxes: whose boxes people were cropped by.
        flip_test: whether it was on.
    """

    data: str
    metric: str
    value: float
    boxes: str
    flip_test: bool

    @property
    def protocol(self) -> str:
        """On what it was measured, and how, in words."""
        flip_test = "on" if self.flip_test else "off"
        return f"{self.data}, boxes {self.boxes}, flip test {flip_test}"


def _skeleton(value: Any) -> Any:
    return load_skeleton(value) if isinstance(value, str) else value


class Card(_Table):
    """What there is to know of any model.

    Attributes:
        schema: of this table; 1.
        name: what it is called.
        description: what it is, in a sentence.
        licence: of the weights.
        trained_on: data sets.
        network: the architecture.
        figures: what it reaches.
        weights: where its weights are, or None in a weights file.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    description: str = ""
    licence: str = ""
    trained_on: str = ""
    network: NetworkCard = NetworkCard()
    weights: WeightsCard | None = None
    figures: tuple[Figure, ...] = ()

    def to_json(self) -> str:
        """As kept in a safetensors file's metadata."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class ModelCard(Card):
    """A pose model: architecture, input, codec, flip rule, skeleton, and where it comes from.

    Attributes:
        skeleton: the keypoints: a table, or the name of a skeleton in the package.
        input_size: (width, height) of crops in pixels.
        codec: what heatmaps mean.
        output: "heatmaps" of a network trained by squared error, or "logits" of one trained by
            cross-entropy, whose softmax over locations is the heatmap.
        flip_shift: whether the flip test moves the mirrored heatmap by one cell. Plain heatmaps
            need it, UDP never; for DARK it is the training repository's choice.
        padding: factor on the box for the crop.
        source: page of those who trained it.
        calibration: what makes probabilities of its output, if anybody fitted that.
    """

    source: str = ""
    skeleton: Annotated[Skeleton, BeforeValidator(_skeleton)]
    input_size: tuple[int, int] = (192, 256)
    codec: CodecCard = CodecCard()
    output: Literal["heatmaps", "logits"] = "heatmaps"
    flip_shift: bool = True
    padding: float = Field(default=1.25, gt=0, lt=100)
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ModelCard":
        if any(n % 4 or not 32 <= n <= 4096 for n in self.input_size):
            raise ValueError(
                f"input_size is {list(self.input_size)}; width and height must be multiples of 4 "
                "from 32 to 4096"
            )
        if self.codec.kind == "udp" and self.flip_shift:
            raise ValueError("flip_shift must be false with the udp codec")
        if self.calibration is not None and len(self.calibration.joints) != len(self.skeleton):
            raise ValueError(
                f"calibration has {len(self.calibration.joints)} joints and the skeleton "
                f"{len(self.skeleton)}"
            )
        return self

    @property
    def unbiased(self) -> bool:
        """Whether crops follow UDP's convention, see `hrnet.geometry`."""
        return self.codec.kind == "udp"


def family_cards(family: dict[str, Any]) -> list[dict[str, Any]]:
    """The cards of a family's TOML file, as tables.

    `[[models]]` are cards that lack what they share: the file's other keys. In a model's
    `published` stand figures by metric, under the protocol of the file's `[protocol]`.
    """
    shared = {key: value for key, value in family.items() if key not in ("models", "protocol")}
    cards = []
    for model in family["models"]:
        card = merged(shared, model)
        published = card.pop("published", {})
        card["figures"] = [
            *({**family["protocol"], "metric": m, "value": v} for m, v in published.items()),
            *card.get("figures", ()),
        ]
        cards.append(card)
    return cards


def read_card(file: Path) -> ModelCard | None:
    """The card in a pose model's weights file, see `read_card_of`."""
    return read_card_of(ModelCard, POSE_KEY, file)


def read_metadata(file: Path) -> dict[str, str]:
    """What a weights file says of itself; nothing, if it is not safetensors.

    Raises:
        WeightsError: the file is missing or a broken safetensors file.
    """
    if not file.is_file():
        raise WeightsError(f"there is no weights file {file}")
    try:
        with safe_open(file, framework="numpy") as content:
            return dict(content.metadata() or {})
    except (SafetensorError, OSError) as error:
        if file.suffix != ".safetensors":
            return {}
        raise WeightsError(f"{file} is not a safetensors file: {error}") from None


Kind = TypeVar("Kind", bound=Card)


def read_card_of(kind: type[Kind], key: str, file: Path) -> Kind | None:
    """The card in a weights file; None if it is not safetensors or holds none of that kind.

    Args:
        kind: of card.
        key: under which it is in the file's metadata.

    Raises:
        WeightsError: the file is missing or a broken safetensors file, or is too small for the
            network that its card describes.
        ConfigError: its card is not valid.
    """
    card = card_in(kind, key, read_metadata(file), file)
    # Before anything of that size is built: two bytes a parameter are the least.
    if card is not None and card.network.least_parameters > file.stat().st_size // 2:
        raise WeightsError(
            f"the model card in {file} describes a network of over "
            f"{card.network.least_parameters:,} parameters, which a file of "
            f"{file.stat().st_size:,} bytes cannot hold; take the file from where it was made"
        )
    return card


def card_in(kind: type[Kind], key: str, metadata: Mapping[str, str], file: Path) -> Kind | None:
    """The card in a file's metadata, if there is one of that kind.

    Raises:
        WeightsError, ConfigError: it is not JSON, or not valid.
    """
    if key not in metadata:
        return None
    try:
        table = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the model card in {file} is not JSON: {error}") from None
    return validate(kind, table, f"the model card in {file}")

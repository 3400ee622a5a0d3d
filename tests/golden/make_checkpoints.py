"""Keys and golden outputs of the public HRNet implementations.

    python tests/golden/make_checkpoints.py FOLDER [SCHEME ...]

FOLDER holds checkouts:

    official   github.com/leoxiaobin/deep-high-resolution-net.pytorch
               6f69e4676ad8d43d0d61b64b1b9726f0c369e7b1
    simple     github.com/stefanopini/simple-HRNet  6bfcdaf5bcb006b945af9735883b198a54f62d4c
    mmpose1    github.com/open-mmlab/mmpose  759b39c13fea6ba094afc1fa932f51dc1b11cbf9 (1.3.2)
    mmpose0    github.com/open-mmlab/mmpose  0d9a00c1d64b68999e4b2a4ee5ed0d5ac2c3e296 (0.29.0)
    cls        github.com/HRNet/HRNet-Image-Classification
               f760c988482cdb8a1f69b10b219d669721144582
    timm       github.com/huggingface/pytorch-image-models
               aa4b5850c1543fa488abf260f18390eda46cf85d
    dlc        github.com/DeepLabCut/DeepLabCut  2df0f46c8c8c56c8238b46b3d58384163bafb2f0
    face       github.com/HRNet/HRNet-Facial-Landmark-Detection
               f776dbe8eb6fec831774a47209dae5547ae2cda5
    seg        github.com/HRNet/HRNet-Semantic-Segmentation
               0bbb2880446ddff2d78f8dd7e8c4c610151d5a51
    higher     github.com/HRNet/HigherHRNet-Human-Pose-Estimation
               aa23881492ff511185acf756a2e14725cc4ab4d7

and what mmpose needs, from `pip install --no-deps --target`:

    mmcv2      mmcv-lite==2.2.0 mmengine==0.10.7 addict yapf termcolor six
    mmcv1      mmcv==1.7.2 addict yapf

Writes for each scheme of names checkpoints/SCHEME.txt, see key_lists.py, and into checkpoints.npz,
for weights that rule.py makes from the scheme's own names and for its picture,

    SCHEME_size        height and width of the picture
    SCHEME_features    the branch of highest resolution after stage 4, every eighth row and column
    SCHEME_heatmaps    the same of the heatmaps, where the network ends in one a joint
    SCHEME_..._sums    the sum of each channel over all rows and columns

Nothing of theirs is copied: their classes are called.
"""

import importlib
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from checkouts import bare_packages, stand_in
from key_lists import Shape, write_keys
from make_network import official_network
from rule import fill, picture
from torch import nn

FILE = Path(__file__).with_name("checkpoints.npz")
STEP = 8
BODY, SQUARE = (256, 192), (256, 256)


class Settings(dict):
    """Nested settings read by key or by attribute, as those repositories do."""

    def __getattr__(self, name: str) -> object:
        value = self[name]
        return Settings(value) if isinstance(value, dict) else value


def read_yaml(file: Path) -> Settings:
    import yaml

    return Settings(yaml.safe_load(file.read_text()))


def official_w32(folder: Path) -> nn.Module:
    return official_network(folder / "official" / "lib", 32, 17)


def official_w48_training(folder: Path) -> nn.Module:
    """As its train.py writes it to checkpoint.pth; here for the 16 joints of MPII."""
    return nn.DataParallel(official_network(folder / "official" / "lib", 48, 16))


def simple_hrnet_w32(folder: Path) -> nn.Module:
    sys.path.insert(0, str(folder / "simple"))
    return importlib.import_module("models_.hrnet").HRNet(32, 17)


def mmpose1(folder: Path, config: str) -> nn.Module:
    sys.path[:0] = [str(folder / "mmcv2"), str(folder / "mmpose1")]
    stand_in("xtcocotools", "munkres", "json_tricks", "torchvision")
    bare_packages(
        folder / "mmpose1",
        "mmpose.models",
        "mmpose.models.backbones",
        "mmpose.models.heads",
        "mmpose.models.heads.heatmap_heads",
        "mmpose.models.necks",
        "mmpose.models.pose_estimators",
        "mmpose.evaluation",
        "mmpose.evaluation.functional",
    )
    sys.modules["mmpose.evaluation.functional"].pose_pck_accuracy = None  # for training only
    for module in (
        "backbones.hrnet",
        "data_preprocessors",
        "heads.heatmap_heads.heatmap_head",
        "losses",
        "necks.fmap_proc_neck",
        "pose_estimators.topdown",
    ):
        importlib.import_module(f"mmpose.models.{module}")
    importlib.import_module("mmpose.codecs")
    from mmengine import Config
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    init_default_scope("mmpose")
    return MODELS.build(Config.fromfile(folder / "mmpose1" / "configs" / config).model)


def mmpose1_w32(folder: Path) -> nn.Module:
    return mmpose1(
        folder,
        "body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py",
    )


def mmpose1_w18_wflw(folder: Path) -> nn.Module:
    return mmpose1(
        folder,
        "face_2d_keypoint/topdown_heatmap/wflw/td-hm_hrnetv2-w18_8xb64-60e_wflw-256x256.py",
    )


def mmpose0(folder: Path, config: str) -> nn.Module:
    sys.path[:0] = [str(folder / "mmcv1"), str(folder / "mmpose0")]
    stand_in("xtcocotools", "munkres", "json_tricks", "torchvision")
    mmcv = importlib.import_module("mmcv")
    mmcv.__version__ = "1.7.0"  # mmpose 0.29 refuses 1.7.2
    from mmpose.models import build_posenet

    model = mmcv.Config.fromfile(folder / "mmpose0" / "configs" / config).model
    model.pretrained = None
    return build_posenet(model)


def mmpose0_w32(folder: Path) -> nn.Module:
    return mmpose0(
        folder, "body/2d_kpt_sview_rgb_img/topdown_heatmap/coco/hrnet_w32_coco_256x192.py"
    )


def mmpose0_w18_onehand10k(folder: Path) -> nn.Module:
    return mmpose0(
        folder,
        "hand/2d_kpt_sview_rgb_img/topdown_heatmap/onehand10k/hrnetv2_w18_onehand10k_256x256.py",
    )


def classification(folder: Path, width: int) -> nn.Module:
    sys.path.insert(0, str(folder / "cls" / "lib"))
    config = f"cls_hrnet_w{width}_sgd_lr5e-2_wd1e-4_bs32_x100.yaml"
    settings = read_yaml(folder / "cls" / "experiments" / config)
    return importlib.import_module("models.cls_hrnet").get_cls_net(settings)


def classification_w18(folder: Path) -> nn.Module:
    return classification(folder, 18)


def classification_w32(folder: Path) -> nn.Module:
    return classification(folder, 32)


def timm(folder: Path, name: str, **arguments: object) -> nn.Module:
    sys.path.insert(0, str(folder / "timm"))
    stand_in("torchvision")
    return importlib.import_module("timm").create_model(name, **arguments)


def timm_w18(folder: Path) -> nn.Module:
    return timm(folder, "hrnet_w18")


def timm_w32_features(folder: Path) -> nn.Module:
    return timm(folder, "hrnet_w32", features_only=True, feature_location="")


def deeplabcut_w32(folder: Path) -> nn.Module:
    """SuperAnimal-Quadruped: modelzoo/model_configs/hrnet_w32.yaml with 39 joints."""
    sys.path[:0] = [str(folder / "timm"), str(folder / "dlc")]
    stand_in("torchvision", "huggingface_hub", "ruamel")
    package = "deeplabcut.pose_estimation_pytorch"
    models = f"{package}.models"
    bare_packages(
        folder / "dlc",
        "deeplabcut",
        "deeplabcut.core",
        "deeplabcut.core.config",
        "deeplabcut.utils",
        "deeplabcut.utils.auxiliaryfunctions",
        package,
        models,
        f"{models}.backbones",
        f"{models}.heads",
        f"{models}.criterions",
        f"{models}.predictors",
        f"{models}.target_generators",
    )
    for module, names in {
        "deeplabcut.core.config": ["ensure_plain_config"],
        "deeplabcut.utils.auxiliaryfunctions": ["safe_resolve"],
        f"{models}.criterions": ["BaseCriterion", "BaseLossAggregator"],
        f"{models}.predictors": ["BasePredictor"],
        f"{models}.target_generators": ["BaseGenerator"],
    }.items():
        for name in names:
            setattr(sys.modules[module], name, lambda function=None: function)
    backbone = importlib.import_module(f"{models}.backbones.hrnet").HRNet()
    head = importlib.import_module(f"{models}.heads.simple_head").HeatmapHead(
        predictor=None,
        target_generator=None,
        criterion=None,
        aggregator=None,
        heatmap_config={"channels": [32, 39], "kernel_size": [1], "strides": [1]},
    )
    return DeepLabCutModel(backbone, head)


class DeepLabCutModel(nn.Module):
    """Its PoseModel's names; that class wants a whole project's settings."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict({"bodypart": head})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.heads["bodypart"](self.backbone(x))["heatmap"]


def facial_w18_wflw(folder: Path) -> nn.Module:
    sys.path.insert(0, str(folder / "face" / "lib"))
    bare_packages(folder / "face" / "lib", "models")
    config = "wflw/face_alignment_wflw_hrnet_w18.yaml"
    settings = read_yaml(folder / "face" / "experiments" / config)
    return importlib.import_module("models.hrnet").HighResolutionNet(settings)


def semantic_w48(folder: Path, *, align_corners: bool = False) -> nn.Module:
    bare_packages(folder / "seg" / "lib", "models")
    np.int = int
    config = "cityscapes/seg_hrnet_w48_train_512x1024_sgd_lr1e-2_wd5e-4_bs_12_epoch484.yaml"
    settings = read_yaml(folder / "seg" / "experiments" / config)
    settings["MODEL"]["ALIGN_CORNERS"] = align_corners
    return importlib.import_module("models.seg_hrnet").HighResolutionNet(settings)


def semantic_w48_aligned(folder: Path) -> nn.Module:
    """That repository's default, which `upsampling="bilinear"` is not."""
    return semantic_w48(folder, align_corners=True)


def higher_w32(folder: Path) -> nn.Module:
    bare_packages(folder / "higher" / "lib", "models")
    config = "coco/higher_hrnet/w32_512_adam_lr1e-3.yaml"
    settings = read_yaml(folder / "higher" / "experiments" / config)
    settings["MODEL"].update(NUM_JOINTS=17, TAG_PER_JOINT=True)
    return importlib.import_module("models.pose_higher_hrnet").get_pose_net(
        Settings(settings | {"LOSS": {"WITH_AE_LOSS": [True, False]}}), is_train=False
    )


def heatmaps_of_mmpose1(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network(x, None, mode="tensor")


def heatmaps_of_mmpose0(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network.forward_dummy(x)


def call(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network(x)


Forward = Callable[[nn.Module, torch.Tensor], torch.Tensor]
# builder: picture's size, what gives the output, and whether that output is heatmaps
SCHEMES: dict[Callable[[Path], nn.Module], tuple[tuple[int, int], Forward, bool]] = {
    official_w32: (BODY, call, True),
    official_w48_training: (SQUARE, call, True),
    simple_hrnet_w32: (BODY, call, True),
    mmpose1_w32: (BODY, heatmaps_of_mmpose1, True),
    mmpose1_w18_wflw: (SQUARE, heatmaps_of_mmpose1, True),
    mmpose0_w32: (BODY, heatmaps_of_mmpose0, True),
    mmpose0_w18_onehand10k: (SQUARE, heatmaps_of_mmpose0, True),
    classification_w18: (BODY, call, False),
    classification_w32: (BODY, call, False),
    timm_w18: (BODY, call, False),
    timm_w32_features: (BODY, call, False),
    deeplabcut_w32: (SQUARE, call, True),
    facial_w18_wflw: (SQUARE, call, True),
    semantic_w48: (SQUARE, call, False),
    semantic_w48_aligned: (SQUARE, call, False),
    higher_w32: (SQUARE, call, False),
}


def make(
    folder: Path, builder: Callable[[Path], nn.Module]
) -> tuple[dict[str, Shape], dict[str, np.ndarray]]:
    """Keys with shapes, and golden arrays, of one scheme."""
    size, forward, ends_in_heatmaps = SCHEMES[builder]
    torch.set_num_threads(1)
    network = builder(folder)
    fill(network)
    maps = {}
    (stage4,) = (m for name, m in network.named_modules() if name.split(".")[-1] == "stage4")
    stage4.register_forward_hook(lambda _, __, branches: maps.update(features=branches[0]))
    with torch.inference_mode():
        output = forward(network, picture(*size))
    if ends_in_heatmaps:
        maps["heatmaps"] = output
    golden = {"size": np.array(size)}
    for name, values in maps.items():
        channels = values[0].double().numpy()
        golden[name] = channels[:, ::STEP, ::STEP].astype(np.float32)
        golden[f"{name}_sums"] = channels.sum(axis=(1, 2))
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}, golden


def main(folder: Path, schemes: Sequence[str]) -> None:
    golden = {}
    if schemes:  # only those; the rest stays
        golden = dict(np.load(FILE))
    # A process each: their packages have the same names.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for builder in SCHEMES:
            scheme = builder.__name__
            if schemes and scheme not in schemes:
                continue
            shapes, arrays = pool.apply(make, (folder, builder))
            write_keys(scheme, shapes)
            golden |= {f"{scheme}_{name}": values for name, values in arrays.items()}
            deviation = {n: f"{v.std():.2f}" for n, v in arrays.items() if v.ndim == 3}
            print(f"{scheme:24} {len(shapes)} keys, deviation {deviation}", flush=True)
    np.savez_compressed(FILE, **golden)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""Golden heatmaps of the official network.

    python tests/golden/make_network.py PATH

PATH is a checkout of github.com/leoxiaobin/deep-high-resolution-net.pytorch at commit
6f69e4676ad8d43d0d61b64b1b9726f0c369e7b1 (MIT). Writes network.npz beside this file: every fourth
row and column of the heatmaps for the weights and pictures of rule.py, and each heatmap's sum.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from rule import CASES, case_name, fill, picture


def official_network(
    lib: Path,
    base_channel: int,
    joints: int,
    num_modules: tuple[int, int, int] = (1, 4, 3),
    num_blocks: int = 4,
) -> torch.nn.Module:
    sys.path.insert(0, str(lib))
    from models.pose_hrnet import get_pose_net

    def stage(modules: int, branches: int) -> dict[str, object]:
        return {
            "NUM_MODULES": modules,
            "NUM_BRANCHES": branches,
            "BLOCK": "BASIC",
            "NUM_BLOCKS": [num_blocks] * branches,
            "NUM_CHANNELS": [base_channel * 2**b for b in range(branches)],
            "FUSE_METHOD": "SUM",
        }

    extra = {
        "PRETRAINED_LAYERS": ["*"],
        "FINAL_CONV_KERNEL": 1,
        "STAGE2": stage(num_modules[0], 2),
        "STAGE3": stage(num_modules[1], 3),
        "STAGE4": stage(num_modules[2], 4),
    }
    return get_pose_net(
        {"MODEL": {"EXTRA": extra, "NUM_JOINTS": joints, "INIT_WEIGHTS": False}}, is_train=False
    )


def main(checkout: Path) -> None:
    golden = {}
    for base_channel, joints, size in CASES:
        network = official_network(checkout / "lib", base_channel, joints)
        fill(network)
        with torch.inference_mode():
            heatmaps = network(picture(*size))[0].double().numpy()
        name = case_name(base_channel, joints, size)
        golden[f"{name}_heatmaps"] = heatmaps[:, ::4, ::4].astype(np.float32)
        golden[f"{name}_sums"] = heatmaps.sum(axis=(1, 2))
        print(name, heatmaps.shape, "deviation", heatmaps.std())
        if (base_channel, joints, size) == (32, 17, (256, 192)):
            golden["w32_keys"] = np.array(list(network.state_dict()))
    np.savez_compressed(Path(__file__).with_name("network.npz"), **golden)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

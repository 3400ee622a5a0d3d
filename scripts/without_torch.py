"""What the package needs where exported models run, without PyTorch: lines for pip.

python scripts/without_torch.py serve openvino
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(extras: list[str]) -> list[str]:
    """Of the package and its extras."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return [line for line in wanted if re.match(r"[\w-]+", line)[0] != "torch"]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))

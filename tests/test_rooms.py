"""The house: what import-linter (pyproject.toml) cannot see of it."""

import pkgutil
import subprocess
import sys

import grimp

import hrnet

WITH_TORCH = ("data", "evaluation", "training", "network", "codec", "model", "detection_model")
WITH_TORCH += ("exporting",)
WITH_TORCH += (
    "runtime.torch_session",
    "runtime.onnx_writing",
    "zoo.build",
    "zoo.loading",
    "zoo.checkpoints",
)
MODULES = [module.name for module in pkgutil.walk_packages(hrnet.__path__, "hrnet.")]


def test_what_needs_no_torch_does_not_load_it():
    """The command line too, whose commands import when they run."""
    skipped = tuple(f"hrnet.{name}" for name in WITH_TORCH)
    modules = [m for m in MODULES if not m.startswith(skipped)]
    assert {"hrnet.cli.predict", "hrnet.predicting.folder", "hrnet.runtime.runner"} < set(modules)
    code = f"import sys, {', '.join(modules)}; print(sorted({{'torch'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_imports_the_front_door_of_its_own_room():
    graph = grimp.build_graph("hrnet", exclude_type_checking_imports=True)
    back = [
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if module.startswith(f"{imported}.") and imported != "hrnet"
    ]
    assert back == []

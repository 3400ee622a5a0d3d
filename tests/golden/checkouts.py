"""Importing parts of other repositories for the golden scripts, without what the rest needs."""

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from pathlib import Path


def bare_packages(root: Path, *names: str) -> None:
    """Make packages importable without running their `__init__`, which imports the whole rest."""
    for name in names:
        package = types.ModuleType(name)
        package.__path__ = [str(root / name.replace(".", "/"))]
        sys.modules[name] = package


def stand_in(*packages: str) -> None:
    """Let `import` find packages that are absent, with any name in them; none may be called."""
    sys.meta_path.insert(0, _Finder(packages))


class _AnyAttribute(type):
    def __getattr__(cls, name: str) -> type:
        return _attribute(name)


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> type:
        return _attribute(name)


def _attribute(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _AnyAttribute(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass

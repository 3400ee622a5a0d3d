"""The code blocks of pages, and what their commands are run in."""

import os
import re
import sys
from pathlib import Path

# Of each, the language that it is marked with, and what is in it.
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", flags=re.MULTILINE)


def environment():
    """In which `hrnet` and `python` are those that run the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path}

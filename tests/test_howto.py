"""The how-to pages are so: what they show runs in an empty folder, and prints what stands below it.

A page's shell commands (fences without a language) and Python run in order, as printed, Python in
one session, in a folder that holds the sample photograph as photo.jpg. A `text` fence right below
such a block is what comes out of it, but that

- `...` stands for anything within a line, as times, versions, sizes of files and folders of this
  machine do, and a line `...` for any lines;
- spaces at the ends of lines do not count.

A command fails where the output shown has a line that begins with "error:", and nowhere else.
"""

import contextlib
import importlib.resources
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from fences import FENCE, environment

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (
    *("predict", "checkpoints", "evaluate", "export", "backbone", "convert", "serve", "ray"),
    "migrate",
)


class Block(NamedTuple):
    """A fence of a page, and the output that is shown right below it, or None."""

    language: str
    code: str
    output: str | None


def read_blocks(language, page):
    text = (DOCS / language / "howto" / f"{page}.md").read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    blocks = []
    for fence, after in zip(fences, [*fences[1:], None], strict=True):
        adjoins = after is not None and not text[fence.end() : after.start()].strip()
        shown = after[2] if adjoins and after[1] == "text" else None
        blocks.append(Block(fence[1], fence[2], shown))
    return blocks


def run_shell(code):
    """What commands print, and whether one failed, which ends them."""
    result = subprocess.run(
        ["bash", "-ec", code],
        env=environment() | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return result.stdout, result.returncode != 0


def run_python(code, session):
    """What Python prints in a session."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "page", "exec"), session)
    return printed.getvalue()


def is_shown(printed, shown):
    """Whether it is what the page shows."""
    lines = [line.rstrip() for line in shown.strip().splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + "\n"
        for line in lines
    )
    printed = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, printed + "\n") is not None


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_s_commands_and_python_print_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample = importlib.resources.files("hrnet") / "samples" / "group.jpg"
    shutil.copyfile(str(sample), "photo.jpg")
    session = {"__name__": "page"}
    ran = 0
    for block in read_blocks("en", page):
        if block.language == "":
            printed, failed = run_shell(block.code)
            fails = re.search(r"^error:", block.output or "", flags=re.MULTILINE) is not None
            assert failed == fails, f"{block.code}\n{printed}"
        elif block.language == "python":
            printed = run_python(block.code, session)
        else:
            continue
        ran += 1
        if block.output is not None:
            assert is_shown(printed, block.output), f"{block.code}\n{printed}"
    assert ran


@pytest.mark.parametrize("page", PAGES)
def test_the_chinese_page_shows_the_same(page):
    assert read_blocks("zh", page) == read_blocks("en", page)


def test_an_output_is_shown_or_not():
    assert is_shown("a 1.3 s \nb\n", "a ... s\nb\n")
    assert is_shown("a\nb\nc\nd\n", "a\n...\nd\n")
    assert not is_shown("a\nb\n", "a\n")
    assert not is_shown("a\n", "b\n")

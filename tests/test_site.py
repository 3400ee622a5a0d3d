"""The site: it builds without a warning, its links lead somewhere, its languages are in step."""

import json
import re
import subprocess
import sys
from pathlib import Path

import build_site
import make_reference
import pytest
from sphinx.util.inventory import InventoryFile

import hrnet
from fences import FENCE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    file.relative_to(DOCS / "en")
    for end in ("md", "ipynb")
    for file in (DOCS / "en").rglob(f"*.{end}")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built by the command, which fails at a warning or a broken link."""
    out = tmp_path_factory.mktemp("site") / "out"
    command = [sys.executable, str(ROOT / "scripts" / "build_site.py"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_every_page_is_there_in_both_languages(site):
    for language in build_site.LANGUAGES:
        for page in PAGES:
            assert (site / language / page.with_suffix(".html")).is_file()
    english = {file.relative_to(DOCS / "en") for file in (DOCS / "en").rglob("*.*")}
    assert english == {file.relative_to(DOCS / "zh") for file in (DOCS / "zh").rglob("*.*")}


@pytest.mark.slow
def test_the_other_language_s_page_is_one_link_away(site):
    for page in PAGES:
        html = (site / "en" / page.with_suffix(".html")).read_text(encoding="utf-8")
        target = f"{'../' * len(page.parts)}zh/{page.with_suffix('.html').as_posix()}"
        assert f'href="{target}"' in html


@pytest.mark.slow
def test_every_public_name_has_a_reference_entry(site):
    with (site / "en" / "objects.inv").open("rb") as stream:
        inventory = InventoryFile.load(stream, "", lambda base, path: path)
    described = {name for kind, names in inventory.items() if kind[:3] == "py:" for name in names}
    lacking = {f"hrnet.{name}" for name in hrnet.__all__} - described
    for module in make_reference.MODULES:
        lacking |= public_names(f"hrnet.{module}") - described
    assert not lacking


def public_names(module):
    """The classes and functions that a module itself makes."""
    thing = __import__(module, fromlist=["_"])
    return {
        f"{module}.{name}"
        for name, value in vars(thing).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module
        and callable(value)
    }


@pytest.mark.slow
def test_words_can_be_searched_for_in_both_languages(site):
    for language, word in (("en", "heatmap"), ("zh", "翻转测试")):
        data = (site / language / "_static" / "language_data.js").read_text(encoding="utf-8")
        (stemmer,) = re.findall(r"window\.Stemmer = (\w+);", data)
        assert re.search(rf"\b{stemmer} ?= ?", data)
        assert json.dumps(word) in (site / language / "searchindex.js").read_text(encoding="utf-8")


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#here">b</a><img src="c">')
    (tmp_path / "b.html").write_text('<a href="a.html#top">a</a><a href="https://else.where">e</a>')
    assert build_site.broken_links(tmp_path) == ["a.html: b.html#here", "a.html: c"]


@pytest.mark.parametrize("page", [p for p in PAGES if p.suffix == ".md"], ids=str)
def test_languages_have_the_same_code_and_links(page):
    english, chinese = (
        (DOCS / language / page).read_text(encoding="utf-8") for language in ("en", "zh")
    )
    assert in_step(english) == in_step(chinese)


def test_the_readmes_are_in_step():
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    chinese = chinese.replace("docs/zh/", "docs/en/").replace("](README.md", "](README.zh-CN.md")
    assert in_step(english) == in_step(chinese)
    assert len(english.splitlines()) < 100  # a newcomer's first screens


def in_step(text):
    """What two languages of a page share: code, links, headings' levels, and tables' sizes."""
    code = [(kind, body) for kind, body in FENCE.findall(text) if "toctree" not in kind]
    # Each shows the service's page in its own language.
    prose = FENCE.sub("", text).replace("serve/chinese.jpg", "serve/light.jpg")
    levels = re.findall(r"^(#+) ", prose, flags=re.MULTILINE)
    return {
        "code": code,
        "links": sorted(LINK.findall(prose)),
        "headings": [len(level) for level in levels],
        "rows": len(re.findall(r"^\|", prose, flags=re.MULTILINE)),
    }

"""The site's settings, for both languages: `scripts/build_site.py` says which one is built."""

import os
import re
from pathlib import Path
from typing import Any

from sphinx.search.zh import SearchChinese

import hrnet

language = os.environ["HRNET_SITE_LANGUAGE"]
LANGUAGES = {"en": "English", "zh": "简体中文"}

project = "hrnet"
author = copyright = "the hrnet authors"
version = release = hrnet.__version__
html_title = f"hrnet {release}"
html_theme = "furo"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
templates_path = [str(Path(__file__).parent / "templates")]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6bcb", "color-brand-content": "#0b6bcb"},
    "dark_css_variables": {"color-brand-primary": "#6cb6ff", "color-brand-content": "#6cb6ff"},
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "languages.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_context = {"languages": LANGUAGES, "language_here": language}

# Terms of the field, which a Chinese reader looks for as one word.
html_search_options = {"dict": str(Path(__file__).parent / "zh_terms.txt")}

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["README.md"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "off"  # notebooks are committed as they ran; a test runs them again
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
pygments_style, pygments_dark_style = "friendly", "github-dark"


def as_markdown(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings mark code as Markdown does. Of a module's the first paragraph will do."""
    if what == "module" and "" in lines:
        del lines[lines.index("") :]
    code = re.compile(r"(?<!`)`([^`]+)`(?!`)(?=(\w)?)")
    text = code.sub(lambda m: f"``{m[1]}``" + ("\\ " if m[2] else ""), "\n".join(lines))
    lines[:] = text.split("\n")


class ChineseSearch(SearchChinese):
    """Sphinx 9.0 looks for the stemmer by this name, and Chinese has English's for Latin words:
    without it, no search ends."""

    language_name = "English"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_search_language(ChineseSearch)
    app.connect("autodoc-process-docstring", as_markdown)

"""Build the site, both languages, and check its links.

    python scripts/build_site.py [OUT]

Needs no network (`pip install -e '.[docs]'`). OUT, `site` unless another is named, gets `en/`,
`zh/` and an `index.html` that leads to the reader's language. A warning of Sphinx's, or a link or
an anchor that leads nowhere, ends it with status 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

ROOT = Path(__file__).parents[1]
LANGUAGES = ("en", "zh")
FIRST_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>hrnet</title>
<script>
location.replace((navigator.language.startsWith("zh") ? "zh" : "en") + "/index.html")
</script>
<p><a href="en/index.html" lang="en">English</a> <a href="zh/index.html" lang="zh">简体中文</a></p>
"""


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Those within the site that lead nowhere, each with the page that it is on."""
    pages = {file.resolve(): Page(file) for file in sorted(site.rglob("*.html"))}
    broken = []
    for file, page in pages.items():
        for link in page.links:
            path, anchor = urldefrag(link)
            parts = urlparse(path)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            lacks_anchor = (
                bool(anchor) and target in pages and unquote(anchor) not in pages[target].anchors
            )
            if not target.is_file() or lacks_anchor:
                broken.append(f"{file.relative_to(site.resolve())}: {link}")
    return broken


def build(out: Path) -> None:
    """Write the site; of one that is there nothing stays."""
    shutil.rmtree(out, ignore_errors=True)
    for language in LANGUAGES:
        source = ROOT / "docs" / language
        command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
        command += [
            "--conf-dir",
            str(ROOT / "docs"),
            "--doctree-dir",
            str(out / ".trees" / language),
        ]
        subprocess.run(
            [*command, str(source), str(out / language)],
            check=True,
            env=os.environ | {"HRNET_SITE_LANGUAGE": language},
        )
    shutil.rmtree(out / ".trees")
    (out / "index.html").write_text(FIRST_PAGE, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "site")
    out = parser.parse_args().out
    try:
        build(out)
    except subprocess.CalledProcessError:
        sys.exit(1)
    broken = broken_links(out)
    if broken:
        sys.exit("links that lead nowhere:\n" + "\n".join(broken))
    print(f"the site is in {out}")


if __name__ == "__main__":
    main()

"""What the scripts that write parts of the documentation have in common."""

from collections.abc import Mapping
from pathlib import Path

from hrnet.files import atomic_write


def split_at_marks(page: str, what: str) -> tuple[str, str, str]:
    """A page up to its first mark for something, what is between both, and the rest."""
    begin, end = f"<!-- {what}: begin -->\n", f"<!-- {what}: end -->"
    before, _, rest = page.partition(begin)
    content, second, after = rest.partition(end)
    assert second, f"the page has no marks for {what}"
    return before + begin, content, end + after


def between_marks(page: str, what: str, content: str) -> str:
    """A page with content between its marks for it."""
    before, _, after = split_at_marks(page, what)
    return f"{before}{content}\n{after}"


def write_pages(pages: Mapping[Path, str]) -> None:
    """Write each file, whole or not at all."""
    for file, text in pages.items():
        with atomic_write(file) as temporary:
            temporary.write_text(text, encoding="utf-8")

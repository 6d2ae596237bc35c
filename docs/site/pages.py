"""Pages written from the code itself, and links out of the site; a hook of mkdocs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.site.commands import write_commands
from docs.site.files import write_files
from docs.site.python import write_python
from docs.site.settings import write_settings

if TYPE_CHECKING:
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Page of the site -> function that writes it in Markdown.
GENERATED = {
    "reference/commands.md": write_commands,
    "reference/files.md": write_files,
    "reference/python.md": write_python,
    "reference/settings.md": write_settings,
}
# Page of the site -> file of the repository that it shows.
SHOWN = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "iframe-worker.js": "docs/site/iframe-worker.js",
}
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of ``GENERATED`` and ``SHOWN``."""
    from mkdocs.structure.files import File  # the names of pages are known without mkdocs

    for page, write in GENERATED.items():
        files.append(File.generated(config, page, content=write()))
    for page, name in SHOWN.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links into the site where the site has the file; leave the text of others."""
    name = page.file.src_uri
    source = ROOT / SHOWN[name] if name in SHOWN else DOCS / name
    here = (DOCS / name).parent

    def turn(match: re.Match[str]) -> str:
        text, path, anchor = match[1], match[2], match[3] or ""
        target = (source.parent / path).resolve()
        for shown, original in SHOWN.items():
            if target == ROOT / original:
                target = DOCS / shown
        if not target.is_relative_to(DOCS):
            return text
        return f"[{text}]({os.path.relpath(target, here)}{anchor})"

    return LINK.sub(turn, markdown)

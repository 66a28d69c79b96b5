"""MkDocs hooks: files of the repository that stand outside docs/ become pages of the site, and links to them lead there.

So one Markdown link works on the site and in the repository alike.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {  # path in the repository → path on the site
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "config/sources.example.toml": "config/sources.example.toml",
    "config/redis.conf": "config/redis.conf",
    "docker-compose.yml": "config/docker-compose.yml",
}
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: Any, **_: object) -> Files:
    """Adds the files of OUTSIDE to the site."""
    for source, target in OUTSIDE.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Turns links between docs/ and the files of OUTSIDE into links within the site."""
    path = page.file.src_uri
    source = next((name for name, target in OUTSIDE.items() if target == path), f"docs/{path}")

    def moved(match: re.Match[str]) -> str:
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        target = OUTSIDE.get(named) or (named.removeprefix("docs/") if named.startswith("docs/") else None)
        if target is None:
            return match[0]
        return f"{match[1]}{posixpath.relpath(target, posixpath.dirname(path) or '.')}{match[3]}"

    return LINK.sub(moved, markdown)

"""The Python examples of the documentation do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_open import DOCUMENTS, fill

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "docs" / "reference" / "python-api.md",)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "newsmill-data").mkdir()
    fill(f"sqlite:///{tmp_path / 'newsmill-data' / 'newsmill.sqlite'}", *DOCUMENTS)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert len(blocks) >= 2
    for block in blocks:
        exec(block, names)
        assert capsys.readouterr().out.strip(), f"this example prints nothing:\n{block}"

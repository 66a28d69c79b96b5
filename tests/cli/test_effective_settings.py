"""`newsmill settings` shows effective values and their origin, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_result import Newsmill

SECRETS = {
    "DATABASE_URL": "postgresql://me:hush@127.0.0.1:1/news",
    "NEWSMILL_WEB_TOKEN": "hush" * 8,
    "NEWSMILL_HEALTH_ALERTS": "https://hooks.example/hush",
    "NEWSMILL_HEALTH_PING": "https://ping.example/hush",
}


def test_values_origins_and_unknown_names(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/sources.toml").write_text('[scrapy]\nCOOKIES_ENABLED = true\nMY_API_KEY = "hush"\n')
    others = {"NEWSMILL_PROCESSES": "3", "NEWSMILL_COLOUR": "red", "NEWSMILL_TOKEN": "hush", "NEWSMILL_URL": "https://news.example"}
    for name, value in (SECRETS | others).items():
        monkeypatch.setenv(name, value)
    shown, report = newsmill("settings"), newsmill("settings", "--json").json
    assert (shown.code, "hush" in shown.out + shown.err) == (0, False)
    assert shown.err == "NEWSMILL_COLOUR is not a setting of Newsmill and has no effect\n"
    found = {row["name"]: (row["value"], row["from"]) for rows in report["settings"].values() for row in rows}
    assert found["DATABASE_URL"] == ("postgresql://***@127.0.0.1:1/news", "environment")
    assert found["NEWSMILL_PROCESSES"] == ("3", "environment")
    assert found["NEWSMILL_HEALTH_PING"] == ("***", "environment")
    assert found["ARCHIVE_URL"] == (f"{tmp_path}/newsmill-data/archive", "default")
    assert found["COOKIES_ENABLED"] == ("True", "file config/sources.toml") and found["MY_API_KEY"][0] == "***"
    assert report["unknown"] == ["NEWSMILL_COLOUR"]
    monkeypatch.delenv("DATABASE_URL")
    assert "holds no documents yet" in newsmill("status").err, "variables for the API and for Scrapy projects stop no command"

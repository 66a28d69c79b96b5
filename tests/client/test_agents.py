"""`newsmill mcp` as an agent's program speaks to it: over standard input and output, with the protocol's own client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from rows import HOST, document_of
from test_open import DOCUMENTS, fill

import newsmill
from newsmill import mcp_server

Work = Callable[[Client], Coroutine[Any, Any, None]]


def speak(folder: Path, work: Work) -> None:
    """Start the command, and do some work with it."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "newsmill.cli.main", "mcp", str(folder)])

    async def run() -> None:
        async with Client(server, read_timeout_seconds=60) as client:
            await work(client)

    asyncio.run(run())


async def ask(client: Client, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return str(answer.content[0].text)  # type: ignore[union-attr]


def test_an_agent_reads(tmp_path: Path) -> None:
    long = replace(document_of(f"https://{HOST}/long", title="Long"), text="x" * 45_000)
    fill(f"sqlite:///{tmp_path / 'newsmill.sqlite'}", *DOCUMENTS, long)

    async def work(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {"search", "read", "what_is_new", "stories", "story", "sources"}
        assert all(tool.annotations and tool.annotations.read_only_hint and tool.description for tool in tools)
        assert "never instructions" in (client.instructions or "")
        found = await ask(client, "search", query="harbour -shuts")
        (hit,) = found["documents"]
        assert hit["title"] == "The harbour opens"
        authors = [{"name": "Ann", "type": "person"}, {"name": "Agency", "type": "organisation"}]  # as in the API
        document = await ask(client, "read", document=hit["id"])
        assert (document["text"], document["next_start"], document["url"]) == (DOCUMENTS[0].text, None, f"https://{HOST}/a")
        assert hit["authors"] == document["authors"] == authors
        document = await ask(client, "read", document=long.url, start=40_000)
        assert (len(document["text"]), document["next_start"]) == (5000, None)
        assert (await ask(client, "read", document=long.url))["next_start"] == 20_000
        new = await ask(client, "what_is_new", since="2026-01-01", limit=3)
        assert len(new["documents"]) == 3 and new["documents"][0]["authors"] == authors
        rest = await ask(client, "what_is_new", since=new["cursor"])
        assert len(rest["documents"]) == 1
        assert (await ask(client, "what_is_new", since=rest["cursor"])) == {"documents": [], "cursor": rest["cursor"]}
        later = await ask(client, "what_is_new", since="2099-01-01")
        assert later == {"documents": [], "cursor": "2099-01-01T00:00:00+00:00"}
        assert (await ask(client, "what_is_new", since=later["cursor"])) == later
        assert (await ask(client, "sources"))["sources"][0]["name"] == "paper"
        assert "no document has the URL or id nothing" in await refusal(client, "read", document="nothing")
        assert "is not a cursor of this list" in await refusal(client, "what_is_new", since="nonsense")
        assert "limit" in await refusal(client, "search", query="x", limit=1000)

    speak(tmp_path, work)


def test_without_the_package_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(f"sqlite:///{tmp_path / 'newsmill.sqlite'}", *DOCUMENTS)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with newsmill.open(tmp_path) as corpus, pytest.raises(Exception, match=r"pip install .*\[mcp\]'"):
        mcp_server.build_server(corpus)

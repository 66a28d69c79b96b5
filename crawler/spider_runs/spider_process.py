"""The process of a run, as its parent sees it: started, read, ended."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import suppress

from pydantic import ValidationError

from crawler.spider_runs.run_report import REPORT_JSON, REPORT_PREFIX, REQUEST_JSON, RunReport, RunRequest
from newsmill.text.sentences import Sentence, keyed

KILL_AFTER_SECONDS = 60.0  # over the spider's own limit: it has this time to start and to store its last pages
MAX_LINE_BYTES = 1 << 20
MAX_STDERR_BYTES = 4096  # kept, of its end


class SpiderProcess:
    """The process of one run."""

    def __init__(self, process: Process, seconds: float, *, prints_log: bool) -> None:
        self._process = process
        self._seconds = seconds
        self._prints_log = prints_log
        self._stderr = b""
        self._reader = asyncio.ensure_future(self._read_stderr())

    @classmethod
    async def start(cls, request: RunRequest) -> SpiderProcess:
        """Start a run. It has this process's environment: the user's spider is trusted like the configuration.

        `-P` keeps a folder named "crawler" in the working directory out of the import path; in its own session, Ctrl-C spares it.
        """
        command = (sys.executable, "-P", "-m", "crawler.spider_runs.run_process")
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True, env=os.environ, limit=MAX_LINE_BYTES
        )
        assert process.stdin is not None
        process.stdin.write(REQUEST_JSON.dump_json(request) + b"\n")
        with suppress(ConnectionError):  # it has crashed; `wait` reports it
            await process.stdin.drain()
        return cls(process, request.source.spider_limits.seconds, prints_log=request.log_file is None)

    async def lines(self) -> AsyncGenerator[bytes | RunReport, None]:
        """The results of a test run, then the report; the last item is always a report."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(self._seconds + KILL_AFTER_SECONDS):
                while line := await self._process.stdout.readline():
                    if line.startswith(REPORT_PREFIX):
                        await self._process.wait()
                        yield REPORT_JSON.validate_json(line.removeprefix(REPORT_PREFIX))
                        return
                    yield line
                await self._process.wait()
        except TimeoutError:
            yield RunReport(
                "time",
                error=Sentence(
                    "the run did not end {n:g} s after its limit of {limit:g} s and was killed", n=KILL_AFTER_SECONDS, limit=self._seconds
                ),
            )
        except (ValidationError, ValueError) as error:
            yield RunReport("failed", error=Sentence("the run's report cannot be read: {error}", error=str(error)[:300]))
        else:
            yield RunReport("crashed", error=await self._describe_crash())
        finally:
            await self.kill()

    async def wait(self) -> RunReport:
        """The report of the run; for a run without one, a report that says how its process ended."""
        report = RunReport("crashed")
        async for line in self.lines():
            if isinstance(line, RunReport):
                report = line
        return report

    def stop(self) -> None:
        """Ask the run to end: it stores its last pages and releases its hosts."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def kill(self) -> None:
        """Kill the run and what it has started, if it has not ended."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        with suppress(TimeoutError):  # a process that the run has left behind may hold the pipe open
            await asyncio.wait_for(asyncio.shield(self._reader), 1.0)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := await self._process.stderr.read(65536):
            self._stderr = (self._stderr + chunk)[-MAX_STDERR_BYTES:]
            if self._prints_log:
                print(decoder.decode(chunk), end="", file=sys.stderr, flush=True)

    async def _describe_crash(self) -> str:
        code = self._process.returncode or 0
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reader), 1.0)
        lines = self._stderr.decode("utf-8", "replace").strip().splitlines()
        end = Sentence("the run crashed ({code})", code=f"signal {-code}" if code < 0 else f"exit code {code}")
        if code == -signal.SIGKILL:
            end = Sentence("the run was killed; the machine may be out of memory")
        return keyed(end, lines[-1][:300]) if lines else end

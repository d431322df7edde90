"""One engine a database, an owner-only socket, and words for what is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.control import ControlServer, send, socket_path
from quantlab.fleet.process import EngineLock, running
from quantlab.model import NotFound, QuantlabError, Refused


def test_a_second_engine_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    with EngineLock(tmp_path, "first", "s"):
        engine = running(tmp_path)
        assert engine is not None and engine.run_id == "first" and engine.pid == os.getpid()
        with pytest.raises(Refused, match='run "first"'), EngineLock(tmp_path, "second", "s"):
            pass
    assert running(tmp_path) is None
    with EngineLock(tmp_path, "second", "s"):  # the control: once the first is gone, it may
        assert running(tmp_path) is not None


def test_a_killed_engine_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys,time,pathlib\n"
        "from quantlab.fleet.process import EngineLock\n"
        "with EngineLock(pathlib.Path(sys.argv[1]), 'dies', 's'):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    engine = running(tmp_path)
    assert engine is not None and engine.run_id == "dies"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert running(tmp_path) is None


def test_nothing_runs_here(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no engine runs here"):
        send(tmp_path, "status")


async def test_commands_reach_the_engine_and_errors_come_back(tmp_path: Path) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    def handle(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        heard.append((name, arguments))
        if arguments.get("bot") == "nobody":
            raise QuantlabError('no bot is called "nobody"')
        return {"state": "running"}

    with EngineLock(tmp_path, "r", str(socket_path(tmp_path))):
        with pytest.raises(NotFound, match="just now"):
            send(tmp_path, "status")
        async with ControlServer(tmp_path, handle):
            await _commands(tmp_path)
    assert heard == [("status", {}), ("kill", {"bot": "nobody"})]
    assert not socket_path(tmp_path).exists()


async def _commands(tmp_path: Path) -> None:
    assert socket_path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert socket_path(tmp_path).parent.stat().st_mode & 0o077 == 0
    assert (await asyncio.to_thread(send, tmp_path, "status"))["state"] == "running"
    with pytest.raises(QuantlabError, match="nobody"):
        await asyncio.to_thread(lambda: send(tmp_path, "kill", bot="nobody"))
    with pytest.raises(QuantlabError, match="unknown command"):
        await asyncio.to_thread(send, tmp_path, "buy")


async def test_garbage_on_the_socket_is_answered_not_fatal(tmp_path: Path) -> None:
    with EngineLock(tmp_path, "r", str(socket_path(tmp_path))):
        await _garbage(tmp_path)


async def _garbage(tmp_path: Path) -> None:
    async with ControlServer(tmp_path, lambda name, arguments: {}):
        reader, writer = await asyncio.open_unix_connection(str(socket_path(tmp_path)))
        for line in (b"not json\n", b"[]\n", b'{"x": 1}\n', b"\xff\n"):
            writer.write(line)
            assert b'"ok":false' in await reader.readline()
        writer.write(b"x" * 200_000 + b"\n")
        await reader.read()
        writer.close()
        assert (await asyncio.to_thread(send, tmp_path, "status"))["ok"]

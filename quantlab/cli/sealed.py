"""`quantlab run --sealed`: who starts whom, and which of them is behind the seal.

The process that was asked to run goes through the security checklist, starts what needs the network or the outside, and
waits: a replay's venue, the gate to the exchange, at the end the report. It loads no strategy. The engine is its child,
sealed before it reads the fleet's file, with everything that the engine starts. No client with a key runs in it, so
keys are not watched meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import msgspec
from yarl import URL

from quantlab.cli.runs import RunOptions, preflight_of, run_engine, say, venue_for
from quantlab.environment import scrubbed
from quantlab.exchange import DoorConfig
from quantlab.exchange.walls.gate import Gate
from quantlab.exchange.walls.seal import machine_has_it, seal
from quantlab.model import QuantlabError, Refused
from quantlab.settings import Settings

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def check_sealable(chosen: Settings) -> None:
    """Raises Refused where there is no seal (exit code 3); says what a sealed run goes without."""
    machine_has_it()
    if chosen.execution != "paper":
        raise Refused("--sealed is for paper: orders of a live run need a client with a key, which no seal lets in")


def run_sealed(options: RunOptions, chosen: Settings) -> dict[str, Any]:
    """Run the engine of `options` (`run_id` and `reports` given) behind a seal; returns its summary. When it fails,
    this process ends with its exit code: its own words stand above."""
    from quantlab.ledger.keys import holds_keys

    check_sealable(chosen)
    if holds_keys(chosen.home, chosen.market):
        say("sealed: no client with a key runs in this process, so the keys of this market are not watched meanwhile")
    assert options.run_id is not None and options.reports is not None
    preflight = preflight_of(chosen, None, None)
    with ExitStack() as stack:
        replay = stack.enter_context(venue_for(chosen, options))
        config = DoorConfig.for_settings(replay)
        gate = stack.enter_context(Gate((URL(config.rest_url), URL(config.stream_url))))
        code = _wait_for(_command(options, gate.descriptor), _environment(replay), gate.descriptor, preflight)
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code != 0:
        sys.exit(code if code > 0 else 1)
    summary: dict[str, Any] = msgspec.json.decode((options.reports / options.run_id / "summary.json").read_bytes())
    return summary


def run_behind_seal(options: RunOptions, descriptor: int) -> None:
    """The child's side: seal, then run. What the checklist said comes by standard input; the summary is the file."""
    preflight = msgspec.json.decode(sys.stdin.buffer.read())
    seal(descriptor)
    run_engine(options, preflight)


def _command(options: RunOptions, descriptor: int) -> list[str]:
    command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--sealed", "--gate", str(descriptor)]
    command += ["--fleet", str(options.fleet), "--run-id", str(options.run_id), "--seed", str(options.seed)]
    command += ["--reports", str(options.reports), "--record" if options.record else "--no-record"]
    command += ["--checkpoint-every", repr(options.checkpoint_s)]
    if options.length_ms is not None:
        command += ["--minutes", repr(options.length_ms / 60_000)]
    return [*command, "--json"] if options.quiet else command


def _environment(chosen: Settings) -> dict[str, str]:
    """No secret; and the market that was chosen here, whatever said so."""
    environment = scrubbed(os.environ, public=True) | {"QUANTLAB_MARKET": chosen.market}
    return environment | ({"QUANTLAB_VENUE_URL": chosen.venue_url} if chosen.venue_url else {})


def _wait_for(command: list[str], environment: dict[str, str], descriptor: int, preflight: Any) -> int:
    """Run the child to its end; what asks this process to stop asks the child instead, once."""
    try:
        process = subprocess.Popen(
            command, env=environment, pass_fds=(descriptor,), stdin=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise QuantlabError(f"the sealed process did not start: {error.strerror}") from error
    with process, _forwarding(process):
        with suppress(BrokenPipeError):  # it ended already, and said why
            process.communicate(msgspec.json.encode(preflight))
        return process.wait()


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda got, frame: process.send_signal(got)) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

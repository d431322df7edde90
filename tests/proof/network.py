"""A network of its own for processes under test: default-drop rules with counters, and one wire to a recorder.

What runs inside sees one resolver and some addresses, each of which is the recorder on this side. There is no other
way out of the namespace, for a process or for any of its children.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TOOLS = ("ip", "nft")


def why_not() -> str:
    """Why no namespace can be made here, or nothing."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a network namespace needs root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"a network namespace with counters needs {' and '.join(missing)} (Debian: iproute2, nftables)"
    probe = subprocess.run(["unshare", "-n", "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    return f"no namespace with nftables here: {probe.stderr.strip()}" if probe.returncode else ""


class Network:
    """`addresses` are those of the other side, by the name of their counter; the first is also the resolver's."""

    def __init__(self, number: int, counters: tuple[str, ...]) -> None:
        self.name = f"qlproof{number}"
        subnet = f"10.213.{number % 250 + 1}"
        self.inside = f"{subnet}.2"
        self.resolver = f"{subnet}.1"
        self.addresses = {name: f"{subnet}.{10 + index}" for index, name in enumerate(counters)}
        self._outer, self._inner = f"qlo{number}", f"qli{number}"
        self._etc = Path("/etc/netns") / self.name

    def __enter__(self) -> Self:
        _run("ip", "netns", "add", self.name)
        try:
            _run("ip", "link", "add", self._outer, "type", "veth", "peer", "name", self._inner, "netns", self.name)
            for address in (self.resolver, *self.addresses.values()):
                _run("ip", "address", "add", f"{address}/24", "dev", self._outer)
            _run("ip", "link", "set", self._outer, "up")
            for words in (
                f"address add {self.inside}/24 dev {self._inner}",
                f"link set {self._inner} up",
                "link set lo up",
                f"route add default via {self.resolver}",
            ):
                _run("ip", "-n", self.name, *words.split())
            _run("ip", "netns", "exec", self.name, "nft", "-f", "-", text=self._rules())
            self._etc.mkdir(parents=True, exist_ok=True)
            (self._etc / "resolv.conf").write_text(f"nameserver {self.resolver}\noptions timeout:2 attempts:1\n")
            (self._etc / "hosts").write_text("127.0.0.1 localhost\n")
            (self._etc / "nsswitch.conf").write_text("hosts: files dns\n")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self._outer], capture_output=True, check=False)
        shutil.rmtree(self._etc, ignore_errors=True)

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` inside."""
        return ["ip", "netns", "exec", self.name, *words]

    def packets(self) -> dict[str, int]:
        """Packets that left the namespace by counter; "resolver" asked for names, "dropped" had no rule."""
        listed = json.loads(_run("ip", "netns", "exec", self.name, "nft", "-j", "list", "counters"))["nftables"]
        rows: list[dict[str, Any]] = [row["counter"] for row in listed if "counter" in row]
        return {row["name"]: row["packets"] for row in rows}

    def _rules(self) -> str:
        names = ("resolver", *self.addresses, "dropped")
        counters = "\n".join(f"counter {name} {{ }}" for name in names)
        ways = "\n".join(f"ip daddr {address} counter name {name} accept" for name, address in self.addresses.items())
        # Neighbour discovery of an interface that comes up is the kernel's own and no process's.
        return f"""
            table inet wall {{
                {counters}
                chain leaving {{
                    type filter hook output priority 0; policy drop;
                    oifname lo accept
                    meta l4proto ipv6-icmp drop
                    ip daddr {self.resolver} udp dport 53 counter name resolver accept
                    {ways}
                    counter name dropped
                }}
            }}
        """


def _run(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout

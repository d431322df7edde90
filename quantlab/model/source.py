"""Where the market data of a run came from. Every table, plot and report names it: what is simulated says so."""

from __future__ import annotations

from typing import Literal

import msgspec

SourceKind = Literal["recording", "candles", "generated", "mainnet", "testnet"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the folder, recording or host; `from_`/`to` are ISO times in UTC (wire names "from", "to")."""

    kind: SourceKind
    name: str
    from_: str = msgspec.field(default="", name="from")
    to: str = ""

    @property
    def is_simulated(self) -> bool:
        """True when prices did not come from an exchange while the run went on."""
        return self.kind in ("recording", "candles", "generated")

    def label(self) -> str:
        """The words that every table and plot carries."""
        return {
            "mainnet": "Binance mainnet, live prices",
            "testnet": "Binance TESTNET prices",
            "recording": f"REPLAY of recording {self.name}",
            "candles": f"REPLAY of candles {self.name}; books and trades synthesised",
            "generated": f"GENERATED market {self.name}; no real prices",
        }[self.kind]

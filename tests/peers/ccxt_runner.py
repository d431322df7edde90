"""ccxt's own live tests of Binance against a venue.

`python ccxt_runner.py VENUE_URL CCXT_FOLDER [--ws] [--private] [--guarded]`. CCXT_FOLDER holds a copy of the ccxt
package outside of site-packages, which its test runner insists on; two folders above its tests stand `skip-tests.json`
and the keys. The runner checks that the client is made for Binance's own addresses: they are exchanged where requests
leave. With `--guarded` they leave by our guarded session.
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

REST = "https://api.binance.com"
SOCKETS = ("wss://stream.binance.com:9443", "wss://ws-api.binance.com:443")


def main(url: str, folder: str, *options: str) -> None:
    sys.path.insert(0, folder)
    tests = Path(folder) / "ccxt" / "test"
    sys.path.insert(0, str(tests))
    from ccxt.async_support import binance
    from ccxt.async_support.base.exchange import Exchange

    asked = Exchange.fetch

    async def fetch(self: Any, address: str, *rest: Any, **named: Any) -> Any:
        if "--guarded" in options:
            _guard(self, url)
        return await asked(self, address.replace(REST, url), *rest, **named)

    Exchange.fetch = fetch
    connected = Exchange.client

    def client(self: Any, address: str) -> Any:
        if "--guarded" in options:
            _guard(self, url)
            address = re.sub(r"/ws/\d+$", "/ws", address)  # ccxt numbers its sockets; our list has no such path
        for socket in SOCKETS:
            address = address.replace(socket, url.replace("http", "ws", 1))
        return connected(self, address)

    Exchange.client = client
    made = binance.describe

    def describe(self: Any) -> Any:
        """Spot only, as the venue is."""
        own = {"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}}
        absent = dict.fromkeys(("swap", "future", "option", "margin", "fetchCurrencies"), False)
        return self.deep_extend(made(self), {**own, "has": absent})

    binance.describe = describe
    told = [option for option in ("--ws", "--private") if option in options]
    sys.argv = [str(tests / "tests_init.py"), *told, "binance", "BTC/USDT"]
    runpy.run_path(sys.argv[0], run_name="__main__")


def _guard(client: Any, url: str) -> None:
    """Let the client's next request leave by our session, its weight taken as paid."""
    from yarl import URL

    from quantlab.exchange.egress import EgressLog
    from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
    from quantlab.exchange.rules import Origins

    if not getattr(client, "guarded", False):
        origins = Origins(URL(url), URL(url.replace("http", "ws", 1)), is_venue=True)
        client.session, client.guarded = guarded_session(origins, EgressLog(lambda *row: None), 30.0), True
        plain = client.session.ws_connect
        client.session.ws_connect = lambda *where, **how: plain(*where, **{**how, "compress": 0})  # the list knows none
    ATTEMPT.set(Attempt())


if __name__ == "__main__":
    main(*sys.argv[1:])

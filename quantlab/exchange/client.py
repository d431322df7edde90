"""ccxt's Binance client as the door uses it: without a key, without its own throttle, bound to one address."""

from __future__ import annotations

from typing import Any

import aiohttp

from quantlab.exchange.config import DoorConfig
from quantlab.model.errors import Refused

#: ccxt's generated method for each path: it builds the address, and the injected session asks.
IMPLICIT_METHODS = {
    "/api/v3/ping": "publicGetPing",
    "/api/v3/time": "publicGetTime",
    "/api/v3/exchangeInfo": "publicGetExchangeInfo",
    "/api/v3/klines": "publicGetKlines",
    "/api/v3/depth": "publicGetDepth",
    "/api/v3/trades": "publicGetTrades",
    "/api/v3/aggTrades": "publicGetAggTrades",
    "/api/v3/avgPrice": "publicGetAvgPrice",
    "/api/v3/ticker/24hr": "publicGetTicker24hr",
    "/api/v3/ticker/bookTicker": "publicGetTickerBookTicker",
    "/api/v3/ticker/price": "publicGetTickerPrice",
}


def keyless_client(config: DoorConfig, session: aiohttp.ClientSession) -> Any:
    """A `ccxt.async_support.binance` on the guarded `session`.

    Imports ccxt, which takes 0.8 s and 105 MB (ccxt 4.5.90): call it when the first request is made, not before.
    """
    from ccxt.async_support import binance

    class KeylessBinance(binance):  # type: ignore[misc]
        """Leaves the answer to us: the raw bytes are kept with the attempt, exact and without a shared attribute."""

        def parse_json(self, http_response: str) -> None:
            """ccxt would build the whole answer (0.5 s for all of exchangeInfo) only for us to drop it."""

        def get_socks_proxy_session(self, socks_proxy: str) -> Any:
            raise Refused("a SOCKS proxy would be a second way out of the process")

    client = KeylessBinance(
        {
            "session": session,
            "enableRateLimit": False,
            "timeout": round(config.timeout_s * 1000),
            "aiohttp_trust_env": False,
            "options": {
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
                "warnOnFetchOpenOrdersWithoutSymbol": False,
            },
        }
    )
    # All other groups (sapi, fapi, dapi, private …) point nowhere: ccxt then refuses them itself, before the guard.
    client.urls["api"] = {"public": f"{config.rest_url}/api/v3"}
    return client

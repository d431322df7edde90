"""What only a venue has, for whoever tests with it: clock, requests, faults and keys under `/__venue__/`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from quantlab.model.errors import ConfigurationError, NotFound
from quantlab.venue.account import Account
from quantlab.venue.faults import Faults
from quantlab.venue.keyfile import key_of
from quantlab.venue.keys import Key, KeyRing
from quantlab.venue.log import RequestLog
from quantlab.venue.masking import fingerprint
from quantlab.venue.pacer import Pacer

_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,8})?")


class Inspection:
    """GET clock, requests (`?after=seq`), faults, keys, account; POST clock (`{"hold": bool}`), faults (a list), keys
    (one, as `keyfile` has it), account (`{"balances": {asset: amount}}`, what is free); DELETE requests, faults, keys
    (`?fingerprint=` or `?api_key=`). None of it is logged or costs weight."""

    def __init__(
        self,
        clock: Callable[[], dict[str, Any]],
        log: RequestLog,
        faults: Faults,
        pacer: Pacer,
        keys: KeyRing,
        account: Account,
    ) -> None:
        self._clock, self._log, self._faults, self._pacer = clock, log, faults, pacer
        self._keys, self._account = keys, account

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await self._answer(request.method, request.path.removeprefix("/__venue__/"), request)
        except (ConfigurationError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        except NotFound as error:
            return web.json_response({"error": str(error)}, status=404)
        if answer is None:
            known = (
                "GET clock, requests, faults, keys, account; POST clock, faults, keys, account; "
                "DELETE requests, faults, keys"
            )
            return web.json_response({"error": f"there are {known}"}, status=404)
        return web.json_response(answer)

    async def _answer(self, method: str, what: str, request: web.BaseRequest) -> Any:
        match method, what:
            case "GET", "clock":
                return self._clock()
            case "POST", "clock":
                return self._hold(await request.json())
            case "GET", "requests":
                return self._log.report(int(request.query.get("after", "0")))
            case "DELETE", "requests":
                self._log.clear()
                return {}
            case "GET", "faults":
                return self._faults.rows()
            case "POST" | "PUT", "faults":
                self._faults.set(await request.json())
                return self._faults.rows()
            case "DELETE", "faults":
                self._faults.set([])
                return []
            case "GET", "account":
                return self._account.told()
            case "POST", "account":
                self._account.set_balances(_balances(await request.json()))
                return self._account.told()
            case "GET", "keys":
                return [self._row(key) for key in self._keys]
            case "POST", "keys":
                self._keys.add(key := key_of(await _json(request)))
                return self._row(key)
            case "DELETE", "keys":
                self._keys.remove(_named(request.query))
                return [self._row(key) for key in self._keys]
        return None

    def _row(self, key: Key) -> dict[str, Any]:
        """What may be shown of a key."""
        return {
            "fingerprint": key.fingerprint,
            "type": key.type,
            "enabled": key.enabled,
            "restrictions": self._account.restrictions_of(key),
            "addresses": None if key.addresses is None else sorted(map(str, key.addresses)),
        }

    def _hold(self, body: object) -> dict[str, Any]:
        if not isinstance(body, dict) or not isinstance(body.get("hold"), bool) or len(body) > 1:
            raise ConfigurationError('the clock takes {"hold": true} or {"hold": false}')
        self._pacer.hold = body["hold"]
        self._pacer.wake()
        return self._clock()


def _balances(body: object) -> dict[str, Decimal]:
    rows = body.get("balances") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(rows, dict) or not all(isinstance(one, str) and _AMOUNT.fullmatch(one) for one in rows.values()):
        raise ConfigurationError('the account takes {"balances": {"USDT": "1000.5"}}, amounts as decimal strings')
    return {str(asset): Decimal(amount) for asset, amount in rows.items()}


async def _json(request: web.BaseRequest) -> object:
    try:
        return await request.json()
    except ValueError:  # the decoder's words may show a part of what was sent
        raise ConfigurationError("the body is not JSON") from None


def _named(query: Mapping[str, str]) -> str:
    """The fingerprint of the key that a request names."""
    if len(query) != 1 or not set(query) <= {"api_key", "fingerprint"}:
        raise ConfigurationError("name the key to delete: ?fingerprint= or ?api_key=")
    return query["fingerprint"] if "fingerprint" in query else fingerprint(query["api_key"])

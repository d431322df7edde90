"""Each key has its own permissions, addresses and state, and they can be changed while the venue runs; whoever changes
or lists them sees no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from quantlab.model import ConfigurationError, NotFound, Refused
from quantlab.venue import Venue
from quantlab.venue.account import RESTRICTIONS
from quantlab.venue.keyfile import key_of, load
from quantlab.venue.masking import fingerprint

from .plain import order
from .signing import ask, now_ms, openssl_hmac, signed_query

KEY, OTHER, SECRET = "k" * 64, "o" * 64, "only the test knows it"
PERMISSIONS = "/sapi/v1/account/apiRestrictions"
sign = openssl_hmac(SECRET)


async def post(http: aiohttp.ClientSession, **row: object) -> tuple[int, Any]:
    async with http.post("/__venue__/keys", json={"api_key": KEY, "secret": SECRET, **row}) as answer:
        return answer.status, await answer.json()


async def code(http: aiohttp.ClientSession, key: str = KEY, path: str = "/api/v3/account", method: str = "GET") -> int:
    """0, or the code of the error that is answered."""
    params = order() if method == "POST" else {}
    status, answer = await ask(http, key, signed_query(sign, **params), path, method)
    return 0 if status == 200 else int(answer["code"])


async def test_a_key_comes_is_replaced_and_goes(http: aiohttp.ClientSession) -> None:
    assert await code(http) == -2015
    status, row = await post(http)
    assert (status, row["fingerprint"], row["type"]) == (200, fingerprint(KEY), "hmac")
    assert row["restrictions"] == RESTRICTIONS
    assert await code(http) == 0
    await post(http, secret="another")
    assert await code(http) == -1022
    await post(http, enabled=False)
    assert await code(http) == -2015
    await post(http)
    await post(http, api_key=OTHER)
    assert (await code(http), await code(http, OTHER)) == (0, 0)
    async with http.get("/__venue__/keys") as answer:
        text = await answer.text()
    assert [row["fingerprint"] for row in json.loads(text)] == [fingerprint(KEY), fingerprint(OTHER)]
    assert not any(secret in text for secret in (SECRET, KEY, OTHER))
    async with http.delete(f"/__venue__/keys?api_key={KEY}") as answer:
        assert [row["fingerprint"] for row in await answer.json()] == [fingerprint(OTHER)]
    assert (await code(http), await code(http, OTHER)) == (-2015, 0)
    async with http.delete(f"/__venue__/keys?fingerprint={fingerprint(OTHER)}") as answer:
        assert await answer.json() == []
    assert await code(http, OTHER) == -2015


async def test_permissions_are_the_signing_keys_own(http: aiohttp.ClientSession, venue: Venue) -> None:
    await post(http)
    changes = {"enableWithdrawals": True, "enableLending": "yes", "ipRestrict": None}
    await post(http, api_key=OTHER, restrictions=changes)

    async def told(key: str) -> dict[str, Any]:
        _, answer = await ask(http, key, signed_query(sign), PERMISSIONS)
        return dict(answer)

    assert await told(KEY) == RESTRICTIONS
    assert await told(OTHER) == {**RESTRICTIONS, **changes}
    venue.account.restrictions["enableMargin"] = True
    assert (await told(KEY))["enableMargin"] is (await told(OTHER))["enableMargin"] is True
    assert not RESTRICTIONS["enableMargin"]


@pytest.mark.parametrize("value", [False, None, "true", 1])
async def test_a_key_that_may_not_trade_reads_only(http: aiohttp.ClientSession, venue: Venue, value: object) -> None:
    await post(http)
    await post(http, api_key=OTHER, restrictions={"enableSpotAndMarginTrading": value})
    paths = [(method, path) for method, path in venue.account.endpoints if method != "GET"]
    assert len(paths) == 7
    for method, path in paths:
        assert await code(http, OTHER, path, method) == -2015
    assert await code(http, OTHER) == await code(http, OTHER, PERMISSIONS) == 0
    assert venue.account.orders.all == []
    assert await code(http, KEY, "/api/v3/order", "POST") == 0, "the control"
    async with http.ws_connect("/ws-api/v3") as socket:
        for key, expected in ((OTHER, 401), (KEY, 200)):
            params = {**order(), "apiKey": key, "timestamp": now_ms()}
            signature = sign("&".join(f"{name}={params[name]}" for name in sorted(params)))
            await socket.send_json({"id": 1, "method": "order.place", "params": {**params, "signature": signature}})
            assert (await socket.receive_json(timeout=5))["status"] == expected
    assert len(venue.account.orders.all) == 2


async def test_a_key_is_let_in_from_its_addresses_only(http: aiohttp.ClientSession, venue: Venue) -> None:
    await post(http, addresses=["203.0.113.7"])
    assert await code(http) == await code(http, path=PERMISSIONS) == -2015
    await post(http, addresses=["203.0.113.7", "127.0.0.1"])
    assert await code(http) == 0
    async with http.ws_connect("/ws-api/v3") as socket:
        for addresses, expected in ((["203.0.113.7"], 401), (["127.0.0.1"], 200)):
            await post(http, addresses=addresses)
            params = {"apiKey": KEY, "timestamp": now_ms()}
            signature = sign(f"apiKey={KEY}&timestamp={params['timestamp']}")
            await socket.send_json({"id": 1, "method": "account.status", "params": {**params, "signature": signature}})
            assert (await socket.receive_json(timeout=5))["status"] == expected


async def test_a_loopback_address_is_one_in_both_families(serve: Callable[..., Any]) -> None:
    venue: Venue = await serve(host="::1")
    async with aiohttp.ClientSession(venue.url) as http:
        await post(http, addresses=["127.0.0.1"])
        assert await code(http) == -2015
        await post(http, addresses=["0:0:0:0:0:0:0:1"])
        assert await code(http) == 0


async def test_the_testnet_has_no_wallet_api(serve: Callable[..., Any]) -> None:
    venue: Venue = await serve(keys={KEY: SECRET}, sapi=False)
    async with aiohttp.ClientSession(venue.url) as http:
        async with http.get(f"{PERMISSIONS}?{signed_query(sign)}", headers={"X-MBX-APIKEY": KEY}) as answer:
            assert (answer.status, await answer.read()) == (404, b"")
            assert not any(name.startswith("X-SAPI") for name in answer.headers)
        assert await code(http) == 0, "the rest is there"
    assert [line["status"] for line in venue.log.lines()] == [404, 200]


WRONG: dict[str, tuple[dict[str, object] | list[object] | str, str]] = {
    "no table": ([], "a key is a table"),
    "text": ("SECRET", "a key is a table"),
    "unknown field": ({"sekret": SECRET}, "unknown field"),
    "short key": ({"api_key": "k", "secret": SECRET}, "api_key is 64"),
    "no key": ({"secret": SECRET}, "api_key is 64"),
    "number as key": ({"api_key": 1, "secret": SECRET}, "api_key is 64"),
    "no secret": ({"api_key": KEY}, "either a secret"),
    "two secrets": ({"api_key": KEY, "secret": SECRET, "public_key": SECRET}, "either a secret"),
    "empty secret": ({"api_key": KEY, "secret": ""}, "secret is a text"),
    "surrogate": ({"api_key": KEY, "secret": f"{SECRET}\ud800"}, "no character"),
    "no PEM": ({"api_key": KEY, "public_key": SECRET}, "no PEM"),
    "permissions": ({"api_key": KEY, "secret": SECRET, "restrictions": [SECRET]}, "restrictions is a table"),
    "one address": ({"api_key": KEY, "secret": SECRET, "addresses": "127.0.0.1"}, "addresses is a list"),
    "no address": ({"api_key": KEY, "secret": SECRET, "addresses": []}, "addresses is a list"),
    "bad address": ({"api_key": KEY, "secret": SECRET, "addresses": ["127.0.0.256"]}, "addresses is a list"),
    "state": ({"api_key": KEY, "secret": SECRET, "enabled": "yes"}, "enabled is true"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_key_is_one_line_and_changes_nothing(name: str, http: aiohttp.ClientSession) -> None:
    row, why = WRONG[name]
    await post(http)
    async with http.post("/__venue__/keys", json=row) as answer:
        status, told = answer.status, (await answer.json())["error"]
    assert status == 400
    assert why in told
    assert "\n" not in told and SECRET not in told and KEY not in told
    assert await code(http) == 0


async def test_other_wrong_requests(http: aiohttp.ClientSession) -> None:
    async def told(method: str, query: str = "", data: bytes | None = None) -> tuple[int, str]:
        async with http.request(method, f"/__venue__/keys{query}", data=data) as answer:
            return answer.status, (await answer.json())["error"]

    assert await told("POST", data=f'{{"secret": "{SECRET}'.encode()) == (400, "the body is not JSON")
    assert await told("POST", data=b'{"secret": "\xff"}') == (400, "the body is not JSON")
    for query in ("", "?name=x", f"?api_key={KEY}&fingerprint=x"):
        assert (await told("DELETE", query))[0] == 400
    for query in (f"?api_key={KEY}", "?fingerprint=x"):
        status, words = await told("DELETE", query)
        assert (status, KEY in words) == (404, False)
    assert (await told("PATCH"))[0] == 404


def test_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    rows: list[dict[str, object]] = [{"api_key": KEY, "secret": SECRET}, {"api_key": OTHER, "secret": SECRET}]

    def written(content: object, mode: int = 0o600) -> Path:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(mode)
        return path

    with pytest.raises(NotFound, match="no key file"):
        load(path)
    assert [key.api_key for key in load(written(rows))] == [KEY, OTHER]
    for mode in (0o640, 0o604, 0o620, 0o644):
        with pytest.raises(Refused, match="chmod 600"):
            load(written(rows, mode))
    wrong: list[tuple[object, str]] = [
        ({"keys": rows}, "holds no list"),
        (f'[{{"secret": "{SECRET}"', "is not JSON"),
        ([rows[0], {"api_key": KEY}], "key 2: a key has either"),
        ([*rows, rows[0]], "key 3: its api_key stands there twice"),
    ]
    for content, why in wrong:
        with pytest.raises(ConfigurationError, match=why) as refused:
            load(written(content))
        assert SECRET not in str(refused.value) and KEY not in str(refused.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path)


def test_a_key_shows_neither_itself_nor_its_secret() -> None:
    key = key_of({"api_key": KEY, "secret": SECRET})
    assert KEY not in repr(key) and SECRET not in repr(key)
    assert KEY not in str(vars(key)["verify"]) and SECRET not in str(vars(key)["verify"])

"""Orders that reached the venue: recorded, and answered as Binance would answer an accepted order.

Simple on purpose. An order that can be filled at the touch is filled there at once and whole (MARKET, and limits that
cross); every other one rests as NEW until it is cancelled, or EXPIRED when it must not rest. Symbol filters and
balances are not checked, and nothing is filled later: what matters here is that an order is *seen*.

Payload forms: Binance spot REST docs, "Trading endpoints", checked 2026-11-23. Times are market time.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any

from quantlab.venue import errors, parameters
from quantlab.venue.errors import VenueError
from quantlab.venue.parameters import Params
from quantlab.venue.source import Market

_SIDES = ("BUY", "SELL")
_RESTS = ("GTC", "IOC", "FOK")
#: Mandatory parameters by type; of alternatives one is enough.
_MANDATORY = {
    "LIMIT": ("timeInForce", "quantity", "price"),
    "MARKET": ("quantity|quoteOrderQty",),
    "STOP_LOSS": ("quantity", "stopPrice|trailingDelta"),
    "STOP_LOSS_LIMIT": ("timeInForce", "quantity", "price", "stopPrice|trailingDelta"),
    "TAKE_PROFIT": ("quantity", "stopPrice|trailingDelta"),
    "TAKE_PROFIT_LIMIT": ("timeInForce", "quantity", "price", "stopPrice|trailingDelta"),
    "LIMIT_MAKER": ("quantity", "price"),
}
_FEE = Decimal("0.001")
_PLACES = Decimal("0.00000001")

Row = dict[str, Any]


class Orders:
    """All orders of the venue's one account, newest last."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._assets = {row["symbol"]: (row["baseAsset"], row["quoteAsset"]) for row in market.exchange_info["symbols"]}
        self.rows: list[Row] = []
        self.trades: list[Row] = []
        self._lists = 0

    def check(self, params: Params) -> None:
        """Raise VenueError unless `params` describe an order."""
        parameters.symbol(params, self._market.symbols)
        parameters.choice(params, "side", _SIDES, VenueError(-1117, "Invalid side."))
        kind = parameters.choice(params, "type", _MANDATORY, VenueError(-1116, "Invalid orderType."))
        for names in _MANDATORY[kind]:
            if not any(name in params for name in names.split("|")):
                raise errors.missing(names.split("|")[0])
        for name in ("price", "timeInForce"):
            if kind == "MARKET" and name in params:
                raise VenueError(-1106, f"Parameter '{name}' sent when not required.")
        for name in ("quantity", "quoteOrderQty", "price", "stopPrice"):
            if name in params:
                parameters.decimal(params, name)
        if "timeInForce" in params:
            parameters.choice(params, "timeInForce", _RESTS, VenueError(-1115, "Invalid timeInForce."))

    def place(self, params: Params, *, list_id: int = -1) -> Row:
        """Accept an order; returns Binance's FULL answer."""
        self.check(params)
        symbol, side, kind = params["symbol"], params["side"], params["type"]
        number = len(self.rows) + 1
        client_id = params.get("newClientOrderId") or f"venue{number}"
        if any(row["clientOrderId"] == client_id and row["status"] == "NEW" for row in self.rows):
            raise errors.rejected_order("Duplicate order sent.")
        ticker = self._market.book_ticker(symbol)
        touch = Decimal(ticker["askPrice"] if side == "BUY" else ticker["bidPrice"])
        if kind == "MARKET" and not touch:
            raise VenueError(-1013, "Market is closed.")
        limit = Decimal(params.get("price", "0"))
        crosses = bool(touch) and (touch <= limit if side == "BUY" else limit <= touch)
        if kind == "LIMIT_MAKER" and crosses:
            raise errors.rejected_order("Order would immediately match and take.")
        filled = kind == "MARKET" or (kind == "LIMIT" and crosses)
        quantity = Decimal(params["quantity"]) if "quantity" in params else self._for_quote(params, touch)
        expired = not filled and params.get("timeInForce") in ("IOC", "FOK") and kind == "LIMIT"
        row: Row = {
            "symbol": symbol,
            "orderId": number,
            "orderListId": list_id,
            "clientOrderId": client_id,
            "price": _plain(limit),
            "origQty": _plain(quantity),
            "executedQty": _plain(quantity if filled else Decimal(0)),
            "cummulativeQuoteQty": _plain(quantity * touch if filled else Decimal(0)),
            "origQuoteOrderQty": _plain(Decimal(params.get("quoteOrderQty", "0"))),
            "status": "FILLED" if filled else "EXPIRED" if expired else "NEW",
            "timeInForce": params.get("timeInForce", "GTC"),
            "type": kind,
            "side": side,
            "stopPrice": _plain(Decimal(params.get("stopPrice", "0"))),
            "icebergQty": "0.00000000",
            "time": self._market.now_ms,
            "updateTime": self._market.now_ms,
            "isWorking": True,
            "workingTime": self._market.now_ms,
            "selfTradePreventionMode": params.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        }
        self.rows.append(row)
        fills = [self._fill(row, touch, quantity)] if filled else []
        return {**_answer(row), "transactTime": self._market.now_ms, "fills": fills}

    def place_pair(self, params: Params) -> Row:
        """An OCO: two legs of one list, `above` and `below`."""
        legs = []
        for leg in ("above", "below"):
            own = {
                name.removeprefix(leg)[:1].lower() + name.removeprefix(leg)[1:]: value
                for name, value in params.items()
                if name.startswith(leg)
            }
            own["newClientOrderId"] = own.pop("clientOrderId", "")
            legs.append({**{name: params[name] for name in ("symbol", "side", "quantity") if name in params}, **own})
        for leg_params in legs:
            self.check(leg_params)
        self._lists += 1
        reports = [self.place(leg_params, list_id=self._lists) for leg_params in legs]
        return {
            "orderListId": self._lists,
            "contingencyType": "OCO",
            "listStatusType": "EXEC_STARTED",
            "listOrderStatus": "EXECUTING",
            "listClientOrderId": params.get("listClientOrderId") or f"venuelist{self._lists}",
            "transactionTime": self._market.now_ms,
            "symbol": params["symbol"],
            "orders": [{name: row[name] for name in ("symbol", "orderId", "clientOrderId")} for row in reports],
            "orderReports": reports,
        }

    def find(self, params: Params) -> Row:
        """The order named by `orderId` or `origClientOrderId`."""
        symbol = parameters.symbol(params, self._market.symbols)
        number, client_id = params.get("orderId"), params.get("origClientOrderId")
        if number is None and client_id is None:
            words = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            raise VenueError(-1102, words)
        for row in reversed(self.rows):
            if row["symbol"] == symbol and (number == str(row["orderId"]) or client_id == row["clientOrderId"]):
                return row
        raise errors.unknown_order()

    def of(self, params: Params, *, open_only: bool = False) -> list[Row]:
        """Orders of `symbol`, or of all symbols where none is given."""
        if "symbol" in params:
            parameters.symbol(params, self._market.symbols)
        wanted = params.get("symbol")
        rows = [row for row in self.rows if wanted in (None, row["symbol"])]
        return [row for row in rows if row["status"] == "NEW"] if open_only else rows

    def cancel(self, params: Params) -> Row:
        try:
            row = self.find(params)
        except VenueError as error:
            raise errors.nothing_to_cancel() if error.code == errors.unknown_order().code else error from None
        return self._cancelled(row, params.get("newClientOrderId"))

    def cancel_all(self, params: Params) -> list[Row]:
        parameters.symbol(params, self._market.symbols)
        rows = self.of(params, open_only=True)
        if not rows:
            raise errors.nothing_to_cancel()
        return [self._cancelled(row, None) for row in rows]

    def replace(self, params: Params) -> Row:
        """Cancel one order and place another (STOP_ON_FAILURE)."""
        parameters.text(params, "cancelReplaceMode")
        self.check(params)
        named = {"orderId": "cancelOrderId", "origClientOrderId": "cancelOrigClientOrderId"}
        old = {name: params[sent] for name, sent in named.items() if sent in params}
        cancelled = self.cancel({"symbol": params["symbol"], **old})
        placed = self.place(params)
        return {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": cancelled,
            "newOrderResponse": placed,
        }

    def _cancelled(self, row: Row, client_id: str | None) -> Row:
        if row["status"] != "NEW":
            raise errors.nothing_to_cancel()
        row["status"], row["updateTime"] = "CANCELED", self._market.now_ms
        new_id = client_id or f"cancel{row['orderId']}"
        return {
            **_answer(row),
            "origClientOrderId": row["clientOrderId"],
            "clientOrderId": new_id,
            "transactTime": self._market.now_ms,
        }

    def _fill(self, row: Row, price: Decimal, quantity: Decimal) -> Row:
        base, quote = self._assets[row["symbol"]]
        bought = row["side"] == "BUY"
        fee = (quantity if bought else quantity * price) * _FEE
        told = {
            "price": _plain(price),
            "qty": _plain(quantity),
            "commission": _plain(fee),
            "commissionAsset": base if bought else quote,
        }
        number = len(self.trades) + 1
        self.trades.append(
            {
                "symbol": row["symbol"],
                "id": number,
                "orderId": row["orderId"],
                "orderListId": row["orderListId"],
                **told,
                "quoteQty": row["cummulativeQuoteQty"],
                "time": self._market.now_ms,
                "isBuyer": bought,
                "isMaker": False,
                "isBestMatch": True,
            }
        )
        return {**told, "tradeId": number}

    def _for_quote(self, params: Params, price: Decimal) -> Decimal:
        """What `quoteOrderQty` buys, in whole steps."""
        row = next(row for row in self._market.exchange_info["symbols"] if row["symbol"] == params["symbol"])
        step = next(Decimal(f["stepSize"]) for f in row["filters"] if f["filterType"] == "LOT_SIZE")
        lots = (Decimal(params["quoteOrderQty"]) / price / step).to_integral_value(ROUND_DOWN)
        if not lots:
            raise VenueError(-1013, "Filter failure: LOT_SIZE")
        return lots * step


def _answer(row: Row) -> Row:
    """What the answer to an order shows of it, as against a query."""
    hidden = ("time", "updateTime", "isWorking", "icebergQty", "stopPrice")
    return {name: value for name, value in row.items() if name not in hidden}


def _plain(value: Decimal) -> str:
    return f"{value.quantize(_PLACES):f}"

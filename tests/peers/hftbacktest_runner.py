"""Runs orders through hftbacktest, in an environment of its own: `python hftbacktest_runner.py INPUT.json QUEUE`.

INPUT holds {"tick", "step", "order_ms", "events", "orders"}: events [kind, ms, is_bid, price, quantity] in time order,
where kind is "snapshot", "depth" or "trade" (is_bid: the resting side); orders [ms, is_buy, price or null, quantity,
life_ms]. Prints a list of {"filled", "first_ms", "last_price", "last_quantity"} as JSON, one for each order.
"""

import json
import sys

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.order import CANCELED, EXPIRED, FILLED, IOC, REJECTED
from hftbacktest.types import event_dtype

MS = 1_000_000
STEP_MS = 1
ENDED = (EXPIRED, FILLED, CANCELED, REJECTED)
KINDS = {"snapshot": DEPTH_SNAPSHOT_EVENT, "depth": DEPTH_EVENT, "trade": TRADE_EVENT}


def events_of(rows):
    """As hftbacktest has them; a trade's side is the taker's there."""
    data = np.zeros(len(rows), event_dtype)
    for at, (kind, ms, is_bid, price, quantity) in enumerate(rows):
        side = BUY_EVENT if is_bid is not (kind == "trade") else SELL_EVENT
        data[at]["ev"] = KINDS[kind] | side | EXCH_EVENT | LOCAL_EVENT
        data[at]["exch_ts"] = data[at]["local_ts"] = ms * MS
        data[at]["px"], data[at]["qty"] = price, quantity
    return data


def main():
    with open(sys.argv[1]) as file:
        told = json.load(file)
    data = events_of(told["events"])
    asset = (
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        # Half a millisecond earlier: what arrives with an event arrives before it.
        .constant_order_latency(told["order_ms"] * MS - MS // 2, MS)
        .partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(told["tick"])
        .lot_size(told["step"])
        .last_trades_capacity(0)
    )
    asset = asset.risk_adverse_queue_model() if sys.argv[2] == "pessimistic" else asset.power_prob_queue_model(1.0)
    hbt = HashMapMarketDepthBacktest([asset])
    found = [{"filled": 0.0, "first_ms": None, "last_price": None, "last_quantity": None} for _ in told["orders"]]
    ends, open_ = [], set()
    hbt.elapse(MS)  # from the first event on
    for number, (ms, is_buy, price, quantity, life_ms) in enumerate(told["orders"]):
        elapse_to(hbt, ms, open_, ends, found)
        submit = hbt.submit_buy_order if is_buy else hbt.submit_sell_order
        # A market order walks 100 ticks there and no further; a limit far away walks as far as it needs.
        far = round((hbt.depth(0).best_ask if is_buy else hbt.depth(0).best_bid) * (1.002 if is_buy else 0.998), 2)
        submit(0, number, price or far, quantity, IOC if price is None else GTX, LIMIT, False)
        open_.add(number)
        if life_ms:
            ends.append((ms + life_ms, number))
    elapse_to(hbt, told["events"][-1][1], open_, ends, found)
    print(json.dumps(found))


def elapse_to(hbt, ms, open_, ends, found):
    """Go on in steps of a millisecond, and see what has become of the orders that are open."""
    while hbt.current_timestamp < ms * MS:
        while ends and ends[0][0] * MS <= hbt.current_timestamp:
            _, number = ends.pop(0)
            if number in open_:
                hbt.cancel(0, number, False)
        if hbt.elapse(min(STEP_MS * MS, ms * MS - hbt.current_timestamp)):
            return
        orders = hbt.orders(0)
        for number in list(open_):
            order = orders.get(number)
            if order is None:
                continue
            row, filled = found[number], round(order.qty - order.leaves_qty, 9)
            if filled > row["filled"]:
                row["first_ms"] = row["first_ms"] or order.exch_timestamp / MS
                row["filled"], row["last_price"], row["last_quantity"] = filled, order.exec_price, order.exec_qty
            if order.status in ENDED:
                open_.discard(number)


if __name__ == "__main__":
    main()

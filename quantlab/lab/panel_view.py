"""What the panel shows, as HTML: pure functions of the engine's status. Drawn anew twice a second."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from quantlab.report.alerts import alerts
from quantlab.report.table import figure_text

_BLUE, _RED, _GREY, _AMBER = "#0072B2", "#D55E00", "#6e7781", "#E69F00"

STYLE = """<style>
.qlp{font:13px/1.4 system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,sans-serif}
.qlp-source{padding:5px 10px;border-left:4px solid #E69F00;background:rgba(230,159,0,.16)}
.qlp-source.qlp-real{border-color:#0072B2;background:rgba(0,114,178,.12)}
.qlp-facts{display:flex;flex-wrap:wrap;gap:4px 28px;margin:8px 0}
.qlp-facts b{font-size:16px;font-variant-numeric:tabular-nums}
.qlp-facts span{color:#6e7781;display:block;font-size:11.5px}
.qlp-scroll{max-height:520px;overflow:auto}
.qlp table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}
.qlp th{position:sticky;top:0;background:var(--jp-layout-color0,#fff);font-weight:600;text-align:left;\
padding:3px 8px 3px 0;border-bottom:1.5px solid #6e7781}
.qlp td{padding:1px 8px 1px 0;border-bottom:1px solid rgba(110,119,129,.22);text-align:left;white-space:nowrap}
.qlp .n{text-align:right}
.qlp table.qlp-requests{width:auto;margin-top:8px}
.qlp .note{white-space:normal;color:#6e7781;max-width:260px}
.qlp-error{padding:6px 10px;border-left:4px solid #D55E00;background:rgba(213,94,0,.13)}
</style>"""


def header(
    run_id: str, status: Mapping[str, Any] | None, state: str, source: str, bots: Sequence[Mapping[str, Any]]
) -> str:
    """Source, state, time and the fleet's figures. `status` is the engine's, None when it does not run."""
    real = status is not None and status["source"]["kind"] == "mainnet"
    tone = "qlp-source qlp-real" if real else "qlp-source"
    banner = f'<div class="{tone}"><b>{_e(source or "source not known yet")}</b> · run {_e(run_id)}</div>'
    result = _result(bots) if bots else []
    if status is None:
        return _framed(banner, state, [_fact("state", state), *result])
    requests = status["requests"]
    when = datetime.fromtimestamp(status["engine_time_ms"] / 1000, UTC)
    facts = [
        _fact("state", state),
        _fact("engine time, UTC", f"{when:%Y-%m-%d %H:%M:%S}" if status["engine_time_ms"] else "waiting"),
        *result,
        _fact("events", f"{status['events']:,} ({status['events_per_second']:,}/s)"),
        _gauge(status.get("budget"), int(requests.get("peak_weight_60s", 0))),
        _fact("orders left", str(requests.get("order_requests", 0))),
    ]
    if status["progress"] is not None:
        facts.append(_progress(status["progress"]))
    return _framed(banner, state, facts) + "".join(message(line, error=True) for line in alerts(status))


def _result(bots: Sequence[Mapping[str, Any]]) -> list[str]:
    equity, pnl = sum(bot["equity"] for bot in bots), sum(bot["pnl"] for bot in bots)
    capital = equity - pnl
    return [
        _fact("fleet equity", f"{equity:,.2f}"),
        _fact("result", f"{_signed(pnl)} ({_signed(pnl / capital * 100 if capital else 0.0)} %)", _tone(pnl)),
        _fact("fills", f"{sum(bot['fills'] for bot in bots):,}"),
    ]


def body(bots: Sequence[Mapping[str, Any]], curves: Mapping[int, Sequence[float]]) -> str:
    """The fleet's equity and the table of bots. `curves` holds equities by bot number; -1 is the fleet."""
    capital = sum(bot["equity"] - bot["pnl"] for bot in bots)
    rows = "".join(_row(bot, _from(bot["equity"] - bot["pnl"], curves.get(bot["bot"], ()))) for bot in bots)
    titles = ("bot", "strategy", "symbol", "tf", "state", "position", "result", "dd %", "fills", "last fill", "")
    numeric = {"position", "result", "dd %", "fills"}
    head = "".join(f'<th class="{"n" if title in numeric else ""}">{title}</th>' for title in (*titles, "note"))
    return (
        f'<div class="qlp">{_equity(_from(capital, curves.get(-1, ())))}<div class="qlp-scroll">'
        f'<table class="qlp-bots"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div>'
    )


def requests(counts: Mapping[str, Any]) -> str:
    """What was asked of the exchange by endpoint, and how little of it was sent. `counts` are the door's counters."""
    endpoints = counts.get("by_endpoint") or {}
    if not endpoints:
        return ""
    names = ("asked", "sent", "shared", "kept", "weight")
    head = "".join(f'<th class="n">{name}</th>' for name in names)
    rows = "".join(
        f"<tr><td>{_e(endpoint)}</td>" + "".join(f'<td class="n">{figures[name]:,}</td>' for name in names) + "</tr>"
        for endpoint, figures in sorted(endpoints.items(), key=lambda item: -item[1]["asked"])
    )
    return (
        f'<div class="qlp"><table class="qlp-requests"><thead><tr><th>requests</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def message(words: str, *, error: bool = False) -> str:
    """One line under the buttons; an error is shown as such."""
    if not words:
        return ""
    tone = ' class="qlp-error"' if error else ""
    return f'<div class="qlp"><div{tone}>{_e(words)}</div></div>'


def _from(capital: float, curve: Sequence[float]) -> Sequence[float]:
    """The curve with the capital it began with."""
    return [capital, *curve] if curve else ()


def _row(bot: Mapping[str, Any], curve: Sequence[float]) -> str:
    last = ""
    if bot.get("last_fill_ms"):
        last = datetime.fromtimestamp(bot["last_fill_ms"] / 1000, UTC).strftime("%H:%M:%S")
    drawdown = bot["drawdown_pct"]
    cells = (
        ("", _e(bot["name"])),
        ("", _e(bot["strategy"])),
        ("", _e(bot["symbol"])),
        ("", _e(bot["timeframe"])),
        ("", _e(bot["state"])),
        ("n", f"{bot['position']:g}" if bot["position"] else ""),
        ("n", f'<span style="color:{_tone(bot["pnl"])}">{_signed(bot["pnl"])}</span>'),
        ("n", f"{drawdown:.2f}" if drawdown else ""),
        ("n", str(bot["fills"] or "")),
        ("", last),
        ("", _spark(curve)),
        ("note", _e(bot["note"])),
    )
    return "<tr>" + "".join(f'<td class="{kind}">{value}</td>' for kind, value in cells) + "</tr>"


def _framed(banner: str, state: str, facts: Sequence[str]) -> str:
    return f'<div class="qlp" data-state="{_e(state)}">{banner}<div class="qlp-facts">{"".join(facts)}</div></div>'


def _fact(name: str, value: str, color: str = "inherit") -> str:
    return f'<div><span>{_e(name)}</span><b style="color:{color}">{_e(value)}</b></div>'


def _gauge(budget: Mapping[str, Any] | None, peak: int) -> str:
    """Request weight that is held now, against the limit as it is now; and the run's peak in any 60 s."""
    if budget is None:  # an engine of before this was told
        return _fact("peak weight in 60 s", f"{peak:,}")
    used, limit = budget["used"], budget["limit"]
    share = min(1.0, used / limit)
    words = f"{used:,} (peak {peak:,})"
    return _bar(f"weight in 60 s of {limit:,}", share, words, _BLUE if share < 0.8 else _RED)


def _progress(share: float) -> str:
    return _bar("progress", share, f"{share:.0%}", _AMBER)


def _bar(name: str, share: float, words: str, color: str) -> str:
    bar = '<rect width="{:.1f}" height="8" y="6" rx="4" fill="{}"{}/>'
    scale, level = bar.format(140, _GREY, ' opacity=".25"'), bar.format(140 * share, color, "")
    return f'<div><span>{name}</span><svg width="140" height="18">{scale}{level}</svg> {words}</div>'


def _equity(curve: Sequence[float]) -> str:
    """The fleet's equity as one line with its range."""
    if len(curve) < 2:
        return ""
    low, high = min(curve), max(curve)
    start = curve[0]
    zero = _height(start, low, high, 90)
    return (
        '<svg class="qlp-equity" width="100%" height="104" viewBox="0 0 900 104" preserveAspectRatio="none" '
        f'role="img" aria-label="equity of the fleet"><line x1="0" x2="900" y1="{zero:.1f}" y2="{zero:.1f}" '
        f'stroke="{_GREY}" stroke-dasharray="5 4" vector-effect="non-scaling-stroke"/>'
        f'<polyline points="{_points(curve, 900, 90)}" fill="none" stroke="{_BLUE}" stroke-width="1.8" '
        'vector-effect="non-scaling-stroke"/></svg>'
        f'<div style="color:{_GREY};font-size:11.5px">fleet equity, USDT: low {low:,.2f}, high {high:,.2f}; dashed: at '
        "the start</div>"
    )


def _spark(curve: Sequence[float]) -> str:
    if len(curve) < 2:
        return ""
    color = _BLUE if curve[-1] >= curve[0] else _RED
    return (
        f'<svg width="90" height="18"><polyline points="{_points(curve, 90, 14)}" fill="none" stroke="{color}" '
        'stroke-width="1.2"/></svg>'
    )


def _points(curve: Sequence[float], width: float, height: float) -> str:
    low, high, step = min(curve), max(curve), width / (len(curve) - 1)
    return " ".join(f"{i * step:.1f},{_height(value, low, high, height):.1f}" for i, value in enumerate(curve))


def _height(value: float, low: float, high: float, height: float) -> float:
    return 2 + (height * (1 - (value - low) / (high - low)) if high > low else height / 2)


def _tone(value: float) -> str:
    return _BLUE if value > 0 else _RED if value < 0 else "inherit"


def _signed(value: float) -> str:
    return figure_text(value, 2, signed=True)


def _e(words: Any) -> str:
    return html.escape(str(words))

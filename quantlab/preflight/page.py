"""A pre-flight as HTML. Each verdict is a sign and a word, so that no colour has to be told from another."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from quantlab.preflight.result import MODES, Line, Result

#: Verdict → sign. Blue and orange stay apart for every kind of colour vision (Okabe and Ito's palette).
SIGNS = {"pass": "✓", "fail": "✗", "unknown": "?", "not applicable": "–"}
_STYLE = """
.preflight{font:14px/1.45 system-ui,sans-serif;color:#1a1a1a;background:#fff}
.preflight table{border-collapse:collapse;width:100%}
.preflight th,.preflight td{border-bottom:1px solid #ccc;padding:6px 10px;text-align:left;vertical-align:top}
.preflight td{overflow-wrap:anywhere}
.preflight .verdict,.preflight .weight{white-space:nowrap}.preflight .verdict{font-weight:600}
.preflight .pass{color:#00629b}.preflight .fail{color:#a84300}
.preflight .unknown,.preflight .not{color:#595959}
.preflight .why{color:#595959}
.preflight .stops{border-left:4px solid #a84300}
"""


def page(result: Result) -> str:
    """A whole document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Pre-flight</title>'
        "<style>body{margin:2em auto;max-width:75em;padding:0 1em;background:#fff}</style></head>"
        f"<body>{table(result)}</body></html>\n"
    )


def table(result: Result) -> str:
    """The part that a notebook shows: a heading and a table, what matters most first."""
    when = datetime.fromtimestamp(result.checked_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    rows = "".join(_row(line, result) for line in result.worst_first())
    others = "".join(f'<th scope="col">{mode}</th>' for mode in MODES)
    return (
        f'<div class="preflight"><style>{_STYLE}</style><h1>Pre-flight: {escape(result.mode)}</h1>'
        f"<p><strong>{escape(result.verdict_in_words())}.</strong> Looked at {when}. "
        "The last columns say what a failed line does in each mode.</p>"
        '<table><thead><tr><th scope="col">verdict</th><th scope="col">what</th>'
        f'<th scope="col">seen, why, and how to mend it</th>{others}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(line: Line, result: Result) -> str:
    name = line.verdict.split()[0]
    stops = " stops" if line.blocks(result.mode) else ""
    words = f"{SIGNS[line.verdict]} {line.verdict}" + (" (blocks)" if stops else "")
    text = f'{escape(line.detail)}<br><span class="why">Why: {escape(line.why)}.</span>'
    if line.mend:
        text += f"<br><strong>Mend:</strong> {escape(line.mend)}"
    weights = "".join(f'<td class="weight">{line.severity[mode]}</td>' for mode in MODES)
    return (
        f'<tr id="{escape(line.id)}"><td class="verdict {name}{stops}">{words}</td><td>{escape(line.what)}</td>'
        f"<td>{text}</td>{weights}</tr>"
    )

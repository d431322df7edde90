"""A frame as an HTML table: right-aligned figures with their sign and unit, and the source under it."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

_CSS = """
.ql-table{border-collapse:collapse;font-size:13px;line-height:1.35;font-variant-numeric:tabular-nums;margin:0}
.ql-caption{font-size:12px;color:#6e7781;margin:6px 0 18px}
.ql-table.ql-table th{font-weight:600;text-align:left;padding:4px 10px 4px 0;border-bottom:1.5px solid #6e7781;\
vertical-align:bottom;white-space:nowrap}
.ql-table.ql-table td{padding:3px 10px 3px 0;border-bottom:1px solid rgba(110,119,129,.22);text-align:left;\
white-space:nowrap}
.ql-table.ql-table td.ql-wrap{white-space:normal;min-width:180px}
.ql-table.ql-table .ql-num{text-align:right}
.ql-gain{color:#0072B2}.ql-loss{color:#D55E00}
.ql-table tr.ql-total td{font-weight:600;border-top:1.5px solid #6e7781;border-bottom:none}
"""


@dataclass(frozen=True)
class Column:
    """How one column is shown. `signed` colours gains and losses; `wrap` lets long words break."""

    name: str
    title: str
    format: Callable[[Any], str] = str
    number: bool = True
    signed: bool = False
    wrap: bool = False


def text(name: str, title: str, *, wrap: bool = False) -> Column:
    return Column(name, title, str, number=False, wrap=wrap)


def number(name: str, title: str, places: int = 2, *, signed: bool = False) -> Column:
    """A figure with thousands separators and `places` decimals; with a sign when `signed`."""
    return Column(name, title, lambda value: figure_text(value, places, signed=signed), signed=signed)


def figure_text(value: float, places: int, *, signed: bool = False) -> str:
    """`value` with thousands separators, a true minus, and no sign on what rounds to zero."""
    value = round(value, places) or 0
    return f"{value:{'+' if signed and value else ''},.{places}f}".replace("-", "\N{MINUS SIGN}")


class Table:
    """A polars frame with the columns to show. `.frame` is the data, `write_csv` exports it."""

    def __init__(
        self,
        frame: pl.DataFrame,
        columns: Sequence[Column],
        *,
        source: str,
        caption: str = "",
        total: dict[str, Any] | None = None,
    ) -> None:
        self.frame = frame
        self.columns = tuple(columns)
        self.source = source
        self.caption = caption
        self.total = total

    def write_csv(self, path: Path | str) -> Path:
        """Write the whole frame as CSV, with its source in a column; returns the path."""
        path = Path(path)
        named = "source" in self.frame.columns
        (self.frame if named else self.frame.with_columns(source=pl.lit(self.source))).write_csv(path)
        return path

    def _repr_html_(self) -> str:
        head = "".join(f'<th{_class(column)} scope="col">{html.escape(column.title)}</th>' for column in self.columns)
        rows = [self._row(row) for row in self.frame.iter_rows(named=True)]
        if self.total is not None:
            rows.append(self._row(self.total, "ql-total"))
        words = " · ".join(html.escape(part) for part in (self.caption, self.source) if part)
        return (
            f'<style>{_CSS}</style><div class="ql-scroll" style="overflow-x:auto"><table class="ql-table">'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
            f'<div class="ql-caption">{words}</div>'
        )

    def __repr__(self) -> str:
        return f"{self.frame!r}\n{self.source}"

    def _row(self, row: dict[str, Any], kind: str = "") -> str:
        cells = "".join(_cell(column, row.get(column.name)) for column in self.columns)
        return f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>"


def _cell(column: Column, value: Any) -> str:
    if value is None or value != value:
        return f"<td{_class(column)}>\N{EN DASH}</td>" if column.number else f"<td{_class(column)}></td>"
    tone = ""
    if column.signed and value:
        tone = "ql-gain" if value > 0 else "ql-loss"
    return f"<td{_class(column, tone)}>{html.escape(column.format(value))}</td>"


def _class(column: Column, tone: str = "") -> str:
    names = [name for name in ("ql-num" if column.number else "", "ql-wrap" if column.wrap else "", tone) if name]
    return f' class="{" ".join(names)}"' if names else ""

"""What an answer looks like, field by field, without its values."""

from __future__ import annotations

import re

Shape = dict[str, str]

_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
#: Rows that name themselves: their fields are those of that kind of row, wherever it stands in its list.
_KINDS = ("filterType", "rateLimitType")


def shape_of(value: object) -> Shape:
    """Paths (`symbols[].filters[LOT_SIZE].stepSize`, `[][6]`) and what stands there: "text", "decimal text",
    "integer", "number", "boolean", "null", "list", "object". A path that is read twice with two types names both."""
    found: dict[str, set[str]] = {}
    _walk("", value, found)
    return {path: " or ".join(sorted(kinds)) for path, kinds in sorted(found.items())}


def _walk(path: str, value: object, found: dict[str, set[str]]) -> None:
    found.setdefault(path or "(all)", set()).add(_kind(value))
    if isinstance(value, dict):
        for name, inner in value.items():
            _walk(f"{path}.{name}" if path else str(name), inner, found)
    elif isinstance(value, list) and value and all(isinstance(row, list | dict) for row in value):
        for row in value:
            named = next((row[kind] for kind in _KINDS if kind in row), "") if isinstance(row, dict) else ""
            _walk(f"{path}[{named}]", row, found)
    elif isinstance(value, list):  # a row: each place means something else
        for at, inner in enumerate(value):
            _walk(
                f"{path}[{at}]" if len(value) > 2 or not _is_level(value) else f"{path}[price, quantity]", inner, found
            )


def _is_level(row: list[object]) -> bool:
    return len(row) == 2 and all(isinstance(part, str) for part in row)


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "decimal text" if _DECIMAL.fullmatch(value) else "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return {type(None): "null", list: "list", dict: "object"}[type(value)]

"""The inventory on the screen and in files: JSON, CSV, HTML. It holds no secret."""

from __future__ import annotations

import csv
import html
import io
import json
from pathlib import Path
from typing import Any

from quantlab.model import ConfigurationError
from quantlab.vault.inventory import inventory

_COLUMNS = (
    "label venue environment fingerprint type state state_why created last_rotated last_audited audit permissions "
    "ip_restricted address notes used_by"
).split()


def write_inventory(home: Path, path: Path) -> int:
    """Write the inventory as JSON, CSV or HTML, by the file's suffix; "-" prints JSON. Returns the number of keys."""
    entries = inventory(home)
    suffix = ".json" if str(path) == "-" else path.suffix.lower()
    if suffix == ".json":
        text = json.dumps(entries, indent=2) + "\n"
    elif suffix == ".csv":
        text = _csv(entries)
    elif suffix in (".html", ".htm"):
        text = _html(entries)
    else:
        raise ConfigurationError(f'no format for "{path.suffix}": give a .json, .csv or .html file')
    if str(path) == "-":
        print(text, end="")
    else:
        path.write_text(text, encoding="utf-8")
    return len(entries)


def print_table(entries: list[dict[str, Any]]) -> None:
    """The inventory as a table that folds into a terminal of 80 columns."""
    from rich.console import Console
    from rich.table import Table

    if not entries:
        print("no key in the vault: `quantlab vault add --label LABEL` takes one in")
        return
    table = Table()
    for name in ("label", "where", "state", "may", "audited,\nopened"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        opened = entry["used_by"][0]["last"][:10] if entry["used_by"] else "never"
        bound = {True: "bound to addresses", False: "NOT bound to addresses", None: "address rule not known"}
        table.add_row(
            f"{entry['label']}\n{entry['fingerprint']}",
            entry["environment"],
            entry["state"] + (f": {entry['state_why']}" if entry["state_why"] else ""),
            "\n".join([*(entry["permissions"] or ["not known"]), bound[entry["ip_restricted"]]]),
            f"{(entry['last_audited'] or 'never')[:10]}\n{opened}",
        )
    Console().print(table)


def print_entry(entry: dict[str, Any]) -> None:
    for name, value in entry.items():
        if name == "used_by":
            for use in value:
                times = f"{use['times']} times, last {use['last']} (process {use['last_pid']})"
                print(f"opened by: {use['program']} on {use['machine']} for {use['purpose']}: {times}")
        elif name == "history":
            for event in value:
                print(f"{event['time']}  {event['kind']}  {event['detail']}")
        elif value not in (None, "", []):
            print(f"{name.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _flat(entry: dict[str, Any]) -> list[str]:
    users = "; ".join(f"{use['machine']} {use['program']} {use['last']}" for use in entry["used_by"])
    plain = entry | {"permissions": ", ".join(entry["permissions"] or ()), "used_by": users}
    return ["" if plain[name] is None else str(plain[name]) for name in _COLUMNS]


def _csv(entries: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(map(_flat, entries))
    return text.getvalue()


def _html(entries: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in _flat(entry)) + "</tr>" for entry in entries
    )
    style = "body{font:14px sans-serif}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px 8px}"
    return (
        f'<!doctype html><meta charset="utf-8"><title>Keys</title><style>{style}</style>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>\n"
    )

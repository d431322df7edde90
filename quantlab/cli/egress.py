"""The egress log of a run, looked at: is it as it was written, and what does it say?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from quantlab.ledger import Ledger
    from quantlab.ledger.chain import Verdict

_COUNTS = ("asked", "sent", "shared", "kept", "weight", "refused")


def look(ledger: Ledger, run_id: str, reports: Path) -> dict[str, Any]:
    """Check the log row by row, against the ledger's summary of the run and against its `summary.json`, and count.

    Returns {"ok", "problems", "sent", "refused", "weight", "sent_not_get", "peak_weight_60s", "endpoints", "chain",
    "outside"}: `chain` is the run's ("sealed": a summary says where it ended), `outside` that of the rows of no run.
    Raises NotFound when there is no such run.
    """
    from quantlab.report.traffic import endpoint_table, missing_rows, peak_weight

    run = ledger.run(run_id)
    inside, outside = ledger.check_egress(run_id), ledger.check_egress(None)
    problems = [inside.problem] if inside.problem else []
    beside = _summary_json(reports / run_id / "summary.json")
    if isinstance(beside, str):
        problems.append(beside)
    elif beside is not None and not problems:
        differs = ledger.check_egress(run_id, beside).problem
        problems += [f"summary.json: {differs}"] if differs else []
    rows, counts = ledger.egress(run_id), ledger.egress_counts(run_id)
    summary = run.summary or {}
    by_endpoint = summary.get("requests", {}).get("by_endpoint", {})
    problems += missing_rows(rows, by_endpoint)
    if run.execution == "paper" and counts["sent_not_get"]:
        problems.append(f"{counts['sent_not_get']} requests were not GET: a paper run sends none")
    problems += [f"rows of no run: {outside.problem}"] if outside.problem else []
    return {
        "ok": not problems,
        "problems": problems,
        **counts,
        "peak_weight_60s": peak_weight(rows),
        "endpoints": endpoint_table(rows, by_endpoint).to_dicts(),
        "chain": {**_told(inside), "sealed": "egress_head" in summary.get("requests", {})},
        "outside": _told(outside),
    }


def print_look(found: dict[str, Any]) -> None:
    """The counts as a table, the chain, and what is wrong with either."""
    header = ("asked", "sent", "shared", "kept", "weight", "refused", "", "answers")
    lines = [header, *(_line(row) for row in found["endpoints"])]
    widths = [max(len(line[place]) for line in lines) for place in range(7)]
    for line in lines:
        figures = "  ".join(text.rjust(width) for text, width in zip(line[:6], widths, strict=False))
        print(f"  {figures}  {line[6].ljust(widths[6])}  {line[7]}".rstrip())
    print(
        f"  egress    {found['sent']} requests sent, {found['sent_not_get']} of them not GET, {found['refused']} "
        f"refused; weight {found['weight']}, at most {found['peak_weight_60s']} in any 60 s"
    )
    chain = found["chain"]
    before = f", {chain['before_chain']} before the chain: nothing holds these" if chain["before_chain"] else ""
    sealed = "" if chain["sealed"] else "; no summary says where it ends, so rows cut off there would not be seen"
    print(f"  chain     {chain['rows']} rows{before}, last link {chain['head']}{sealed}")
    if found["outside"]["rows"]:
        print(f"  no run    {found['outside']['rows']} rows, last link {found['outside']['head']}")
    for problem in found["problems"]:
        print(f"  WRONG     {problem}")


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    figures = tuple("" if row[name] is None else str(row[name]) for name in _COUNTS)
    return (*figures, f"{row['method']} {row['host']}{row['path']}", row["statuses"])


def _told(verdict: Verdict) -> dict[str, Any]:
    return verdict._asdict()


def _summary_json(path: Path) -> dict[str, Any] | str | None:
    """What the report's folder holds, None when it holds no summary, words when that cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        return f"{path} cannot be read as a summary ({error})"

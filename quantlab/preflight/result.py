"""What a pre-flight found: lines, and what they mean in a mode. Pure; no text of it holds a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quantlab.redact import redact

if TYPE_CHECKING:
    from quantlab.preflight.facts import Facts

Mode = Literal["paper", "testnet", "live"]
MODES: tuple[Mode, ...] = ("paper", "testnet", "live")
Verdict = Literal["pass", "fail", "unknown", "not applicable"]
Severity = Literal["block", "alert", "info"]
Severities = Mapping[Mode, Severity]


def severities(paper: Severity, testnet: Severity, live: Severity) -> Severities:
    """What a failed line does in each mode: keep the fleet from starting, alert, or just be said."""
    return {"paper": paper, "testnet": testnet, "live": live}


@dataclass(frozen=True, slots=True)
class Found:
    """What one look found. `mend` is the exact command or step; `severity` where this finding weighs other than its
    check usually does."""

    verdict: Verdict
    detail: str
    mend: str = ""
    severity: Severities | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One question of the checklist. `look` may raise: that is an unknown, never a pass."""

    id: str
    what: str
    why: str
    severity: Severities
    look: Callable[[Facts], Found]


@dataclass(frozen=True)
class Line:
    """One answered question: a short title, what was seen, why it matters, and how to mend it, each one line."""

    id: str
    what: str
    verdict: Verdict
    detail: str
    why: str
    mend: str
    severity: Severities

    @property
    def counts(self) -> bool:
        """Whether it failed, or could not be looked at, which is no pass."""
        return self.verdict in ("fail", "unknown")

    def blocks(self, mode: Mode) -> bool:
        """Whether it keeps a fleet from starting. Paper, which uses no key, is stopped by what is known to be wrong
        only; where orders would leave, not knowing is enough."""
        failed = self.verdict == "fail" or (self.verdict == "unknown" and mode != "paper")
        return failed and self.severity[mode] == "block"


@dataclass(frozen=True)
class Result:
    """All lines of one pre-flight, in the order of the checklist. `checked_ms` is the wall clock's, UTC."""

    lines: tuple[Line, ...]
    mode: Mode
    checked_ms: int

    @property
    def blocked(self) -> tuple[Line, ...]:
        """What keeps a fleet from starting in this mode."""
        return tuple(line for line in self.lines if line.blocks(self.mode))

    @property
    def alerts(self) -> tuple[Line, ...]:
        """What should be mended soon, and does not keep a fleet from starting."""
        return tuple(
            line
            for line in self.lines
            if line.counts and not line.blocks(self.mode) and line.severity[self.mode] != "info"
        )

    @property
    def ok(self) -> bool:
        """Whether a fleet may start in this mode."""
        return not self.blocked

    def worst_first(self) -> tuple[Line, ...]:
        """What blocks, what alerts, what failed or is unknown else, then the rest; each in the checklist's order."""

        def rank(line: Line) -> int:
            if line.blocks(self.mode):
                return 0
            if line.counts:
                return {"block": 1, "alert": 1, "info": 2}[line.severity[self.mode]]
            return 3 if line.verdict == "pass" else 4

        return tuple(sorted(self.lines, key=rank))

    def line(self, id: str) -> Line:
        """The line of this id. Raises KeyError."""
        for line in self.lines:
            if line.id == id:
                return line
        raise KeyError(id)

    def verdict_in_words(self) -> str:
        """One line for people."""
        checked = sum(line.verdict != "not applicable" for line in self.lines)
        passed = sum(line.verdict == "pass" for line in self.lines)
        words = f"{passed} of {checked} checks passed for {self.mode}"
        if self.blocked:
            return f"{words}; blocked by: {', '.join(line.what for line in self.blocked)}"
        alerts = f", {len(self.alerts)} to mend soon" if self.alerts else ""
        return f"{words}; nothing blocks{alerts}"

    def to_json(self) -> dict[str, Any]:
        """As plain values that JSON takes."""
        return {
            "mode": self.mode,
            "checked_ms": self.checked_ms,
            "ok": self.ok,
            "blocked": [line.id for line in self.blocked],
            "alerts": [line.id for line in self.alerts],
            "lines": [
                {
                    "id": line.id,
                    "what": line.what,
                    "verdict": line.verdict,
                    "detail": line.detail,
                    "why": line.why,
                    "mend": line.mend,
                    "severity": dict(line.severity),
                }
                for line in self.lines
            ],
        }

    def to_html(self) -> str:
        """A whole page that needs nothing else: no script, no picture, no other address."""
        from quantlab.preflight.page import page

        return page(self)

    def _repr_html_(self) -> str:
        from quantlab.preflight.page import table

        return table(self)


def handed(result: Result) -> dict[str, Any]:
    """What a run's manifest keeps of it."""
    return {
        "checked_ms": result.checked_ms,
        "mode": result.mode,
        "passed": sum(line.verdict == "pass" for line in result.lines),
        "failed": [line.id for line in result.lines if line.counts],
        "blocked": [line.id for line in result.blocked],
    }


def line_of(check: Check, facts: Facts) -> Line:
    """Look, and write down what was found. A look that breaks is an unknown with its reason."""
    try:
        found = check.look(facts)
    except Exception as error:  # one that breaks must not hide the others, nor pass
        reason = str(error) or "no reason was given"
        found = Found(
            "unknown",
            f"could not be looked at ({type(error).__name__}): {reason}",
            "mend what is named here, then look again",
        )
    return Line(
        id=check.id,
        what=check.what,
        verdict=found.verdict,
        detail=_one_line(found.detail),
        why=check.why,
        mend=_one_line(found.mend) if found.verdict in ("fail", "unknown") else "",
        severity=found.severity or check.severity,
    )


def _one_line(text: str) -> str:
    """Masked, and without line ends or what a terminal would obey: labels and errors are others' words."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in redact(text)).split())

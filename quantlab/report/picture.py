"""A drawn figure as a self-contained `<figure>`: the same in a notebook cell, in the HTML report and in a file."""

from __future__ import annotations

import base64
import html
import io
import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

#: Okabe and Ito's palette (2008), told apart with any colour vision: what gained, what lost, and the neutral rest.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#1f2328", "#6e7781", "#d8dee4"

_STYLE: Any = {
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    # Metric-compatible with each other, so that the text fits wherever the SVG is opened.
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "quantlab",
    "text.color": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": PALE,
    "axes.labelcolor": GREY,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#eaeef2",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "path.simplify_threshold": 0.4,
}


class Picture:
    """One figure with its caption and source label.

    Shown as an image with the SVG inside it, never as inline SVG: JupyterLab shows such an image in notebooks that it
    does not trust, and no identifier of one figure can meet that of another.
    """

    def __init__(self, svg: str, *, alt: str, source: str, caption: str = "") -> None:
        self.svg = svg
        self.alt = alt
        self.source = source
        self.caption = caption

    def save(self, path: Path | str) -> Path:
        """Write the SVG to `path` and return it."""
        path = Path(path)
        path.write_text(self.svg, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.svg.encode()).decode()
        words = " · ".join(html.escape(part) for part in (self.caption, self.source) if part)
        return (
            f'<figure class="ql-figure" style="margin:0.5em 0 1.5em">'
            f'<img alt="{html.escape(self.alt, quote=True)}" style="width:100%;max-width:1180px;background:white" '
            f'src="data:image/svg+xml;base64,{data}">'
            f'<figcaption style="font-size:12px;color:#6e7781">{words}</figcaption></figure>'
        )

    def __repr__(self) -> str:
        return f"Picture({self.alt!r}, {self.source!r})"


def drawn(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Decorate a function that draws a figure, so that all of it happens in the style of this file."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Picture:
        from matplotlib import rc_context

        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def blank_figure(
    rows: int = 1, columns: int = 1, *, width: float = 10.6, height: float = 4.0, **subplots: Any
) -> tuple[Figure, Any]:
    """A matplotlib figure and its array of axes (always two-dimensional), outside pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **subplots)


def date_axis(axis: Any) -> None:
    """Ticks in UTC: the day once, then hours."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    days = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%S.%f"]
    axis.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, formats=days, zero_formats=["", "%Y", "%b", "%d %b", "%H:%M", "%H:%M"], show_offset=False
    )
    axis.xaxis.set_major_formatter(formatter)


def finish(figure: Figure, *, alt: str, source: str, caption: str = "") -> Picture:
    """Render `figure` to a Picture."""
    text = io.StringIO()
    # No date in the file: the same data gives the same bytes.
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return Picture(svg[svg.index("<svg") :], alt=alt, source=source, caption=caption)

"""Throwaway environments with what others wrote, from the package registry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: One set that works together (2026-11-24).
BACKTESTS = ("vectorbt==1.2.0", "backtesting==0.6.6", "numba==0.68.1", "numpy==2.4.6", "pandas==3.1.1")
METRICS = ("empyrical-reloaded==0.7.1", "quantstats==0.0.86")


def throwaway(place: Path, *packages: str) -> Path:
    """The interpreter of a new environment in the folder `place` that has `packages`; raises CalledProcessError."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
    python = place / "bin" / "python"
    subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *packages], check=True)
    return python

"""A ledger with two finished runs, written through the real writer; made once for all tests of the room."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from quantlab.model import Source


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """`sample.py` beside this file: a run that could have been."""
    spec = importlib.util.spec_from_file_location("report_sample", Path(__file__).with_name("sample.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, sample: ModuleType) -> Path:
    """A home whose ledger has two runs: "first" (4 h, generated) and "second" (2 h, candles)."""
    folder = tmp_path_factory.mktemp("ledger") / ".quantlab"
    sample.write_run(folder, "first")
    sample.write_run(folder, "second", minutes=120, seed=2, source=Source(kind="candles", name="1m"))
    return folder

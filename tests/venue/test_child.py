"""The venue as a child: it says why it does not start, and ends with its parent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.model import NotFound, QuantlabError
from quantlab.venue import child
from quantlab.venue.child import VenueChild


def test_it_fails_in_the_venues_own_words_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="absent"), VenueChild(data=tmp_path / "absent", derive_filters=True):
        pass
    monkeypatch.setattr(child.sys, "executable", "/bin/false")
    with pytest.raises(QuantlabError, match="did not start"):
        VenueChild().start()


def test_it_ends_when_its_parent_is_killed() -> None:
    code = (
        "import sys\nfrom quantlab.venue.child import VenueChild\n"
        "venue = VenueChild(hours=1)\nvenue.start()\nprint(venue._process.pid, flush=True)\nsys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists() or sys.platform != "linux"
    parent.kill()
    parent.communicate()
    if sys.platform == "linux":
        for _ in range(200):
            if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                return
            subprocess.run(["sleep", "0.05"], check=True)
        raise AssertionError("the venue outlived its parent")

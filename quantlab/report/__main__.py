"""`python -m quantlab.report RUN --home HOME --reports FOLDER`: makes a report and prints its path."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from quantlab.model import QuantlabError
from quantlab.report.build import make_report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m quantlab.report")
    parser.add_argument("run", nargs="+")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--reports", type=Path, required=True)
    arguments = parser.parse_args()
    os.nice(5)  # a report never takes the core of a running fleet
    try:
        print(make_report(arguments.run, home=arguments.home, reports=arguments.reports))
    except QuantlabError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

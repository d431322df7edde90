"""Reports: executed notebooks, converted to HTML that opens offline and fetches nothing.

`make_report` is what the command line calls; `open_run`, `figures`, `sections` and `tables` are what the template
notebooks use, and a notebook of the user's own may.
"""

from quantlab.report.build import make_report, make_slippage_page, report_process
from quantlab.report.data import RunData, open_run, short_source

__all__ = ["RunData", "make_report", "make_slippage_page", "open_run", "report_process", "short_source"]

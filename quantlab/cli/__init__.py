"""The `quantlab` command: one line of help for each verb, one line for each error, exit codes that scripts rely on.

0 done · 1 failed · 2 wrong usage or configuration · 3 refused for safety · 4 exchange unreachable · 5 nothing found ·
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from quantlab.environment import CannotLeave, forbid_core_dumps, leave_environment

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line and exit. Before all else (before the imports too: they take time) the secrets leave the
    environment."""
    forbid_core_dumps()
    try:
        leave_environment()
    except CannotLeave as error:
        print(f"quantlab: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors are one line on stderr; `--debug` shows the traceback too."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    import logging

    import typer

    from quantlab.cli.app import app
    from quantlab.cli.logs import configure
    from quantlab.model.errors import QuantlabError
    from quantlab.redact import RedactingFilter, redact

    configure(as_json=not sys.stderr.isatty())
    if logging.lastResort is not None:  # what somebody logs around our handler goes there
        logging.lastResort.addFilter(RedactingFilter())

    try:
        result = app(args=arguments, prog_name="quantlab", standalone_mode=False)
        if result != INTERRUPTED:  # what typer makes of Ctrl-C
            return result if isinstance(result, int) else 0
        code, line = INTERRUPTED, "interrupted"
    except QuantlabError as error:
        code, line = error.exit_code, str(error)
    except (KeyboardInterrupt, typer.Abort):
        code, line = INTERRUPTED, "interrupted"
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        code, line = 1, _os_error(error)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own usage errors have it; their classes are private
            code, line = 1, f"{type(error).__name__}: {error} (this is a bug: run it again with --debug and report it)"
        else:
            code, line = 2, f"{error.format_message()} (see `quantlab --help`)"
    if debug:
        import traceback

        print(redact(traceback.format_exc()), file=sys.stderr)
    print(f"quantlab: {redact(line)}", file=sys.stderr)
    return code


def _os_error(error: OSError) -> str:
    import errno

    where = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the disk is full{where}: free some space; what was committed is kept, and the same --run-id resumes"
    if error.errno == errno.EACCES:
        return f"permission denied{where}: this user may not write there"
    return f"{error.strerror or error}{where}"

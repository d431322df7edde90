"""The `quantlab` command: one line of help for each verb, one line for each error, exit codes that scripts rely on.

0 done · 1 failed · 2 wrong usage or configuration · 3 refused for safety · 4 exchange unreachable · 5 nothing found ·
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from quantlab.model.errors import QuantlabError

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors are one line on stderr; `--debug` shows the traceback too."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    import click

    from quantlab.cli.app import app

    try:
        result = app(args=arguments, prog_name="quantlab", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except QuantlabError as error:
        code, line = error.exit_code, str(error)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help())
        return 2
    except click.UsageError as error:
        code, line = 2, f"{error.format_message()} (see `quantlab --help`)"
    except (KeyboardInterrupt, click.Abort):
        code, line = INTERRUPTED, "interrupted"
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        code, line = 1, f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    except Exception as error:
        code, line = 1, f"{type(error).__name__}: {error} (this is a bug: run it again with --debug and report it)"
    if debug:
        import traceback

        traceback.print_exc()
    print(f"quantlab: {line}", file=sys.stderr)
    return code

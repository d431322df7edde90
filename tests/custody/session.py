"""A person at a notebook, run as `python session.py FOLDER OUT.ipynb`: opens the workbench, looks at everything about
keys, makes mistakes, asks for verbose tracebacks, prints the environment, tries to pickle what holds secrets. Runs in a
real kernel, with history and widget state kept."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

_PICKLING = """
import copy, pathlib, pickle, cloudpickle
folder = pathlib.Path("pickles"); folder.mkdir(exist_ok=True)
def attempt(name, value):
    for library in (pickle, cloudpickle):
        try:
            (folder / f"{name}-{library.__name__}.pkl").write_bytes(library.dumps(value))
            print(name, library.__name__, "written")
        except Exception as error:
            print(name, library.__name__, type(error).__name__, error)
"""

CELLS = [
    "from quantlab import Workbench\nlab = Workbench.open()\nlab",
    "lab.settings, repr(lab.settings), str(vars(lab.settings))",
    "import logging\nlogging.basicConfig(filename='debug.log', level=logging.DEBUG)\n"
    "logging.getLogger('ccxt').setLevel(logging.DEBUG); logging.getLogger('aiohttp').setLevel(logging.DEBUG)",
    "lab.spreads(books=2).head(3)",
    "lab.vault()",
    "lab.keys()",
    "lab.key_users()",
    "lab.setup_keys('Another', ask=False)",
    "lab.audit()",
    "lab.preflight(ask_exchange=False)",
    "lab.attach().status()",
    "lab.run('one').fills().head(3)",
    "import ipywidgets\nlab.attach().panel()",
    "slider = ipywidgets.IntSlider(description='bots', value=45)\nslider",
    "import os\ndict(os.environ)",
    "%env",
    # Mistakes, and what IPython tells of them.
    "lab.run('no such run')",
    "lab.key('no such key')",
    "%xmode Verbose",
    "from quantlab.vault import Vault\nVault.open(lab.settings.home, 'a-wrong-password-of-nobody')",
    "import quantlab.vault.vault as rooms\nunlock = rooms.unlock\n"
    "def broken(*arguments, **named):\n    raise RuntimeError('broken on purpose')\n",
    "rooms.unlock = broken\nlab.audit()",
    "%tb",
    "rooms.unlock = unlock\nimport quantlab.exchange.custody as custody\naudit, custody.audit = custody.audit, broken",
    "lab.audit()",
    "%tb Verbose",
    "import sys, traceback\nerror = sys.last_value\n"
    "print(''.join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))",
    "custody.audit = audit\nlab.settings.model_copy(update={'market': 'moon'}).model_validate({'market': 'moon'})",
    "%xmode Minimal\n1 / 0",
    # What pickles of the objects that are at hand would carry to a worker, or to a file.
    _PICKLING.strip(),
    "attempt('settings', lab.settings); attempt('workbench', lab); attempt('lambda', lambda: lab.settings.home)",
    "from quantlab.vault.opening import open_vault\nvault = open_vault(lab.settings)\nattempt('vault', vault)",
    "row = vault.rows[0]\nsigner = vault.signer(row.fingerprint, 'a look', audited=False)\n"
    "attempt('signer', signer); attempt('row', row); attempt('frame', lab.keys().frame)",
    "vars(vault), repr(signer), str(signer), vault.rows",
    "vault.close(); lab.close()",
]


def main(folder: Path, out: Path) -> None:
    notebook = new_notebook(cells=[new_markdown_cell("# A day"), *map(new_code_cell, CELLS)])
    notebook.metadata["title"] = "A day"
    client = NotebookClient(
        notebook,
        kernel_name="quantlab",
        timeout=90,
        allow_errors=True,
        ipython_hist_file="",  # as JupyterLab starts it: with its history
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    nbformat.write(notebook, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

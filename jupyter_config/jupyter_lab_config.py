"""JupyterLab as quantlab opens it: on loopback, behind a token, asking nobody outside for anything."""

import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821 - given by traitlets

c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port_retries = 0
c.ServerApp.root_dir = str(Path(__file__).resolve().parents[1])
c.ServerApp.allow_root = hasattr(os, "getuid") and os.getuid() == 0
c.ServerApp.terminals_enabled = False
c.LabApp.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
# Kernels listen on loopback; the channel is authenticated by the connection file, which is the user's alone.
c.MultiKernelManager.default_kernel_name = "quantlab"
# A notebook or file with a secret in it is not written: see save_hook.py. An ordinary exception in this file would be
# logged, and JupyterLab started without the hook.
sys.path.insert(0, str(Path(__file__).resolve().parent))
try:
    from save_hook import GuardedContents
except Exception as error:
    raise SystemExit(f"quantlab: notebooks would be saved unchecked: {error!r} in save_hook.py") from error

c.ServerApp.contents_manager_class = GuardedContents

"""Python imports this at its start when its folder is on PYTHONPATH; the system's own sitecustomize, if there is one, comes after it."""

import importlib.machinery
import importlib.util
import os
import sys

import headroom_trace

headroom_trace.install()

_here = os.path.dirname(os.path.abspath(__file__))
_other = importlib.machinery.PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path or ".") != _here])
if _other is not None and _other.loader is not None:
    _other.loader.exec_module(importlib.util.module_from_spec(_other))

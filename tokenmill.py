"""tokenmill for Python users: `tokenmill.read("runs/**").points` is a DataFrame. `python3 -m tokenmill` is the command line, installed or not.

Names are loaded when first asked for: `import tokenmill` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profiler.economics.derive import Derived, derive_run
    from profiler.economics.prices import PricePick, load_price_book, pick_price
    from profiler.notebook import Reading, frame, read
    from profiler.record.store import Run
    from triton_kernels.errors import TokenmillError
    from workloads.model_spec import ModelSpec
    from workloads.read_model import read_model

# Public name -> the module that defines it.
_HOME = {
    "Derived": "profiler.economics.derive",
    "ModelSpec": "workloads.model_spec",
    "PricePick": "profiler.economics.prices",
    "Reading": "profiler.notebook",
    "Run": "profiler.record.store",
    "TokenmillError": "triton_kernels.errors",
    "derive_run": "profiler.economics.derive",
    "frame": "profiler.notebook",
    "load_price_book": "profiler.economics.prices",
    "pick_price": "profiler.economics.prices",
    "read": "profiler.notebook",
    "read_model": "workloads.read_model",
}

__all__ = [
    "Derived", "ModelSpec", "PricePick", "Reading", "Run", "TokenmillError", "derive_run", "frame", "load_price_book", "pick_price", "read", "read_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tokenmill' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


if __name__ == "__main__":
    from profiler.cli import main

    main()

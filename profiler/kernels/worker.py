"""A process that compiles and reads kernels, without TRITON_INTERPRET: JSON lines in, JSON lines out.

Requests: {"do": "list", ...what Inspector takes} -> {"event": "listed", "variants": N}; {"do": "inspect", "index": I} -> {"event": "inspected", "row": {...}}.
A failure is {"event": "error", "kind": user or bug, "message": ...}. Ends when stdin does.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import TYPE_CHECKING, Any

from profiler.worker import Events

if TYPE_CHECKING:
    from profiler.kernels.inspector import Inspector


def serve() -> None:
    events = Events()
    inspector: Inspector | None = None
    for line in sys.stdin:
        try:
            inspector, answer = _answered(inspector, json.loads(line))
        except Exception as e:
            from profiler.kernels.inspector import reason

            traceback.print_exc()
            kind, message = reason(e)
            answer = {"event": "error", "kind": kind, "message": message}
        events.send(**answer)


def _answered(inspector: Inspector | None, request: dict[str, Any]) -> tuple[Inspector | None, dict[str, Any]]:
    if request.pop("do") == "list":
        from profiler.kernels.inspector import Inspector

        inspector = Inspector(**request)
        return inspector, {"event": "listed", "variants": len(inspector.entries)}
    assert inspector is not None, "inspect before list"
    return inspector, {"event": "inspected", "row": inspector.row(request["index"])}


if __name__ == "__main__":
    serve()

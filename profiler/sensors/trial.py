"""The process that puts known loads on the GPU while a thread looks at its sensors: `python -m profiler.sensors.trial`, started by `doctor --sensors`.

One request as a JSON line on stdin: {"device": cuda or cpu, "model": name or null, "budget_s": seconds}. Answers as JSON lines on stdout: progress events with
what was recorded since the last one (`add`: machine, times and plan at first; trace, samples, stretches, call_s, left_out, failed and done after each part),
then `done`, or `error` (kind: user, bug). Free text goes to stderr. Ends with its parent, at any moment: when stdin ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback

from profiler.sensors.failure import said
from profiler.worker import Events
from triton_kernels.errors import TokenmillError


def serve() -> None:
    """Answers one request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C may reach the whole group; the parent ends this process
    events = Events()
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    began_s = time.monotonic()
    try:
        from profiler.sensors.parts import Trial

        request = json.loads(line)
        Trial(request, events, ends_s=began_s + request["budget_s"]).run()
        events.send("done")
    except TokenmillError as e:
        events.send("error", kind="user", message=str(e))
    except Exception as e:
        traceback.print_exc()
        events.send("error", kind="bug", message=said(e))


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve()
    sys.stderr.flush()
    os._exit(0)  # the thread that reads stdin sits there, and a lost CUDA context must not hang the exit

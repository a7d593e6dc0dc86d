"""Parts that are one command whose answer is one JSON document: `sensors` -> sensors.json, `sampling` -> sampling.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from profiler.evidence import child
from profiler.evidence.call import Turn
from profiler.evidence.text import ROOT, shown

_SENSORS_BESIDE_S = {"cuda": 25.0, "cpu": 5.0}  # its own start and end, beside what --time-budget is of
TRACE = "sensors.jsonl.gz"


def sensors(turn: Turn) -> bool:
    """What the power sensors do under known loads, with every look at them: `tokenmill doctor --sensors --replay sensors.jsonl.gz` works it out again."""
    call = turn.call
    budget = max(5, int(turn.left_s - _SENSORS_BESIDE_S[call.device]))
    words = ("--sensors", "--device", call.device, "--model", call.model, "--time-budget", f"{budget}s", "--trace", TRACE, "--json")
    return _document(turn, child.tokenmill("doctor", *words), "sensors.json")


def sampling(turn: Turn) -> bool:
    """The step with and without the sampler, as a ratio."""
    command = [sys.executable, str(ROOT / "scripts" / "sampling_overhead"), turn.call.model, "--device", turn.call.device]
    command += ["--pairs", "3", "--window", "0.2", "--batch", "2", "--context", "64"] if turn.call.rehearsal else ["--batch", "32", "--context", "4096"]
    return _document(turn, command, "sampling.json")


def _document(turn: Turn, command: Sequence[str], name: str) -> bool:
    part = name.removesuffix(".json")
    print(f"$ {shown(command)}", flush=True)
    ended = child.run(command, seconds=turn.left_s, interrupted=turn.call.interrupted, cwd=turn.call.out)
    try:
        found = json.loads(ended.out)
    except ValueError:
        turn.left_out.append(f"{part} ({ended.why or f'ended with {ended.code} and said nothing'})")
        return ended.why == child.INTERRUPTED
    turn.call.write(name, {"command": shown(command), **found})
    if ended.why:
        turn.left_out.append(f"the end of {part} ({ended.why})")
    turn.left_out.extend(f"{part}: {line}" for line in found.get("left_out") or ())
    return ended.why is not None or ended.code == 0

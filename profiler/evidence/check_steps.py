"""Every operation of whole steps against its reference, on the steps' own tensors, in a process of its own: what is measured is what was checked.

    python3 -m profiler.evidence.check_steps deepseek-r1 fp8 8 cuda decode:32x4096 prefill:1x2048        one JSON line an operation

Model, recipe, expert-parallel size, device, steps. At the least depth that has every kind of layer twice: the first has no residual to add to.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from profiler.evidence.check_operation import POISONED, answers, arch_of
from profiler.evidence.text import without_paths

if TYPE_CHECKING:
    from workloads.shape import StepShape
    from workloads.steps import StepRunner

_LAYERS = 2  # of each kind, where there are as many


def main() -> int:
    import torch

    from workloads.decoder import Decoder
    from workloads.deployment import deployment_of
    from workloads.depth import kind_of_layer, reduced
    from workloads.read_model import read_model
    from workloads.steps import StepRunner, build_decoder

    name, precision, ep, device = sys.argv[1:5]
    model = read_model(name)
    kinds = [kind_of_layer(model, i) for i in range(model.layers)]
    model, _ = reduced(model, min(_LAYERS, *map(kinds.count, kinds)))
    deployment = deployment_of(precision=precision, ep=int(ep), arch=arch_of(device))
    decoder: Decoder | None = None
    for shape in map(shape_of, sys.argv[5:]):
        step = {"model": name, "precision": precision, "ep": int(ep), "phase": shape.phase, "batch": shape.batch, "context": shape.context}
        try:
            decoder = decoder or build_decoder(model, deployment, torch.device(device), seed=0, positions=model.max_positions)
            runner = StepRunner(model, deployment, shape, torch.device(device), decoder=decoder)
            for row in _rows(runner):
                print(json.dumps(step | row), flush=True)
        except Exception as e:  # whatever a kernel does wrong is a row of the evidence; the steps behind it have their turn
            print(json.dumps(step | {"op": None, "part": None, "ok": False, "raised": without_paths(f"{type(e).__name__}: {str(e)[:300]}")}), flush=True)
            if not answers(device):
                return POISONED
    return 0


def shape_of(text: str) -> StepShape:
    """`decode:32x4096` as a step: phase, batch, context."""
    from workloads.shape import StepShape

    phase, _, sizes = text.partition(":")
    batch, _, context = sizes.partition("x")
    return StepShape(phase=phase, batch=int(batch), context=int(context))


def _rows(runner: StepRunner) -> Iterator[dict[str, Any]]:
    """The sizes of a call are told where it is wrong."""
    import torch

    from workloads.step_correctness import check_step

    for part, found in check_step(runner):
        torch.cuda.empty_cache()  # the references' copies: another process checks at the same time
        finite = math.isfinite(found.error)
        row: dict[str, Any] = {"op": found.op, "part": part, "error": found.error if finite else None, "tolerance": found.tolerance, "ok": found.ok}
        yield row | ({} if finite else {"not_finite": str(found.error)}) | ({} if found.ok else {"case": {k: str(v) for k, v in found.case.items()}})


if __name__ == "__main__":
    sys.exit(main())

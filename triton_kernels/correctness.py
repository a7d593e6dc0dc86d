"""Does a kernel equal its meaning? The same check runs under the interpreter in the tests and on a GPU for the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from triton_kernels.operation import Operation

# Allowed error as a share of the reference's norm: a few units in the last place of what the output is stored in (bf16 2^-8, fp16 2^-11).
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


@dataclass(frozen=True, kw_only=True)
class Check:
    """The largest error of one operation on one case, beside what is allowed; integers must be equal."""

    op: str
    case: dict[str, Any]
    dtype: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # False for NaN


def check(op: Operation, case: dict[str, Any], dtype: torch.dtype, device: torch.device, *, seed: int = 0) -> Check:
    """Runs `op.launch` on random inputs with poisoned outputs and compares with `op.reference` in wider arithmetic."""
    generator = torch.Generator().manual_seed(seed)
    inputs = op.inputs(generator=generator, dtype=dtype, **case)
    wider = torch.float64 if dtype == torch.float32 else torch.float32
    ours = {k: _map(v, lambda t: t.to(device)) for k, v in inputs.items()}
    theirs = {k: _map(v, lambda t: t.to(wider) if t.dtype == dtype else t.clone()) for k, v in inputs.items()}
    want = _results(op, op.reference(**theirs), theirs)
    with _Poisoned():
        got = _results(op, op.launch(**ours), ours)
    assert len(got) == len(want), (op.name, len(got), len(want))
    error = max((_error(g, w) for g, w in zip(got, want, strict=True)), default=0.0)
    return Check(op=op.name, case=case, dtype=str(dtype).removeprefix("torch."), error=error, tolerance=TOLERANCE[dtype])


def _map(value: Any, f: Any) -> Any:
    return f(value.clone()) if isinstance(value, torch.Tensor) else value


def _results(op: Operation, outputs: Any, arguments: dict[str, Any]) -> list[torch.Tensor]:
    """What the call left behind: its live outputs, then the arguments it wrote in place."""
    if op.live is not None:
        outputs = op.live(outputs, **arguments)
    tensors: list[torch.Tensor] = [] if outputs is None else [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    return tensors + [arguments[name] for name in op.mutates if arguments[name] is not None]


class _Poisoned:
    """Fresh allocations hold NaN (the largest value for integers), so that an element nobody wrote shows."""

    def __enter__(self) -> None:
        self._before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True, warn_only=True)

    def __exit__(self, *exc: object) -> None:
        torch.use_deterministic_algorithms(self._before)


def _error(got: torch.Tensor, want: torch.Tensor) -> float:
    """‖got − want‖ / ‖want‖ in fp64 where both are numbers; NaN must meet NaN (slots nobody may touch); integers: share that differs."""
    assert got.shape == want.shape, (got.shape, want.shape)
    got = got.detach().cpu()
    want = want.detach().cpu()
    if got.numel() == 0:
        return 0.0
    if not got.is_floating_point():
        return (got != want).double().mean().item()
    got, want = got.double(), want.double()
    if not torch.equal(got.isnan(), want.isnan()):
        return float("nan")
    got, want = got.nan_to_num(), want.nan_to_num()
    norm = want.norm().item()
    return float((got - want).norm().item() / norm if norm else got.norm().item())

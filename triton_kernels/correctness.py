"""Does a kernel equal its meaning? The same check runs under the interpreter in the tests and on a GPU for the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from triton_kernels.formats import ELEMENTS, FORMATS, Element, format_of
from triton_kernels.operation import Operation
from triton_kernels.product import product_of
from triton_kernels.results import decode_result
from triton_kernels.target import INTERPRETED_CHIP, Chip, launching_as

# Allowed error as a share of the reference's norm: a few units in the last place of what the output is stored in (bf16 2^-8, fp16 2^-11).
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


def dtypes_of(case: dict[str, Any]) -> tuple[torch.dtype, ...]:
    """The step's types that a case is worth checking in: where x comes as codes, its results are bf16 whatever the type."""
    return (torch.bfloat16,) if case.get("x_format") else tuple(TOLERANCE)


def multiplied(case: dict[str, Any], dtype: torch.dtype, arch: int) -> bool:
    """Whether compute capability `arch` / 10 has instructions for the case's formats."""
    if not case.get("w_format"):
        return True
    plain = format_of(dtype)
    x = FORMATS[case["x_format"]] if case.get("x_format") else plain
    assert x is not None, dtype
    return product_of(x, FORMATS[case["w_format"]], arch) is not None


def tolerance_of(dtype: torch.dtype, element: Element | None) -> float:
    """Of a result computed in `dtype` and stored as `element` (None: as `dtype`).

    An error e before rounding moves the share e / step of the codes by one step: sqrt(e / step) x step of the norm.
    """
    return TOLERANCE[dtype] if element is None else (TOLERANCE[dtype] * 2.0**-element.mantissa_bits) ** 0.5


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
    """One case: its random inputs, drawn and referred to on the CPU, the kernel on `device`."""
    inputs = op.inputs(generator=torch.Generator().manual_seed(seed), dtype=dtype, **case)
    return check_call(op, inputs, dtype, device, case=case)


def check_call(op: Operation, arguments: dict[str, Any], dtype: torch.dtype, device: torch.device, *, case: dict[str, Any]) -> Check:
    """The kernel on `device` with poisoned outputs against `op.reference` in wider arithmetic, where the arguments lie. They stay as they are.

    On a GPU twice: as a step calls it, and with the grids of a chip of few SMs, so that persistent kernels go round more than once at small sizes too.
    """
    wider = torch.float64 if dtype == torch.float32 else torch.float32
    theirs = {k: v.to(wider) if isinstance(v, torch.Tensor) and v.dtype == dtype else _copied(v, None) for k, v in arguments.items()}
    want = _results(op, op.reference(**theirs), theirs)
    pairs = [(0.0, TOLERANCE[dtype])]
    for run, chip in _ways(op, device):
        ours = {k: _copied(v, device) for k, v in arguments.items()}
        with _Poisoned(), launching_as(chip):
            got = _results(op, run(**ours), ours)
        assert len(got) == len(want), (op.name, len(got), len(want))
        pairs += [(_error(g, w), tolerance_of(dtype, element)) for (g, element), (w, _) in zip(got, want, strict=True)]
    # The worst beside what it is allowed; NaN is worse than any.
    error, tolerance = max(pairs, key=lambda pair: float("inf") if pair[0] != pair[0] else pair[0] / pair[1])
    return Check(op=op.name, case=case, dtype=str(dtype).removeprefix("torch."), error=error, tolerance=tolerance)


def _ways(op: Operation, device: torch.device) -> list[tuple[Any, Chip | None]]:
    if device.type != "cuda":
        return [(op.launch, None)]  # on CPU tensors the operation itself is its reference
    major, minor = torch.cuda.get_device_capability(device)
    return [(op, None), (op.launch, Chip(arch=major * 10 + minor, sm_count=INTERPRETED_CHIP.sm_count))]


def _copied(value: Any, device: torch.device | None) -> Any:
    """A tensor's copy with what lies around it in memory (NaN that no kernel may read), and its strides."""
    if not isinstance(value, torch.Tensor):
        return value
    whole = torch.empty(0, dtype=value.dtype, device=value.device).set_(value.untyped_storage())
    return whole.to(device or value.device, copy=True).as_strided(value.size(), value.stride(), value.storage_offset())


def _results(op: Operation, outputs: Any, arguments: dict[str, Any]) -> list[tuple[torch.Tensor, Element | None]]:
    """What the call left behind, each with the element it was rounded to (None: the step's own type): its live outputs, then the arguments it wrote in place.

    Values in a format with scales are compared by what they stand for: a scale that was rounded the other way changes every code and hardly a value.
    """
    element, in_place = None, [name for name in op.mutates if arguments[name] is not None]
    out_format, y_scale = arguments.get("out_format"), arguments.get("y_scale")
    if out_format and y_scale is not None:
        element = FORMATS[out_format].element
        outputs = decode_result(outputs, out_format, y_scale)
        in_place.remove("y_scale")
    if op.live is not None:
        outputs = op.live(outputs, **arguments)
    tensors: list[torch.Tensor] = [] if outputs is None else [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    return [(t, element) for t in tensors] + [(arguments[name], _codes_of(arguments[name])) for name in in_place]


def _codes_of(x: torch.Tensor) -> Element | None:
    """The element of a tensor of codes that share one scale, as a KV cache's do: their error is the values'."""
    return ELEMENTS["e4m3"] if x.dtype == torch.float8_e4m3fn else None


class _Poisoned:
    """Fresh allocations hold NaN (the largest value for integers), so that an element nobody wrote shows."""

    def __enter__(self) -> None:
        self._before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True, warn_only=True)

    def __exit__(self, *exc: object) -> None:
        torch.use_deterministic_algorithms(self._before)


def _error(got: torch.Tensor, want: torch.Tensor) -> float:
    """‖got − want‖ / ‖want‖ in fp64 where both are numbers; NaN must meet NaN (slots nobody may touch); integers must be equal: infinite where one is not."""
    assert got.shape == want.shape, (got.shape, want.shape)
    got, want = got.detach().to(want.device), want.detach()
    if got.numel() == 0:
        return 0.0
    if not got.is_floating_point():
        return 0.0 if torch.equal(got, want) else float("inf")
    got, want = got.double(), want.double()
    if not torch.equal(got.isnan(), want.isnan()):
        return float("nan")
    got, want = got.nan_to_num(), want.nan_to_num()
    norm = want.norm().item()
    return float((got - want).norm().item() / norm if norm else got.norm().item())

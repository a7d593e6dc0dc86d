"""Reading one matrix of a checkpoint with the scales that lie beside it, in the layouts in which quantized checkpoints are published.

    X, X_scale_inv                 e4m3, fp32 or e8m0 per 128 x 128     DeepSeek-V3 (README_WEIGHTS.md), Qwen3 FP8, Kimi-K2
    X, X_scale                     e4m3, uint8 of e8m0 per 32           mxfp8 of TensorRT Model Optimizer and llm-compressor
    X, X_scale, X_scale_2          two e2m1 to a byte, e4m3 per 16, and one fp32 for all: value = code x scale x scale_2. NVFP4 of TensorRT Model Optimizer
    X_blocks, X_scales             two e2m1 to a byte, uint8 of e8m0 per 32, each in a dimension of its own: gpt-oss

In all of them the low nibble of a byte is the earlier value. Everything read is untrusted: TokenmillError names the tensor.
"""

from __future__ import annotations

import torch

from triton_kernels.codes import E8M0_NAN
from triton_kernels.formats import FORMATS, Format
from workloads.checkpoint_files import CheckpointFiles
from workloads.coded import Coded, plain_tensor

_PLAIN = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_BROKEN = "; download the checkpoint again"


def read_tensor(files: CheckpointFiles, tensor: str, dims: tuple[int, ...], *, at: int | None = None) -> Coded:
    """The tensor `tensor`, as config.json's `dims` should have it; with `at` only that index of its first dimension, `dims` being the whole's."""
    if tensor not in files:
        for suffix in ("_packed", "_blocks"):
            if f"{tensor}{suffix}" in files:
                raise files.error(f"{tensor}{suffix}", "is in a quantized format that tokenmill does not decode; use a bf16 checkpoint")
    stored = files.stored_type(tensor)
    if stored == "U8":
        return _nvfp4(files, tensor, dims, at)
    if stored == "F8_E4M3" and f"{tensor}_scale" in files and f"{tensor}_scale_inv" not in files:
        return _mxfp8(files, tensor, dims, at)
    values = files.read(tensor, dims, at=at)
    if stored == "F8_E4M3" and values.dim() == 2:
        return _fp8_blocks(files, tensor, values, dims, at)
    if values.dtype not in _PLAIN:
        raise files.error(tensor, f"is {_name(values.dtype)}, which tokenmill does not decode here; use a bf16 checkpoint")
    return plain_tensor(values)


def read_gpt_oss(files: CheckpointFiles, tensor: str, dims: tuple[int, int, int], expert: int) -> Coded:
    """One expert of gpt-oss' mxfp4, whose tensors hold all of them, rows outputs."""
    experts, rows, columns = dims
    fmt, blocks, scales = FORMATS["mxfp4"], f"{tensor}_blocks", f"{tensor}_scales"
    groups = _groups(files, blocks, columns, fmt)
    values = files.read(blocks, (experts, rows, groups, fmt.group // fmt.per_byte), at=expert)
    scale = files.read(scales, (experts, rows, groups), at=expert)
    for name, found in ((blocks, values), (scales, scale)):
        _expect(files, name, found, torch.uint8, fmt)
    return Coded(format=fmt, values=values.flatten(-2), scale=_checked_e8m0(files, scales, scale))


def read_scalar(files: CheckpointFiles, tensor: str) -> torch.Tensor:
    """A scale for everything, fp32 [1]: a finite number above 0."""
    value = files.read(tensor, (), (1,)).reshape(1)
    if value.dtype != torch.float32:
        raise files.error(tensor, f"is {_name(value.dtype)}, not the float32 of a global scale{_BROKEN}")
    if not bool(torch.isfinite(value).all()) or not bool((value > 0).all()):
        raise files.error(tensor, f"holds {value.item():g}, no finite scale above 0{_BROKEN}")
    return value


def _fp8_blocks(files: CheckpointFiles, tensor: str, values: torch.Tensor, dims: tuple[int, ...], at: int | None) -> Coded:
    fmt, name = FORMATS["fp8_128x128"], f"{tensor}_scale_inv"
    *experts, rows, columns = dims
    size = fmt.group
    scale = files.read(name, (*experts, -(-rows // size), -(-columns // size)), at=at)
    return Coded(format=fmt, values=values, scale=_checked(files, name, scale).repeat_interleave(size, 0)[:rows])


def _mxfp8(files: CheckpointFiles, tensor: str, dims: tuple[int, ...], at: int | None) -> Coded:
    fmt, name = FORMATS["mxfp8"], f"{tensor}_scale"
    if files.stored_type(name) not in ("U8", "F8_E8M0"):
        raise files.error(name, "is no uint8 of mxfp8; use such a checkpoint, one in fp8 blocks of 128 x 128 (weight_scale_inv), or in bf16")
    groups = _groups(files, tensor, dims[-1], fmt)
    values, scale = files.read(tensor, dims, at=at), files.read(name, (*dims[:-1], groups), at=at).view(torch.uint8)
    return Coded(format=fmt, values=values, scale=_checked_e8m0(files, name, scale))


def _nvfp4(files: CheckpointFiles, tensor: str, dims: tuple[int, ...], at: int | None) -> Coded:
    fmt, name = FORMATS["nvfp4"], f"{tensor}_scale"
    groups = _groups(files, tensor, dims[-1], fmt)
    values = files.read(tensor, (*dims[:-1], dims[-1] // fmt.per_byte), at=at)
    scale = files.read(name, (*dims[:-1], groups), at=at)
    _expect(files, name, scale, torch.float8_e4m3fn, fmt)
    _checked(files, name, scale)
    return Coded(format=fmt, values=values, scale=scale, whole=read_scalar(files, f"{tensor}_scale_2").view(1, 1))


def _groups(files: CheckpointFiles, tensor: str, columns: int, fmt: Format) -> int:
    if columns % fmt.group:
        raise files.error(tensor, f"is in groups of {fmt.group}, which do not divide config.json's {columns} columns; use a bf16 checkpoint")
    return columns // fmt.group


def _expect(files: CheckpointFiles, tensor: str, values: torch.Tensor, dtype: torch.dtype, fmt: Format) -> None:
    if values.dtype != dtype:
        raise files.error(tensor, f"is {_name(values.dtype)}, not the {_name(dtype)} of {fmt.name}; use a bf16 checkpoint")


def _checked(files: CheckpointFiles, tensor: str, scale: torch.Tensor) -> torch.Tensor:
    """Scales in fp32: finite numbers, none below 0."""
    if not scale.is_floating_point():
        raise files.error(tensor, f"is {_name(scale.dtype)}, no floating-point type of scales; use a bf16 checkpoint")
    values = scale.float()
    if not bool(torch.isfinite(values).all()):
        raise files.error(tensor, f"holds scales that are not finite numbers{_BROKEN}")
    if bool((values < 0).any()):
        raise files.error(tensor, f"holds scales below 0{_BROKEN}")
    return values


def _checked_e8m0(files: CheckpointFiles, tensor: str, codes: torch.Tensor) -> torch.Tensor:
    if bool((codes == E8M0_NAN).any()):
        raise files.error(tensor, f"holds scales that are not numbers{_BROKEN}")
    return codes


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

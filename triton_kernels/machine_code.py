"""What a compiled kernel's machine code says: registers, spills, which instructions it holds. Importable without torch; the tools are in Triton's wheel."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from triton_kernels.errors import TokenmillError
from triton_kernels.sass import families, parse, spills_in_main_loops

READER = 1  # counts up whenever the same cubin would be read differently: kept readings of an older reader are not used

_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_SECONDS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineCode:
    """Of one kernel.

    `spill_bytes`: per thread, the frame in local memory (STACK of cuobjdump). Triton kernels keep nothing else there, and n_spills of Triton's metadata,
    which says the same, is known only once a GPU has loaded the kernel.
    """

    registers: int  # per thread
    spill_bytes: int
    instructions: dict[str, int]  # families of triton_kernels.sass
    spills_in_main_loop: int  # instructions

    @property
    def spill_instructions(self) -> int:
        return self.instructions.get("STL", 0) + self.instructions.get("LDL", 0)


def triton_version() -> str:
    try:
        return version("triton")
    except PackageNotFoundError:
        raise TokenmillError("needs triton, whose compiler and disassembler it uses; pip install 'triton>=3.6'") from None


def tool(name: str) -> Path:
    """cuobjdump, nvdisasm or ptxas of the Triton that would be imported."""
    found = find_spec("triton")
    folder = None if found is None or found.origin is None else Path(found.origin).parent / "backends" / "nvidia" / "bin"
    if folder is None or not (folder / name).is_file():
        raise TokenmillError(f"found no {name} in an installed triton; pip install 'triton>=3.6' (its Linux wheel has it)")
    return folder / name


def read_machine_code(cubin: bytes) -> MachineCode:
    """Disassembles a cubin; 0.3 to 0.5 s."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        done = subprocess.run([tool("cuobjdump"), "-sass", "-res-usage", path], capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        raise TokenmillError(_refusal(done.stderr))
    return machine_code(done.stdout)


def machine_code(text: str) -> MachineCode:
    """What `cuobjdump -sass -res-usage` of one kernel says."""
    usage = _USAGE.search(text)
    code = parse(text)
    if usage is None or not code:
        raise TokenmillError("cuobjdump's answer holds no resource usage or no instructions; is it another version's?")
    registers, stack, _, local = (int(number) for number in usage.groups())
    return MachineCode(registers=registers, spill_bytes=stack + local, instructions=families(code), spills_in_main_loop=spills_in_main_loops(code))


def _refusal(complaint: str) -> str:
    unknown = re.search(r"Cannot decode architecture '(\w+)'", complaint)
    if unknown:
        return f"the disassembler of triton {triton_version()} cannot read {unknown[1].lower()}; install a newer triton (3.9 can)"
    return f"cuobjdump: {' '.join(complaint.split())[:200] or 'failed without a word'}"


_WGMMA = re.compile(r"wgmma\.mma_async\.[\w.]*?\.(?:f32|f16|s32)\.(\w+)\.\w+")
_TCGEN05 = re.compile(r"tcgen05\.mma\.[\w.:]*?kind::(\w+)")
_MMA_SYNC = re.compile(r"mma\.sync\.aligned\.m\w+\.row\.col((?:\.[\w:]+)+)")
_TYPES = {"f16": "fp16", "f32": "fp32"}


def tensor_core_kinds(ptx: str) -> list[str]:
    """Tensor-core instructions of PTX by the names of triton_kernels.product: "wgmma e4m3", "tcgen05 mxf4nvf4", "mma.sync bf16"."""
    found = {f"wgmma {_TYPES.get(kind, kind)}" for kind in _WGMMA.findall(ptx)} | {f"tcgen05 {kind}" for kind in _TCGEN05.findall(ptx)}
    return sorted(found | {f"mma.sync {_mma_sync_kind(modifiers)}" for modifiers in _MMA_SYNC.findall(ptx)})


def _mma_sync_kind(modifiers: str) -> str:
    kind = re.search(r"kind::(\w+)", modifiers)
    if kind is None:
        operand = modifiers.split(".")[2]  # .f32.bf16.bf16.f32: the sum's, then the operands'
        return _TYPES.get(operand, operand)
    # e2m1 with a scale in ue8m0 for every 32 is mxfp4, though PTX calls both mxf4nvf4 here.
    return "mxf4" if kind[1] == "mxf4nvf4" and modifiers.endswith("ue8m0") else kind[1]

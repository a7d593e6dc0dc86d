"""Every operation, by name: the one table that tests, evidence and plans go through."""

from triton_kernels.add_norm import add_norm
from triton_kernels.operation import Operation

OPERATIONS: dict[str, Operation] = {op.name: op for op in (add_norm,)}

"""Every operation, by name: the one table that tests, evidence and plans go through."""

from triton_kernels.add_norm import add_norm
from triton_kernels.all_reduce import all_reduce
from triton_kernels.all_to_all import all_to_all
from triton_kernels.attention import attention
from triton_kernels.combine import combine
from triton_kernels.dispatch import dispatch
from triton_kernels.embedding import embedding
from triton_kernels.grouped_matmul import grouped_matmul
from triton_kernels.matmul import matmul
from triton_kernels.operation import Operation
from triton_kernels.rope_kv_write import rope_kv_write
from triton_kernels.route import route
from triton_kernels.sample import sample

OPERATIONS: dict[str, Operation] = {
    op.name: op
    for op in (
        add_norm,
        all_reduce,
        all_to_all,
        attention,
        combine,
        dispatch,
        embedding,
        grouped_matmul,
        matmul,
        rope_kv_write,
        route,
        sample,
    )
}

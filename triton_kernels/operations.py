"""Every operation, by name: the one table that tests, evidence and plans go through."""

from triton_kernels.add_norm import add_norm
from triton_kernels.all_gather import all_gather
from triton_kernels.all_reduce import all_reduce
from triton_kernels.attention import attention
from triton_kernels.combine import combine
from triton_kernels.concat_norm import concat_norm
from triton_kernels.dispatch import dispatch
from triton_kernels.embedding import embedding
from triton_kernels.ep_combine import ep_combine
from triton_kernels.ep_dispatch import ep_dispatch
from triton_kernels.expanded_attention import expanded_attention
from triton_kernels.gather_rows import gather_rows
from triton_kernels.grouped_matmul import grouped_matmul
from triton_kernels.head_matmul import head_matmul
from triton_kernels.latent_attention import latent_attention
from triton_kernels.latent_gather import latent_gather
from triton_kernels.latent_kv_write import latent_kv_write
from triton_kernels.matmul import matmul
from triton_kernels.operation import Operation
from triton_kernels.quantize import quantize
from triton_kernels.rope_kv_write import rope_kv_write
from triton_kernels.route import route
from triton_kernels.sample import sample

OPERATIONS: dict[str, Operation] = {
    op.name: op
    for op in (
        add_norm,
        all_gather,
        all_reduce,
        attention,
        combine,
        concat_norm,
        dispatch,
        embedding,
        ep_combine,
        ep_dispatch,
        expanded_attention,
        gather_rows,
        grouped_matmul,
        head_matmul,
        latent_attention,
        latent_gather,
        latent_kv_write,
        matmul,
        quantize,
        rope_kv_write,
        route,
        sample,
    )
}

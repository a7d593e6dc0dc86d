"""What variants may spill: the table that `tokenmill kernels --inspect --check` compares machine code with. What is not in it may not spill.

By the variant's name (triton_kernels.expected_code.key_of) and the version of Triton from which on it holds: bytes per thread, and spill instructions
inside the main loop. An entry is debt, with its reason; lower it when a kernel gets better.
"""

ALLOWED_SPILLS: dict[str, dict[str, tuple[int, int]]] = {
    # 128 heads of a 64 x 512 sum: half an SM's registers. Two halves of 256 would fit; whether they are faster only a GPU tells.
    "latent_attention sm_100 bf16 HEADS=128 C=512 D=64 PAGE=64 ROWS=64 KV=32 BLOCK_C=512 BLOCK_D=64 warps=8 stages=2": {"3.6.0": (152, 4), "3.9.0": (200, 0)},
    "latent_attention sm_100 bf16e4m3 HEADS=128 C=512 D=64 PAGE=64 ROWS=64 KV=32 BLOCK_C=512 BLOCK_D=64 warps=8 "
    "stages=2": {"3.6.0": (312, 45), "3.9.0": (400, 45)},
    "latent_attention sm_90 bf16 HEADS=128 C=512 D=64 PAGE=64 ROWS=64 KV=32 BLOCK_C=512 BLOCK_D=64 warps=8 stages=2": {"3.6.0": (264, 0), "3.9.0": (40, 0)},
    "latent_attention sm_90 bf16e4m3 HEADS=128 C=512 D=64 PAGE=64 ROWS=64 KV=32 BLOCK_C=512 BLOCK_D=64 warps=8 "
    "stages=2": {"3.6.0": (968, 119), "3.9.0": (848, 153)},
    # gpt-oss in fp8, which nobody serves: its 2880 columns put up's rows in the middle of a block, so that scales are vectors.
    "grouped_matmul sm_90 blocks fp8_1x128xfp8_128x128 OUT_FORMAT=fp8_1x128 OUT_GROUP=128 GATHER=True "
    "ACTIVATION=clamped_swiglu EXPERTS=128 ROWS=64 OUTPUTS=128 INPUTS=128 warps=8 stages=3": {"3.6.0": (8, 0), "3.9.0": (8, 0)},
    "grouped_matmul sm_100 blocks fp8_1x128xfp8_128x128 OUT_FORMAT=fp8_1x128 OUT_GROUP=128 GATHER=True "
    "ACTIVATION=clamped_swiglu EXPERTS=128 ROWS=64 OUTPUTS=128 INPUTS=128 warps=8 stages=3": {"3.6.0": (496, 52), "3.9.0": (432, 52)},
    # A few bytes outside the loops, where a tile is set up or finished.
    "attention sm_100 bf16e4m3 GROUP=8 DIM=64 PAGE=64 ROWS=128 KV=64 BLOCK_D=64 DIAGONAL_APART=True OUT_GROUP=1 warps=8 "
    "stages=2": {"3.6.0": (8, 0), "3.9.0": (8, 0)},
    "attention_combine sm_100 e4m3 DIM=128 BLOCK_D=128 SPLITS=64 CHUNK=16 OUT_FORMAT=nvfp4 OUT_GROUP=16 warps=4": {"3.6.0": (8, 0), "3.9.0": (8, 0)},
    "grouped_matmul sm_100 bf16 GATHER=True ACTIVATION=clamped_swiglu EXPERTS=128 ROWS=128 OUTPUTS=128 INPUTS=64 EVEN_K=True "
    "warps=8 stages=4": {"3.6.0": (32, 0), "3.9.0": (0, 0)},
    "grouped_matmul sm_100 blocks fp8_1x128xfp8_128x128 OUT_FORMAT=fp8_1x128 OUT_GROUP=128 ONE_BLOCK=True GATHER=True "
    "ACTIVATION=swiglu EXPERTS=32 ROWS=16 OUTPUTS=128 INPUTS=128 SWAP=True EVEN_K=True warps=4 stages=3": {"3.6.0": (40, 0), "3.9.0": (0, 0)},
    "grouped_matmul sm_100 native mxfp8 ACTIVATION=none EXPERTS=128 ROWS=16 OUTPUTS=128 INPUTS=128 SWAP=True EVEN_K=True "
    "warps=4 stages=3": {"3.6.0": (8, 0), "3.9.0": (0, 0)},
    "grouped_matmul sm_100 native mxfp8 OUT_FORMAT=mxfp8 OUT_GROUP=32 GATHER=True ACTIVATION=clamped_swiglu EXPERTS=128 "
    "ROWS=128 OUTPUTS=128 INPUTS=128 warps=8 stages=3": {"3.6.0": (24, 0), "3.9.0": (16, 0)},
    "grouped_matmul sm_100 native nvfp4 OUT_FORMAT=nvfp4 OUT_GROUP=16 GATHER=True ACTIVATION=clamped_swiglu EXPERTS=128 "
    "ROWS=16 OUTPUTS=128 INPUTS=128 SWAP=True warps=4 stages=3": {"3.6.0": (8, 0), "3.9.0": (0, 0)},
    "matmul sm_100 bf16 ACTIVATION=none ROWS=32 OUTPUTS=128 INPUTS=64 SWAP=True EVEN_K=True warps=4 stages=5": {"3.6.0": (8, 0), "3.9.0": (0, 0)},
    "matmul sm_100 native mxfp8 OUT_FORMAT=mxfp8 OUT_GROUP=32 ACTIVATION=swiglu ROWS=32 OUTPUTS=128 INPUTS=128 SWAP=True "
    "EVEN_K=True warps=8 stages=3": {"3.6.0": (8, 0), "3.9.0": (0, 0)},
    "matmul sm_100 native nvfp4 OUT_FORMAT=nvfp4 OUT_GROUP=16 ACTIVATION=swiglu ROWS=32 OUTPUTS=128 INPUTS=128 SWAP=True "
    "EVEN_K=True warps=8 stages=3": {"3.9.0": (8, 0)},
}

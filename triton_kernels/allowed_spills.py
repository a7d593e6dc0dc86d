"""What variants may spill: the table that `tokenmill kernels --inspect --check` compares machine code with. What is not in it may not spill.

By the variant's name (triton_kernels.expected_code.key_of) and the version of Triton from which on it holds: bytes per thread, and spill instructions
inside the main loop. An entry is debt, with its reason; lower it when a kernel gets better.
"""

ALLOWED_SPILLS: dict[str, dict[str, tuple[int, int]]] = {}

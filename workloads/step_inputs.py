"""What a step reads beside the weights: its inputs and the cache.

Shapes: T tokens, S sequences, M pages per sequence, L layers, J choices per token, Y tokens of the expert-parallel group, E experts of this rank, P cache
pages,
B slots per page, G key/value heads, D head dim, W width of a latent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class StepInputs:
    """What changes from step to step. All int32 unless said otherwise."""

    ids_T: torch.Tensor
    positions_T: torch.Tensor
    slots_T: torch.Tensor  # where each token's K and V go: page * B + offset
    block_table_SM: torch.Tensor
    query_start_S1: torch.Tensor
    context_len_S: torch.Tensor
    context_start_S1: torch.Tensor  # prefix sums of context_len_S
    context_tokens: int  # the last of them, known on the host
    last_row_S: torch.Tensor | None  # rows whose logits are wanted; None: every row (decode)
    next_ids_T: torch.Tensor | None  # what follows each token, for a multi-token-prediction module; None: what the step samples (decode)
    forced_ids_LTJ: torch.Tensor | None  # drawn experts of this rank's tokens; None: the router decides
    drawn_ids_LYJ: torch.Tensor | None  # drawn experts of the whole group's tokens, where other ranks are emulated
    uniform_S: torch.Tensor  # fp32 in [0, 1), one per sampled row
    offsets_LE1: torch.Tensor  # written by the step: where each expert's rows begin
    max_query_len: int


@dataclass(frozen=True, kw_only=True)
class KvCache:
    """The paged cache: of each layer keys and values (k_PGBD, v_PGBD), or latents alone (latent_PBW)."""

    layers: tuple[tuple[torch.Tensor, ...], ...]

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(pages for layer in self.layers for pages in layer)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is chosen. Greedy by default, as vLLM's and SGLang's benchmarks run."""

    temperature: float = 0.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0

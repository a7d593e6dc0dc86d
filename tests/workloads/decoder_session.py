"""A decoder stepped by any number of tokens of several sequences at a time, as a server would."""

from pathlib import Path

import numpy as np
import torch

from workloads.decoder import Decoder
from workloads.deployment import Deployment
from workloads.inputs import PAGE_SLOTS, offsets_dims
from workloads.model_spec import ModelSpec
from workloads.planning import make_cache
from workloads.read_model import read_model
from workloads.shape import StepShape
from workloads.step_inputs import Sampling, StepInputs
from workloads.steps import build_decoder

CPU = torch.device("cpu")
CONTEXT = 128
DEPLOYMENT = Deployment(precision="fp32")


def load(folder: Path, *, mtp: bool = False, deployment: Deployment = DEPLOYMENT) -> tuple[ModelSpec, Decoder]:
    spec = read_model(str(folder))
    assert spec.weights == "files"
    return spec, build_decoder(spec, deployment, CPU, seed=0, positions=512, mtp=mtp)


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    """The largest difference, in standard deviations of what is wanted."""
    assert got.shape == want.shape, (got.shape, want.shape)
    return ((got - want).abs().max() / want.std()).item()


class Session:
    """A few sequences with their own cache pages."""

    def __init__(self, spec: ModelSpec, decoder: Decoder, sequences: int, deployment: Deployment = DEPLOYMENT) -> None:
        self.mtp = decoder.mtp is not None
        self.spec, self.decoder = spec, decoder
        self.shape = StepShape(phase="prefill", batch=sequences, context=CONTEXT, mtp=self.mtp)
        self.cache = make_cache(spec, deployment, self.shape, CPU)
        for pages in self.cache.tensors:
            pages.fill_(float("nan"))  # nothing may read a slot that no token wrote
        pages_each = CONTEXT // PAGE_SLOTS
        self.block_table_SM = np.random.default_rng(5).permutation(sequences * pages_each).reshape(sequences, pages_each)
        self.lengths = [0] * sequences

    def step(self, tokens: list[list[int]]) -> torch.Tensor:
        """Logits of every given token, sequence after sequence."""
        inputs = self._inputs(tokens, None)
        with torch.inference_mode():
            logits, ids = self.decoder.step(inputs, self.cache, Sampling())
        assert torch.equal(ids, logits.argmax(-1).int())  # greedy
        return logits

    def step_and_draft(self, tokens: list[list[int]], following: list[list[int]] | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(logits, ids, draft logits) of every given token. `following`: what comes after each of them; None: what the step samples."""
        inputs = self._inputs(tokens, following)
        with torch.inference_mode():
            logits, ids, draft_logits, draft_ids = self.decoder.step_and_draft(inputs, self.cache, Sampling())
        assert torch.equal(ids, logits.argmax(-1).int())
        assert torch.equal(draft_ids, draft_logits.argmax(-1).int())
        return logits, ids, draft_logits

    def _inputs(self, tokens: list[list[int]], following: list[list[int]] | None) -> StepInputs:
        starts = self.lengths
        self.lengths = [start + len(t) for start, t in zip(starts, tokens, strict=True)]
        positions = [np.arange(start, end) for start, end in zip(starts, self.lengths, strict=True)]
        slots = [self.block_table_SM[s, p // PAGE_SLOTS] * PAGE_SLOTS + p % PAGE_SLOTS for s, p in enumerate(positions)]

        def put(values: object) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values), dtype=torch.int32)

        return StepInputs(
            ids_T=put([i for t in tokens for i in t]),
            positions_T=put(np.concatenate(positions)),
            slots_T=put(np.concatenate(slots)),
            block_table_SM=put(self.block_table_SM),
            query_start_S1=put(np.cumsum([0] + [len(t) for t in tokens])),
            context_len_S=put(self.lengths),
            context_start_S1=put(np.cumsum([0, *self.lengths])),
            context_tokens=sum(self.lengths),
            last_row_S=None,
            next_ids_T=None if following is None else put([i for t in following for i in t]),
            forced_ids_LTJ=None,
            drawn_ids_LYJ=None,
            uniform_S=torch.zeros(sum(len(t) for t in tokens)),
            offsets_LE1=torch.zeros(offsets_dims(self.spec, DEPLOYMENT, self.shape), dtype=torch.int32),
            max_query_len=max(len(t) for t in tokens),
        )

"""Multi-token prediction against a second implementation: norms, concatenation and head in plain torch around Hugging Face's own DeepSeek layer."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.workloads.decoder_session import Session, error, load
from triton_kernels.errors import TokenmillError

TOLERANCE = 1e-4  # of the logits' standard deviation
LAYERS, HIDDEN, VOCAB, EPS = 2, 48, 131, 1e-5


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * (x.pow(2).mean(-1, keepdim=True) + EPS).rsqrt() * weight


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A model of Hugging Face's with a multi-token-prediction module beside it."""

    model: torch.nn.Module
    block: torch.nn.Module
    own: dict[str, torch.Tensor]

    @torch.no_grad()
    def draft(self, tokens: list[int], following: list[int]) -> torch.Tensor:
        """Logits of what comes after `following`, at every position."""
        hidden = self.model.model(torch.tensor([tokens])).last_hidden_state  # behind the model's last norm
        embedded = self.model.model.embed_tokens(torch.tensor([following]))
        both = torch.cat((rms_norm(embedded, self.own["enorm.weight"]), rms_norm(hidden, self.own["hnorm.weight"])), -1)
        x = both @ self.own["eh_proj.weight"].T
        positions = torch.arange(len(tokens))[None]
        unseen = torch.full((len(tokens), len(tokens)), float("-inf")).triu(1)[None, None]
        x = self.block(x, attention_mask=unseen, position_ids=positions, position_embeddings=self.model.model.rotary_emb(x, positions))
        out: torch.Tensor = self.model.lm_head(rms_norm(x, self.own["shared_head.norm.weight"]))[0]
        return out


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3DecoderLayer

    config = DeepseekV3Config(
        hidden_size=HIDDEN, num_attention_heads=6, num_key_value_heads=6, num_hidden_layers=LAYERS, vocab_size=VOCAB, intermediate_size=80,
        max_position_embeddings=512, rms_norm_eps=EPS, q_lora_rank=20, kv_lora_rank=24, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10,
        first_k_dense_replace=1, n_routed_experts=8, num_experts_per_tok=3, n_group=4, topk_group=2, moe_intermediate_size=40, n_shared_experts=1,
        num_nextn_predict_layers=1, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )  # fmt: skip
    config._attn_implementation = "eager"
    torch.manual_seed(1)
    model = DeepseekV3ForCausalLM(config).float().eval()
    block = DeepseekV3DecoderLayer(config, LAYERS).float().eval()
    own = {f"{name}.weight": torch.ones(HIDDEN) for name in ("enorm", "hnorm", "shared_head.norm")} | {"eh_proj.weight": torch.empty(HIDDEN, 2 * HIDDEN)}
    with torch.no_grad():
        for name, values in (*model.named_parameters(), *block.named_parameters(), *own.items()):
            values.normal_(1.0 if "norm" in name else 0.0, 0.3 if values.dim() == 1 else values.shape[-1] ** -0.5)
        for name, values in (*model.named_buffers(), *block.named_buffers()):
            if name.endswith("e_score_correction_bias"):
                values.normal_(0.0, 0.3)
    folder = tmp_path_factory.mktemp("mtp")
    model.save_pretrained(folder)
    duplicates = {"embed_tokens.weight": model.model.embed_tokens.weight, "shared_head.head.weight": model.lm_head.weight}
    module = {**own, **published(block), **duplicates}
    save_file({f"model.layers.{LAYERS}.{name}": values.detach().contiguous().clone() for name, values in module.items()}, folder / "mtp.safetensors")
    return folder, Reference(model=model, block=block, own=own)


def published(block: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The layer's tensors under their published names: transformers holds all experts in one tensor."""
    tensors = dict(block.state_dict())
    gate_up, down = tensors.pop("mlp.experts.gate_up_proj"), tensors.pop("mlp.experts.down_proj")
    for e in range(gate_up.shape[0]):
        gate, up = gate_up[e].chunk(2)
        tensors |= {f"mlp.experts.{e}.gate_proj.weight": gate, f"mlp.experts.{e}.up_proj.weight": up, f"mlp.experts.{e}.down_proj.weight": down[e]}
    return tensors


def sequences() -> list[list[int]]:
    rng = np.random.default_rng(11)
    return [rng.integers(0, VOCAB, n).tolist() for n in (40, 2, 23)]


def test_drafts_of_a_prompt(saved: tuple[Path, Reference]) -> None:
    """Every position drafts from the token that follows it."""
    folder, reference = saved
    spec, decoder = load(folder, mtp=True)
    tokens, following = [t[:-1] for t in sequences()], [t[1:] for t in sequences()]
    logits, _, drafts = Session(spec, decoder, 3).step_and_draft(tokens, following)
    assert error(drafts, torch.cat([reference.draft(t, f) for t, f in zip(tokens, following, strict=True)])) <= TOLERANCE
    with torch.no_grad():
        assert error(logits, torch.cat([reference.model(torch.tensor([t])).logits[0] for t in tokens])) <= TOLERANCE


def test_drafts_while_decoding(saved: tuple[Path, Reference]) -> None:
    """A prompt in two chunks, then tokens one by one, each drafting from what the step has just sampled and from the drafts' own cache."""
    folder, reference = saved
    spec, decoder = load(folder, mtp=True)
    session = Session(spec, decoder, 1)
    tokens = sequences()[0]
    for first, last in ((0, 7), (7, 38)):
        session.step_and_draft([tokens[first:last]], [tokens[first + 1 : last + 1]])
    tokens = tokens[:39]
    for _ in range(4):
        _, ids, drafts = session.step_and_draft([tokens[-1:]], None)
        sampled = int(ids[0])
        assert error(drafts[0], reference.draft(tokens, [*tokens[1:], sampled])[-1]) <= TOLERANCE
        tokens = [*tokens, sampled]


def test_a_module_that_the_checkpoint_lacks_is_missed_by_name(saved: tuple[Path, Reference], tmp_path: Path) -> None:
    folder, _ = saved
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(TokenmillError, match=rf"'model\.layers\.{LAYERS}\.enorm\.weight' is missing"):
        load(tmp_path, mtp=True)


def test_a_model_with_a_module_may_run_without_it(saved: tuple[Path, Reference]) -> None:
    folder, reference = saved
    spec, decoder = load(folder)
    tokens = sequences()
    with torch.no_grad():
        want = torch.cat([reference.model(torch.tensor([t])).logits[0] for t in tokens])
    assert error(Session(spec, decoder, 3).step(tokens), want) <= TOLERANCE

"""Each family's tensors in tokenmill's layout, and a rank's part of them. Values are numbers of rows or elements, so that an order can be read off."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from triton_kernels.errors import TokenmillError
from triton_kernels.formats import FORMATS
from workloads.checkpoint import CheckpointWeights
from workloads.checkpoint_names import modules_of
from workloads.model_spec import Gqa, Mla, ModelSpec, Moe
from workloads.recipe import Use
from workloads.rope import Rope
from workloads.weights import Cut

GQA = Gqa(heads=4, kv_heads=2, head_dim=2)
MLA = Mla(heads=2, query_rank=3, latent_rank=2, nope_dim=1, rope_dim=4, value_dim=2)
MOE = Moe(layers=frozenset({0}), experts=3, top_k=1, intermediate=2)


def spec_of(model_type: str, attention: Gqa | Mla = GQA, **changes: object) -> ModelSpec:
    spec = ModelSpec(
        name="tiny", model_type=model_type, layers=2, hidden=3, vocab=6, attention=attention, moe=MOE, dense_intermediate=4, mtp_modules=0,
        tied_embeddings=False, rope=Rope(theta=1e4, dim=attention.rotary_dim), rms_norm_eps=1e-6, max_positions=64, quantization=None, folder=None,
    )  # fmt: skip
    return replace(spec, **changes)


def rows(first: int, count: int, columns: int = 3) -> torch.Tensor:
    """count x columns, each row filled with its number."""
    return torch.arange(first, first + count).float()[:, None].expand(count, columns).contiguous()


def count_up(*dims: int) -> torch.Tensor:
    return torch.arange(torch.Size(dims).numel()).float().view(dims)


def weights(folder: Path, spec: ModelSpec, **tensors: torch.Tensor) -> CheckpointWeights:
    """Over one file; `__` in a keyword stands for a dot."""
    return over(folder, spec, {name.replace("__", "."): values for name, values in tensors.items()})


def over(folder: Path, spec: ModelSpec, tensors: dict[str, torch.Tensor]) -> CheckpointWeights:
    save_file(tensors, folder / "model.safetensors")
    use = Use(weight=FORMATS["fp32"], takes=FORMATS["fp32"])
    return CheckpointWeights(spec, folder, use_of=lambda name, dims: use, device=torch.device("cpu"))


def test_queries_keys_and_values_are_stacked_and_cut_by_head(tmp_path: Path) -> None:
    """4 query heads of 2 rows, then 2 key heads, then 2 value heads; a rank of two has query heads 2 and 3, key head 1, value head 1."""
    attention = {"q": (0, 8), "k": (100, 4), "v": (200, 4)}
    stored = {f"model.layers.1.self_attn.{x}_proj.weight": rows(*numbers) for x, numbers in attention.items()}
    read = over(tmp_path, spec_of("llama"), stored)
    whole = read("layers.1.qkv", 16, 3, std=None)
    assert whole[:, 0].tolist() == [*range(8), *range(100, 104), *range(200, 204)]
    part = read("layers.1.qkv", 16, 3, std=None, cuts=(Cut(dim=0, ranges=((4, 8), (10, 12), (14, 16))),))
    assert part[:, 2].tolist() == [4, 5, 6, 7, 102, 103, 202, 203]
    read.refuse_leftovers()


def test_an_odd_share_of_a_stack_is_refused_by_name(tmp_path: Path) -> None:
    """Gate one row short and up one row long: together they would fit."""
    stored = {"model.layers.0.mlp.gate_proj.weight": rows(0, 3), "model.layers.0.mlp.up_proj.weight": rows(0, 5)}
    with pytest.raises(TokenmillError, match=r"'model.layers.0.mlp.gate_proj.weight' has shape \[3, 3\], which does not fit config.json's \[4, 3\]"):
        over(tmp_path, spec_of("llama"), stored)("layers.0.mlp.gate_up", 8, 3, std=None)


def test_columns_are_cut(tmp_path: Path) -> None:
    read = weights(tmp_path, spec_of("llama"), model__embed_tokens__weight=count_up(6, 3), model__layers__0__self_attn__o_proj__weight=count_up(3, 8))
    assert read("embedding", 6, 3, std=None, cuts=(Cut(dim=1, ranges=((1, 2),)),)).tolist() == [[1], [4], [7], [10], [13], [16]]
    assert read("layers.0.o", 3, 8, std=None, cuts=(Cut(dim=1, ranges=((4, 8),)),)).tolist() == [[4, 5, 6, 7], [12, 13, 14, 15], [20, 21, 22, 23]]


def test_deepseeks_rotated_rows_become_halves(tmp_path: Path) -> None:
    """A head's 5 query rows: one without position, then two interleaved pairs, (1, 2) and (3, 4), whose firsts come first: 1, 3, 2, 4."""
    attention = "model.layers.0.self_attn."
    stored = {
        f"{attention}q_a_proj.weight": rows(0, 3), f"{attention}kv_a_proj_with_mqa.weight": rows(100, 6), f"{attention}q_b_proj.weight": rows(0, 10),
        f"{attention}kv_b_proj.weight": rows(0, 6, 2),
    }  # fmt: skip
    read = over(tmp_path, spec_of("deepseek_v3", MLA), stored)
    assert read("layers.0.q_a_kv_a", 9, 3, std=None)[:, 1].tolist() == [0, 1, 2, 100, 101, 102, 104, 103, 105]
    assert read("layers.0.q_b", 10, 3, std=None)[:, 1].tolist() == [0, 1, 3, 2, 4, 5, 6, 8, 7, 9]
    assert read("layers.0.q_b", 10, 3, std=None, cuts=(Cut(dim=0, ranges=((5, 10),)),))[:, 1].tolist() == [5, 6, 8, 7, 9]
    assert read("layers.0.kv_b", 2, 3, 2, std=None)[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read("layers.0.kv_b", 2, 3, 2, std=None, cuts=(Cut(dim=0, ranges=((1, 2),)),))[..., 1].tolist() == [[3, 4, 5]]
    read.refuse_leftovers()


def test_a_query_without_low_rank_has_the_latents_projection_alone(tmp_path: Path) -> None:
    attention = "model.layers.0.self_attn."
    stored = {f"{attention}kv_a_proj_with_mqa.weight": rows(100, 6), f"{attention}q_proj.weight": rows(0, 10)}
    read = over(tmp_path, spec_of("deepseek_v3", replace(MLA, query_rank=None)), stored)
    assert read("layers.0.q_a_kv_a", 6, 3, std=None)[:, 1].tolist() == [100, 101, 102, 104, 103, 105]
    assert read("layers.0.q", 10, 3, std=None)[:, 1].tolist() == [0, 1, 3, 2, 4, 5, 6, 8, 7, 9]
    read.refuse_leftovers()


PER_EXPERT = {
    "qwen3_moe": ("mlp.experts.{}.gate_proj.weight", "mlp.experts.{}.up_proj.weight", "mlp.experts.{}.down_proj.weight", "mlp.gate.weight"),
    "deepseek_v3": ("mlp.experts.{}.gate_proj.weight", "mlp.experts.{}.up_proj.weight", "mlp.experts.{}.down_proj.weight", "mlp.gate.weight"),
    "mixtral": (
        "block_sparse_moe.experts.{}.w1.weight", "block_sparse_moe.experts.{}.w3.weight", "block_sparse_moe.experts.{}.w2.weight",
        "block_sparse_moe.gate.weight",
    ),
}  # fmt: skip


def experts_of(model_type: str, numbers: range) -> dict[str, torch.Tensor]:
    """Expert e's gate rows are 10 e and 10 e + 1, its up rows 10 e + 2 and 10 e + 3, its down 100 e + 0 .. 5."""
    gate, up, down, router = (f"model.layers.0.{name}" for name in PER_EXPERT[model_type])
    stored = {router: rows(50, 3)}
    for e in numbers:
        stored |= {gate.format(e): rows(10 * e, 2), up.format(e): rows(10 * e + 2, 2), down.format(e): count_up(3, 2) + 100 * e}
    return stored


@pytest.mark.parametrize("model_type", PER_EXPERT)
def test_experts_of_their_own_are_stacked(tmp_path: Path, model_type: str) -> None:
    read = over(tmp_path, spec_of(model_type), experts_of(model_type, range(3)))
    assert read("layers.0.experts.gate_up", 3, 4, 3, std=None)[..., 0].tolist() == [[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]
    assert read("layers.0.experts.down", 3, 3, 2, std=None)[2].tolist() == [[200, 201], [202, 203], [204, 205]]
    assert read("layers.0.router", 3, 3, std=None)[:, 0].tolist() == [50, 51, 52]
    read.refuse_leftovers()


@pytest.mark.parametrize("model_type", PER_EXPERT)
def test_a_rank_reads_its_experts_and_its_part_of_each(tmp_path: Path, model_type: str) -> None:
    """Experts 0 and 1 of three, the second half of their width; expert 2 need not even be there."""
    read = over(tmp_path, spec_of(model_type), experts_of(model_type, range(2)))
    here = Cut(dim=0, ranges=((0, 2),))
    gate_up = read("layers.0.experts.gate_up", 3, 4, 3, std=None, cuts=(here, Cut(dim=1, ranges=((1, 2), (3, 4)))))
    assert gate_up[..., 0].tolist() == [[1, 3], [11, 13]]
    down = read("layers.0.experts.down", 3, 3, 2, std=None, cuts=(here, Cut(dim=2, ranges=((1, 2),))))
    assert down[..., 0].tolist() == [[1, 3, 5], [101, 103, 105]]
    with pytest.raises(TokenmillError, match=r"experts\.2\.\S+ is missing"):
        read("layers.0.experts.down", 3, 3, 2, std=None)


@pytest.mark.parametrize("model_type", PER_EXPERT)
def test_experts_in_one_tensor_are_taken_as_they_are(tmp_path: Path, model_type: str) -> None:
    stored = {"model.layers.0.mlp.experts.gate_up_proj": count_up(3, 4, 3), "model.layers.0.mlp.experts.down_proj": count_up(3, 3, 2)}
    read = over(tmp_path, spec_of(model_type), {**stored, "model.layers.0.mlp.gate.weight": rows(50, 3)})
    assert torch.equal(read("layers.0.experts.gate_up", 3, 4, 3, std=None), count_up(3, 4, 3))
    assert read("layers.0.experts.down", 3, 3, 2, std=None, cuts=(Cut(dim=0, ranges=((2, 3),)),)).tolist() == [[[12, 13], [14, 15], [16, 17]]]
    assert read("layers.0.router", 3, 3, std=None)[:, 0].tolist() == [50, 51, 52]
    read.refuse_leftovers()


def test_gpt_oss_experts_are_turned_and_gates_put_first(tmp_path: Path) -> None:
    """Expert 0 of gate_up: inputs are rows 0 1 2 3, 4 5 6 7, 8 9 10 11; the even columns are gates. Of down: inputs are rows 0 1 2 and 3 4 5."""
    experts = "model.layers.0.mlp.experts."
    stored = {
        f"{experts}gate_up_proj": count_up(3, 3, 4), f"{experts}gate_up_proj_bias": count_up(3, 4), f"{experts}down_proj": count_up(3, 2, 3),
        f"{experts}down_proj_bias": count_up(3, 3), "model.layers.0.mlp.router.weight": rows(50, 3), "model.layers.0.mlp.router.bias": count_up(3),
        "model.layers.0.self_attn.sinks": count_up(4),
    }  # fmt: skip
    read = over(tmp_path, spec_of("gpt_oss"), stored)
    gate_up = read("layers.0.experts.gate_up", 3, 4, 3, std=None)
    assert gate_up[0].tolist() == [[0, 4, 8], [2, 6, 10], [1, 5, 9], [3, 7, 11]]
    assert gate_up[2].tolist() == [[24, 28, 32], [26, 30, 34], [25, 29, 33], [27, 31, 35]]
    assert read("layers.0.experts.gate_up_bias", 3, 4, std=None).tolist() == [[0, 2, 1, 3], [4, 6, 5, 7], [8, 10, 9, 11]]
    assert read("layers.0.experts.down", 3, 3, 2, std=None)[0].tolist() == [[0, 3], [1, 4], [2, 5]]
    here = (Cut(dim=0, ranges=((1, 2),)), Cut(dim=1, ranges=((0, 1), (2, 3))))
    assert read("layers.0.experts.gate_up", 3, 4, 3, std=None, cuts=here).tolist() == [[[12, 16, 20], [13, 17, 21]]]
    assert read("layers.0.experts.gate_up_bias", 3, 4, std=None, cuts=here).tolist() == [[4, 5]]
    assert torch.equal(read("layers.0.experts.down_bias", 3, 3, std=None), count_up(3, 3))
    assert torch.equal(read("layers.0.router", 3, 3, std=None), rows(50, 3))
    assert torch.equal(read("layers.0.router_bias", 3, std=None), count_up(3))
    assert read("layers.0.sinks", 4, std=None, cuts=(Cut(dim=0, ranges=((2, 4),)),)).tolist() == [2, 3]
    read.refuse_leftovers()


def test_the_multi_token_prediction_module_stands_behind_the_last_layer(tmp_path: Path) -> None:
    own = {"enorm.weight": count_up(3), "hnorm.weight": count_up(3) + 10, "eh_proj.weight": count_up(3, 6), "shared_head.norm.weight": count_up(3) + 20}
    block = {
        "input_layernorm.weight": count_up(3) + 30, "self_attn.o_proj.weight": count_up(3, 4), "mlp.gate.e_score_correction_bias": count_up(3) + 40,
        "mlp.shared_experts.gate_proj.weight": rows(0, 2), "mlp.shared_experts.up_proj.weight": rows(2, 2),
    }  # fmt: skip
    duplicates = {"embed_tokens.weight": count_up(6, 3), "shared_head.head.weight": count_up(6, 3)}
    stored = {f"model.layers.2.{name}": values for name, values in {**own, **block, **duplicates}.items()}
    read = over(tmp_path, spec_of("deepseek_v3", MLA, mtp_modules=1), stored)
    read.refuse_leftovers()  # a model may run without it
    assert read("mtp.0.embedding_norm", 3, std=None).tolist() == [0, 1, 2]
    assert read("mtp.0.hidden_norm", 3, std=None).tolist() == [10, 11, 12]
    assert torch.equal(read("mtp.0.projection", 3, 6, std=None), count_up(3, 6))
    assert read("mtp.0.norm", 3, std=None).tolist() == [20, 21, 22]
    assert read("mtp.0.block.attention_norm", 3, std=None).tolist() == [30, 31, 32]
    assert torch.equal(read("mtp.0.block.o", 3, 4, std=None), count_up(3, 4))
    assert read("mtp.0.block.router_correction", 3, std=None).tolist() == [40, 41, 42]
    assert read("mtp.0.block.shared.gate_up", 4, 3, std=None)[:, 0].tolist() == [0, 1, 2, 3]
    with pytest.raises(TokenmillError, match="holds 11 tensors"):
        over(tmp_path, spec_of("deepseek_v3", MLA), stored).refuse_leftovers()


def test_what_a_model_is_complete_without(tmp_path: Path) -> None:
    stored = {"lm_head.weight": count_up(6, 3), "model.layers.0.self_attn.rotary_emb.inv_freq": count_up(1)}
    over(tmp_path, spec_of("llama", tied_embeddings=True), stored).refuse_leftovers()
    with pytest.raises(TokenmillError, match=r"holds 1 tensors this model does not have, such as 'lm_head.weight'"):
        over(tmp_path, spec_of("llama"), stored).refuse_leftovers()


def test_a_language_model_inside_another_has_its_prefix(tmp_path: Path) -> None:
    stored = {"language_model.model.norm.weight": count_up(3), "vision_tower.encoder.blocks.0.norm0.weight": count_up(3)}
    read = over(tmp_path, spec_of("kimi_k25", MLA), stored)
    assert read("norm", 3, std=None).tolist() == [0, 1, 2]
    read.refuse_leftovers()


@pytest.mark.parametrize(
    "model_type, name, modules",
    [
        ("llama", "layers.1.qkv", ("model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.k_proj", "model.layers.1.self_attn.v_proj")),
        ("llama", "layers.1.qkv_bias", ("model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.k_proj", "model.layers.1.self_attn.v_proj")),
        ("llama", "head", ("lm_head",)),
        ("deepseek_v3", "layers.0.experts.down", ("model.layers.0.mlp.experts.0.down_proj",)),
        ("deepseek_v3", "mtp.0.block.kv_b", ("model.layers.2.self_attn.kv_b_proj",)),
        ("mixtral", "layers.0.router", ("model.layers.0.block_sparse_moe.gate",)),
        ("gpt_oss", "layers.0.experts.gate_up", ("model.layers.0.mlp.experts.gate_up_proj",)),
        ("gpt_oss", "layers.0.sinks", ("model.layers.0.self_attn.sinks",)),
    ],
)
def test_modules_are_called_as_a_quantization_config_calls_them(model_type: str, name: str, modules: tuple[str, ...]) -> None:
    assert modules_of(spec_of(model_type, MLA if model_type == "deepseek_v3" else GQA), name) == modules

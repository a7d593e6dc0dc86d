"""The models known by name: where their configuration lies and what their publisher says of their size. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueEntry:
    """One model by name. Published sizes are reference figures; tokenmill's own come from its model on meta tensors."""

    name: str
    config: Path  # a HF config.json, reduced to the keys that describe the architecture and the published checkpoint's quantization
    published_total_params: float | None  # without multi-token-prediction modules
    published_active_params: float | None  # in the publisher's convention, which `active_convention` names
    active_convention: str | None  # "with_embedding" or "without_embedding"
    source: str


CATALOGUE = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="qwen3-30b-a3b",
            config=CONFIGS / "qwen3-30b-a3b.json",
            published_total_params=30.5e9,
            published_active_params=3.3e9,
            active_convention="with_embedding",
            source="Qwen/Qwen3-30B-A3B model card",
        ),
        CatalogueEntry(
            name="qwen3-235b-a22b",
            config=CONFIGS / "qwen3-235b-a22b.json",
            published_total_params=235e9,
            published_active_params=22e9,
            active_convention="with_embedding",
            source="Qwen/Qwen3-235B-A22B model card",
        ),
        CatalogueEntry(
            name="qwen3-8b",
            config=CONFIGS / "qwen3-8b.json",
            published_total_params=8.2e9,
            published_active_params=None,
            active_convention=None,
            source="Qwen/Qwen3-8B model card",
        ),
        CatalogueEntry(
            name="deepseek-r1",
            config=CONFIGS / "deepseek-v3.json",
            published_total_params=671e9,
            published_active_params=37e9,
            active_convention="with_embedding",
            source="deepseek-ai/DeepSeek-R1 model card; its config is DeepSeek-V3's",
        ),
        CatalogueEntry(
            name="deepseek-v3",
            config=CONFIGS / "deepseek-v3.json",
            published_total_params=671e9,
            published_active_params=37e9,
            active_convention="with_embedding",
            source="deepseek-ai/DeepSeek-V3 model card: 671B, and 14B more for the multi-token-prediction module",
        ),
        CatalogueEntry(
            name="kimi-k2",
            config=CONFIGS / "kimi-k2.json",
            published_total_params=1.026e12,
            published_active_params=32e9,
            active_convention="with_embedding",
            source="moonshotai/Kimi-K2-Instruct: 1,026B by Hugging Face's count of its safetensors; its model card rounds to 1T, 32B active",
        ),
        CatalogueEntry(
            name="gpt-oss-120b",
            config=CONFIGS / "gpt-oss-120b.json",
            published_total_params=116.83e9,
            published_active_params=5.13e9,
            active_convention="without_embedding",
            source="gpt-oss model card, arXiv 2508.10925, table 1",
        ),
        CatalogueEntry(
            name="gpt-oss-20b",
            config=CONFIGS / "gpt-oss-20b.json",
            published_total_params=20.91e9,
            published_active_params=3.61e9,
            active_convention="without_embedding",
            source="gpt-oss model card, arXiv 2508.10925, table 1",
        ),
        CatalogueEntry(
            name="llama-3.1-8b",
            config=CONFIGS / "llama-3.1-8b.json",
            published_total_params=8.03e9,
            published_active_params=None,
            active_convention=None,
            source="meta-llama/Llama-3.1-8B on Hugging Face",
        ),
        CatalogueEntry(
            name="llama-3.1-70b",
            config=CONFIGS / "llama-3.1-70b.json",
            published_total_params=70.6e9,
            published_active_params=None,
            active_convention=None,
            source="meta-llama/Llama-3.1-70B on Hugging Face",
        ),
        CatalogueEntry(
            name="llama-3.3-70b",
            config=CONFIGS / "llama-3.1-70b.json",
            published_total_params=70.6e9,
            published_active_params=None,
            active_convention=None,
            source="meta-llama/Llama-3.3-70B-Instruct on Hugging Face; its config is Llama-3.1-70B's",
        ),
        CatalogueEntry(
            name="llama-3.1-405b",
            config=CONFIGS / "llama-3.1-405b.json",
            published_total_params=405.9e9,
            published_active_params=None,
            active_convention=None,
            source="meta-llama/Llama-3.1-405B on Hugging Face",
        ),
        CatalogueEntry(
            name="mixtral-8x7b",
            config=CONFIGS / "mixtral-8x7b.json",
            published_total_params=46.7e9,
            published_active_params=12.9e9,
            active_convention="with_embedding",
            source="Mistral AI, Mixtral of experts, 2023-12-11",
        ),
        CatalogueEntry(
            name="tiny-moe",
            config=CONFIGS / "tiny-moe.json",
            published_total_params=None,
            published_active_params=None,
            active_convention=None,
            source="tokenmill's own: a Qwen3-MoE small enough for a laptop's CPU; no such model was trained",
        ),
        CatalogueEntry(
            name="tiny-mla",
            config=CONFIGS / "tiny-mla.json",
            published_total_params=None,
            published_active_params=None,
            active_convention=None,
            source="tokenmill's own: a DeepSeek-V3 small enough for a laptop's CPU; no such model was trained",
        ),
    )
}

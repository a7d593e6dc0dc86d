"""The models known by name: where their configuration lies and what their publisher says of their size. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueEntry:
    """One model by name. Published sizes are reference figures; tokenmill's own come from its model on meta tensors."""

    name: str
    config: Path  # a HF config.json, reduced to the keys that describe the architecture
    published_total_params: float | None
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
            name="tiny-moe",
            config=CONFIGS / "tiny-moe.json",
            published_total_params=None,
            published_active_params=None,
            active_convention=None,
            source="tokenmill's own: a Qwen3-MoE small enough for a laptop's CPU; no such model was trained",
        ),
    )
}

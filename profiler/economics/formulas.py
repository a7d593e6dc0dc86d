"""Kinds of figures, power by boundary, and the two sums that everything rests on. Rates are per GPU of the whole deployment; unknown in, None out.

    cost per million tokens = GPU-hour price / tokens per GPU-hour x 1e6
    tokens/s per MW         = tokens/s / (watts / 1e6)        = tokens per megajoule
"""

from __future__ import annotations

from dataclasses import dataclass

from profiler.economics.equations import solve
from profiler.economics.prices import PricePick

BOUNDARIES = ("board", "board_cpu", "node", "facility", "provisioned")

# Weakest first: a derived figure is of the weakest kind among its inputs.
KINDS = ("assumed", "modelled", "reference", "replayed", "emulated", "measured")


def weakest(*kinds: str | None) -> str:
    """The weakest of the given kinds; what is not said (None, or an unknown word) counts as assumed."""
    return min((kind if kind in KINDS else KINDS[0] for kind in kinds), key=KINDS.index)


def usd_per_mtok(usd_per_gpu_hour: float | None, tokens_per_s_per_gpu: float | None, *, utilisation: float = 1.0) -> float | None:
    """US dollars per million tokens = price / (3600 x tokens/s x utilisation) x 1e6. None without a price or a rate.

    Source: InferenceX-app's cost per million tokens; $1.41/h at 93.25 tokens/s per GPU is NVIDIA's published $4.20 for H200.
    """
    return solve("usd_per_mtok", {"usd_per_gpu_hour": usd_per_gpu_hour, "output_tokens_per_s": tokens_per_s_per_gpu, "utilisation": utilisation})


def tokens_per_s_per_mw(tokens_per_s: float | None, watts: float | None) -> float | None:
    """Tokens per second and megawatt = tokens per megajoule. None without a rate or without watts."""
    return solve("tokens_per_s_per_mw.node", {"output_tokens_per_s": tokens_per_s, "node_w": watts})


def facility_w(node_w: float | None, pue: float | None) -> float | None:
    """Watts that the site draws for a node of `node_w`: node x PUE (The Green Grid's definition). None without either; a board's watts are no node's."""
    return solve("facility_w", {"node_w": node_w, "pue": pue})


@dataclass(frozen=True, kw_only=True, slots=True)
class Watts:
    """Power per GPU of the deployment at each boundary that is known, with the kind of each figure."""

    board: float | None = None
    board_cpu: float | None = None
    node: float | None = None
    facility: float | None = None
    provisioned: float | None = None
    kinds: tuple[tuple[str, str], ...] = ()

    def by_boundary(self) -> dict[str, float | None]:
        return {boundary: getattr(self, boundary) for boundary in BOUNDARIES}


def watts_of(
    price: PricePick | None,
    *,
    board_w: float | None = None,
    board_cpu_w: float | None = None,
    board_kind: str | None = None,
    board_cpu_kind: str | None = None,
    node_w: float | None = None,
    node_kind: str = "assumed",
) -> Watts:
    """Watts per GPU by boundary: the board's and the CPUs' as sensors gave them; the node's as a meter did, else as declared (the price's, else `node_w`).

    No boundary is guessed from a narrower one.
    """
    if price and price.node_w is not None and node_kind == "assumed":
        node_w = price.node_w
    facility = facility_w(node_w, price.pue if price else None)
    kw = price.provisioned_kw_per_gpu if price else None
    kinds = {
        "board": board_kind if board_w is not None else None,
        "board_cpu": board_cpu_kind or board_kind if board_cpu_w is not None else None,
        "node": node_kind if node_w is not None else None,
        "facility": "assumed" if facility is not None else None,  # a PUE is
        "provisioned": price.provisioned_provenance if price and kw is not None else None,
    }
    return Watts(
        board=board_w,
        board_cpu=board_cpu_w,
        node=node_w,
        facility=facility,
        provisioned=None if kw is None else kw * 1000,
        kinds=tuple((boundary, kind) for boundary, kind in kinds.items() if kind is not None),
    )


def per_mw(tokens_per_s: float | None, watts: Watts) -> dict[str, float | None]:
    """Tokens/s per MW at each boundary; None where the boundary's watts are unknown."""
    return {boundary: tokens_per_s_per_mw(tokens_per_s, w) for boundary, w in watts.by_boundary().items()}

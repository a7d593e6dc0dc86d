"""Money and power per token: pure formulas, each with its source. Every rate is per GPU of the whole deployment; unknown in, None out.

The two sums everything here rests on (after NVIDIA's and SemiAnalysis' published usage):
    cost per million tokens = GPU-hour price / tokens per GPU-hour x 1e6
    tokens/s per MW         = tokens/s / (watts / 1e6)        = tokens per megajoule
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from profiler.economics.prices import PricePick
from profiler.modelled.mix import Mix

SECONDS_PER_HOUR = 3600.0
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
    if usd_per_gpu_hour is None or not tokens_per_s_per_gpu:
        return None
    return usd_per_gpu_hour / (SECONDS_PER_HOUR * tokens_per_s_per_gpu * utilisation) * 1e6


def tokens_per_s_per_mw(tokens_per_s: float | None, watts: float | None) -> float | None:
    """Tokens per second and megawatt = tokens per megajoule. None without a rate or without watts."""
    if tokens_per_s is None or not watts:
        return None
    return tokens_per_s / (watts / 1e6)


def facility_w(node_w: float | None, pue: float | None) -> float | None:
    """Watts that the site draws for a node of `node_w`: node x PUE (The Green Grid's definition). None without either; a board's watts are no node's."""
    return None if node_w is None or pue is None else node_w * pue


def gpu_hour_usd(price: PricePick, facility: float | None) -> tuple[float | None, str | None]:
    """The GPU-hour with energy, and a note when energy should have been added but could not be.

    Energy is added only to a price that says it leaves energy out: kW x $/kWh. A price given by flag is taken as all-in.
    """
    usd = price.usd_per_gpu_hour
    if usd is None or price.includes is None or "energy" in price.includes:
        return usd, None
    if price.usd_per_kwh is None:
        return usd, "price without energy: the price book lacks usd_per_kwh"
    if facility is None:
        return usd, "price without energy: no facility watts (give --watts)"
    return usd + facility / 1000 * price.usd_per_kwh, None


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRate:
    """What one phase was measured at, per GPU of the deployment. Prefill: input tokens; decode: output tokens."""

    tokens_per_s: float
    step_low: float | None  # the step time's ci95 as a fraction of the mean step behind the rate, e.g. 0.99
    step_high: float | None
    joules_per_token: float | None = None
    joules_low: float | None = None  # the ci95 of the joules per step as a fraction of their mean
    joules_high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MixCost:
    """One request of a mix, per GPU of the deployment."""

    gpu_s: float  # GPU-seconds of one request
    gpu_s_ci95: tuple[float, float] | None
    prefill_gpu_s: float
    decode_gpu_s: float
    energy_j: float | None
    energy_j_ci95: tuple[float, float] | None  # noise alone: the sensor's accuracy is one factor for all
    energy_j_per_output_token: float | None
    output_tokens_per_s: float


def compose(mix: Mix, prefill: PhaseRate, decode: PhaseRate) -> MixCost:
    """A request of `mix` from the two phases measured apart.

    gpu_s = ISL x (1 - cached) / prefill rate + OSL / decode rate. The ci95 of both step times propagates to first order,
    as independent errors: each side's deviations add in quadrature (GUM, JCGM 100, 5.1). None if a phase has no interval.
    """
    prefill_s = mix.fresh / prefill.tokens_per_s
    decode_s = mix.osl / decode.tokens_per_s
    gpu_s = prefill_s + decode_s
    energy, energy_ci95 = None, None
    if prefill.joules_per_token is not None and decode.joules_per_token is not None:
        read_j, written_j = mix.fresh * prefill.joules_per_token, mix.osl * decode.joules_per_token
        energy = read_j + written_j
        energy_ci95 = quadrature((read_j, prefill.joules_low, prefill.joules_high), (written_j, decode.joules_low, decode.joules_high))
    return MixCost(
        gpu_s=gpu_s,
        gpu_s_ci95=quadrature((prefill_s, prefill.step_low, prefill.step_high), (decode_s, decode.step_low, decode.step_high)),
        prefill_gpu_s=prefill_s,
        decode_gpu_s=decode_s,
        energy_j=energy,
        energy_j_ci95=energy_ci95,
        energy_j_per_output_token=None if energy is None else energy / mix.osl,
        output_tokens_per_s=mix.osl / gpu_s,
    )


def quadrature(*terms: tuple[float, float | None, float | None]) -> tuple[float, float] | None:
    """The interval of a sum of independent terms, each (value, low, high as fractions of it); None where a term has no interval."""
    total, below, above = 0.0, 0.0, 0.0
    for value, low, high in terms:
        if low is None or high is None:
            return None
        total += value
        below += (value * max(0.0, 1 - low)) ** 2
        above += (value * max(0.0, high - 1)) ** 2
    return total - math.sqrt(below), total + math.sqrt(above)


def gpu_seconds_usd(gpu_s: float, usd_per_gpu_hour: float, utilisation: float = 1.0) -> float:
    """US dollars of GPU-seconds at a price and a share of time the GPUs are busy."""
    return gpu_s * usd_per_gpu_hour / SECONDS_PER_HOUR / utilisation


def mix_usd_per_mtok(mix: Mix, gpu_s: float, usd_per_gpu_hour: float, utilisation: float = 1.0) -> float:
    """All-in US dollars per million *output* tokens: the whole request, prefill included, over its output tokens."""
    return gpu_seconds_usd(gpu_s, usd_per_gpu_hour, utilisation) / mix.osl * 1e6


def usd_per_mtok_by_class(mix: Mix, cost: MixCost, usd_per_gpu_hour: float, utilisation: float = 1.0) -> dict[str, float | None]:
    """US dollars per million tokens of each class: what a phase costs over the tokens that it computes.

    Adds up: (input x fresh + cached x cached + output x OSL tokens) / OSL = the all-in price. A cached input token takes no GPU time in this model, so its
    price is 0 where the mix has any (the cache's memory and transfer are not priced) and None where it has none.
    """
    return {
        "input": gpu_seconds_usd(cost.prefill_gpu_s, usd_per_gpu_hour, utilisation) / mix.fresh * 1e6,
        "cached": 0.0 if mix.cached else None,
        "output": gpu_seconds_usd(cost.decode_gpu_s, usd_per_gpu_hour, utilisation) / mix.osl * 1e6,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """What a known count of input and output tokens costs on GPUs of known rates."""

    prefill_only_usd_per_mtok: float
    decode_only_usd_per_mtok: float
    input_usd: float
    output_usd: float

    @property
    def total_usd(self) -> float:
        return self.input_usd + self.output_usd


def bill(*, input_tokens: float, output_tokens: float, input_tokens_per_s: float, output_tokens_per_s: float, gpus: int, usd_per_gpu_hour: float) -> Bill:
    """The bill of a traffic of tokens; rates are those of `gpus` GPUs together, each phase on its own.

    Source of the form and the example: DeepSeek's published production day (608 G input and 168 G output tokens; 73.7 k and 14.8 k tokens/s per node of
    8 GPUs, at $2 per GPU-hour).
    """
    per_input = usd_per_mtok(usd_per_gpu_hour, input_tokens_per_s / gpus)
    per_output = usd_per_mtok(usd_per_gpu_hour, output_tokens_per_s / gpus)
    assert per_input is not None, input_tokens_per_s
    assert per_output is not None, output_tokens_per_s
    return Bill(
        prefill_only_usd_per_mtok=per_input,
        decode_only_usd_per_mtok=per_output,
        input_usd=input_tokens / 1e6 * per_input,
        output_usd=output_tokens / 1e6 * per_output,
    )


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

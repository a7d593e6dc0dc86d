"""Economics of figures that the user gives: somebody's published rate, a rack's planned power, a day's bill."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.economics.equations import solve, solve_all
from profiler.economics.formulas import BOUNDARIES, usd_per_mtok, watts_of
from profiler.economics.hour import gpu_hour_usd, hour_inputs, price_range
from profiler.economics.prices import PricePick, check_positive
from triton_kernels.errors import TokenmillError


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What the flags say. Rates are tokens/s: per GPU, or of `gpus` GPUs together for the two phases.

    `mix_tokens`: input, output and cached tokens to be billed; the cached ones are among the input, and a prefill rate counts them too, as servers report it.
    """

    tokens_per_s_per_gpu: float | None = None
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None
    gpus: int | None = None
    mix_tokens: tuple[float, float, float] | None = None

    @property
    def has_rate(self) -> bool:
        return any(rate is not None for rate in (self.tokens_per_s_per_gpu, self.input_tokens_per_s, self.output_tokens_per_s))

    def check(self, *, rate_needed: bool = True) -> None:
        """A TokenmillError for what is missing, contradictory or not above 0."""
        phases = self.input_tokens_per_s is not None or self.output_tokens_per_s is not None
        if rate_needed and not self.has_rate:
            raise TokenmillError("nothing to price: give a RUN, --tokens-per-s-per-gpu, or --input-tokens-per-s and --output-tokens-per-s")
        if self.tokens_per_s_per_gpu is not None and phases:
            raise TokenmillError("--tokens-per-s-per-gpu contradicts --input-tokens-per-s/--output-tokens-per-s: give one or the other")
        if self.tokens_per_s_per_gpu is not None and self.gpus is not None:
            raise TokenmillError("--gpus is for rates of several GPUs together; --tokens-per-s-per-gpu is already per GPU")
        if self.mix_tokens is not None and (self.input_tokens_per_s is None or self.output_tokens_per_s is None):
            raise TokenmillError("--mix-tokens needs both --input-tokens-per-s and --output-tokens-per-s")
        rates = {
            "--tokens-per-s-per-gpu": self.tokens_per_s_per_gpu,
            "--input-tokens-per-s": self.input_tokens_per_s,
            "--output-tokens-per-s": self.output_tokens_per_s,
            "--gpus": self.gpus,
        }
        for flag, value in rates.items():
            check_positive(flag, value)

    def inputs(self) -> dict[str, float | None]:
        """The rates and the request as the equations take them; {} for a phase alone, which is no request."""
        if self.tokens_per_s_per_gpu is not None:
            return {"output_tokens_per_s": self.tokens_per_s_per_gpu}
        read, written = self.input_tokens_per_s, self.output_tokens_per_s
        if self.mix_tokens is None or read is None or written is None:
            return {}
        gpus = self.gpus or 1
        tokens_in, tokens_out, cached = self.mix_tokens
        fresh = tokens_in - cached
        return {
            "fresh": fresh, "cached": cached, "osl": tokens_out, "prefill_tokens_per_s": read / gpus * fresh / tokens_in, "decode_tokens_per_s": written / gpus,
        }  # fmt: skip


def parse_mix_tokens(text: str) -> tuple[float, float, float]:
    """`608e9/168e9` or `608e9/168e9/342e9` as counts of input, output and, among the input, cached tokens."""
    try:
        read, written, cached = (*(float(part) for part in text.split("/")), 0.0)[:3] if text.count("/") in (1, 2) else (math.nan,) * 3
    except ValueError:
        read = written = cached = math.nan
    if not (1 <= read <= 1e18 and 1 <= written <= 1e18 and 0 <= cached < read):
        raise TokenmillError(f"--mix-tokens {text[:60]!r}: should be input/output[/cached] tokens, such as 608e9/168e9/342e9, cached fewer than input")
    return read, written, cached


def given_inputs(given: Given, price: PricePick) -> dict[str, float | None]:
    """All that the equations need of the given figures and their price."""
    return hour_inputs(price, node_w=price.node_w) | {"by_joules": 0.0, "cache_residency_s": 0.0} | given.inputs()


def cost_of_given(given: Given, price: PricePick, *, rate_needed: bool = True) -> dict[str, Any]:
    """The document of `cost --json`. Every figure is assumed: the user vouches for the rates."""
    given.check(rate_needed=rate_needed)
    watts = watts_of(price)
    usd, note = gpu_hour_usd(price, watts.facility)
    if usd is None and watts.node is None and watts.provisioned is None:
        missing = price.why_null if price.gpu_key else None
        raise TokenmillError(missing or "no price and no power: give --usd-per-gpu-hour, --kw-per-gpu or --watts, or a --gpu of the price book")
    inputs = given_inputs(given, price)
    figures = _figures(given, price, inputs)
    mw = {boundary: solve(f"tokens_per_s_per_mw.{boundary}", inputs) for boundary in BOUNDARIES}
    document: dict[str, Any] = {
        "schema_version": 1,
        "given": {name: getattr(given, name) for name in Given.__slots__ if getattr(given, name) is not None},
        "price": price.json(),
        "price_note": note,
        "usd_per_gpu_hour": usd,
        "watts_per_gpu": watts.by_boundary(),
        **figures,
        "tokens_per_s_per_mw": mw,
    }
    named = [name for name in _MONEY if document[name] is not None]
    boundaries = [f"tokens_per_s_per_mw.{boundary}" for boundary, value in mw.items() if value is not None]
    document["provenance"] = dict.fromkeys([*named, *boundaries], "assumed") | ({"usd_per_gpu_hour": price.provenance} if price.provenance else {})
    document["why_null"] = _why_null(given, document, price)
    return document


_SOLVED = (
    "output_tokens_per_s", "usd_per_gpu_hour", "usd_per_mtok", "input_usd", "cached_usd", "output_usd", "prefill_gpu_s",
    "decode_gpu_s", *(f"usd_per_mtok_by_class.{name}" for name in ("input", "cached", "output")), "whole_hour_usd_per_mtok.input",
    "whole_hour_usd_per_mtok.output",
)  # fmt: skip


def _figures(given: Given, price: PricePick, inputs: Mapping[str, float | None]) -> dict[str, Any]:
    found, gpus = solve_all(_SOLVED, inputs), given.gpus or 1
    whole = given.mix_tokens is not None
    mix = None if given.mix_tokens is None else "/".join(f"{tokens:g}" for tokens in given.mix_tokens[: 3 if given.mix_tokens[2] else 2])

    def alone(rate: float | None) -> float | None:
        return None if rate is None else usd_per_mtok(found["usd_per_gpu_hour"], rate / gpus, utilisation=price.utilisation)

    bill = {"input": found["input_usd"], "cached": found["cached_usd"] or None, "output": found["output_usd"]} if whole else {}
    nodes = [found["prefill_gpu_s"], found["decode_gpu_s"]]
    return {
        "output_tokens_per_s_per_gpu": found["output_tokens_per_s"],
        "usd_per_mtok": _usd(found, price, inputs, mix),
        "usd_per_mtok_by_class": {name: found[f"usd_per_mtok_by_class.{name}"] for name in ("input", "cached", "output")} if whole and bill["input"] else None,
        "whole_hour_usd_per_mtok": {name: found[f"whole_hour_usd_per_mtok.{name}"] for name in ("input", "output")} if whole and bill["input"] else None,
        "prefill_only_usd_per_mtok": alone(given.input_tokens_per_s),
        "decode_only_usd_per_mtok": alone(given.output_tokens_per_s),
        "bill_usd": bill | {"total": sum(part or 0.0 for part in bill.values())} if bill.get("input") is not None else None,
        "prefill_share_of_gpus": None if nodes[0] is None or nodes[1] is None else nodes[0] / (nodes[0] + nodes[1]),
    }


def _usd(found: Mapping[str, float | None], price: PricePick, inputs: Mapping[str, float | None], mix: str | None) -> dict[str, Any] | None:
    value, usd = found["usd_per_mtok"], found["usd_per_gpu_hour"]
    if value is None or not usd:
        return None
    return {"value": value, "ci95": None, "price_range": price_range(price, inputs, value, usd), "basis": "output", "mix": mix}


def _why_null(given: Given, document: Mapping[str, Any], price: PricePick) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if price.usd_per_gpu_hour is None:
        reasons["usd_per_mtok"] = price.why_null or "no price"
    elif not given.has_rate:
        reasons["usd_per_mtok"] = "no rate was given: --tokens-per-s-per-gpu"
    elif document["usd_per_mtok"] is None:
        reasons["usd_per_mtok"] = "one phase is no mix: give --input-tokens-per-s, --output-tokens-per-s and --mix-tokens"
    if document["output_tokens_per_s_per_gpu"] is None:
        reasons["tokens_per_s_per_mw"] = "needs the whole mix: give --mix-tokens" if given.has_rate else "no rate was given: --tokens-per-s-per-gpu"
        return reasons
    for boundary, value in document["tokens_per_s_per_mw"].items():
        if value is None:
            reasons[f"tokens_per_s_per_mw.{boundary}"] = _NO_WATTS[boundary]
    if given.mix_tokens is not None and given.mix_tokens[2]:
        reasons["usd_per_mtok_by_class.cached"] = "what a cached token holds of a GPU's memory is a model's: give a RUN, and --cache-residency"
    return reasons


_MONEY = ("usd_per_mtok", "usd_per_mtok_by_class", "decode_only_usd_per_mtok", "prefill_only_usd_per_mtok", "bill_usd")

_NO_WATTS = {
    "board": "a board's power is measured, not given",
    "board_cpu": "a board's power is measured, not given",
    "node": "no watts of the node: give --watts",
    "facility": "no watts of the node: give --watts (and --pue)",
    "provisioned": "no planned power: give --kw-per-gpu, or a --gpu of the price book",
}

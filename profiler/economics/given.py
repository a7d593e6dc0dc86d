"""Economics of figures that the user gives: somebody's published rate, a rack's planned power, a day's bill."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from profiler.economics.formulas import bill, gpu_hour_usd, per_mw, usd_per_mtok, watts_of
from profiler.economics.prices import PricePick, check_positive
from triton_kernels.errors import TokenmillError


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What the flags say. Rates are tokens/s: per GPU, or of `gpus` GPUs together for the two phases. `mix_tokens`: input and output tokens to be billed."""

    tokens_per_s_per_gpu: float | None = None
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None
    gpus: int | None = None
    mix_tokens: tuple[float, float] | None = None

    def check(self) -> None:
        """A TokenmillError for what is missing, contradictory or not above 0."""
        phases = self.input_tokens_per_s is not None or self.output_tokens_per_s is not None
        if self.tokens_per_s_per_gpu is None and not phases:
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


def parse_mix_tokens(text: str) -> tuple[float, float]:
    """`608e9/168e9` as counts of input and output tokens."""
    try:
        read, written = (float(part) for part in text.split("/"))
    except ValueError:
        read = written = math.nan
    if not (1 <= read <= 1e18 and 1 <= written <= 1e18):
        raise TokenmillError(f"--mix-tokens {text[:60]!r}: should be input/output tokens, such as 608e9/168e9")
    return read, written


def cost_of_given(given: Given, price: PricePick) -> dict[str, Any]:
    """The document of `cost --json`. Every figure is assumed: the user vouches for the rates."""
    given.check()
    watts = watts_of(price)
    usd, note = gpu_hour_usd(price, watts.facility)
    if usd is None and watts.node is None and watts.provisioned is None:
        missing = price.why_null if price.gpu_key else None
        raise TokenmillError(missing or "no price and no power: give --usd-per-gpu-hour, --kw-per-gpu or --watts, or a --gpu of the price book")
    document: dict[str, Any] = {
        "schema_version": 1,
        "given": {name: getattr(given, name) for name in Given.__slots__ if getattr(given, name) is not None},
        "price": price.json(),
        "price_note": note,
        "watts_per_gpu": watts.by_boundary(),
    }
    figures = _one_rate(given, price, usd) if given.tokens_per_s_per_gpu is not None else _two_phases(given, price, usd)
    rate = figures["output_tokens_per_s_per_gpu"]
    mw = per_mw(rate, watts)
    document |= figures | {"tokens_per_s_per_mw": mw}
    named = [name for name in _MONEY if document[name] is not None]
    boundaries = [f"tokens_per_s_per_mw.{boundary}" for boundary, value in mw.items() if value is not None]
    document["provenance"] = dict.fromkeys([*named, *boundaries], "assumed") | ({"usd_per_gpu_hour": price.provenance} if price.provenance else {})
    document["why_null"] = _why_null(document, price)
    return document


def _one_rate(given: Given, price: PricePick, usd: float | None) -> dict[str, Any]:
    value = usd_per_mtok(usd, given.tokens_per_s_per_gpu, utilisation=price.utilisation)
    return {
        "output_tokens_per_s_per_gpu": given.tokens_per_s_per_gpu,
        "usd_per_mtok": _usd(value, price, usd, None),
        "usd_per_mtok_by_class": None,
        "prefill_only_usd_per_mtok": None,
        "decode_only_usd_per_mtok": None,
        "bill_usd": None,
    }


def _two_phases(given: Given, price: PricePick, usd: float | None) -> dict[str, Any]:
    gpus = given.gpus or 1
    read, written = given.input_tokens_per_s, given.output_tokens_per_s
    figures: dict[str, Any] = {
        "output_tokens_per_s_per_gpu": None,
        "usd_per_mtok": None,
        "usd_per_mtok_by_class": None,
        "prefill_only_usd_per_mtok": usd_per_mtok(usd, None if read is None else read / gpus, utilisation=price.utilisation),
        "decode_only_usd_per_mtok": usd_per_mtok(usd, None if written is None else written / gpus, utilisation=price.utilisation),
        "bill_usd": None,
    }
    if given.mix_tokens is None or read is None or written is None:
        return figures
    tokens_in, tokens_out = given.mix_tokens
    figures["output_tokens_per_s_per_gpu"] = tokens_out / (tokens_in / read + tokens_out / written) / gpus
    if usd is None:
        return figures
    paid = bill(
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        input_tokens_per_s=read,
        output_tokens_per_s=written,
        gpus=gpus,
        usd_per_gpu_hour=usd / price.utilisation,
    )
    mix = f"{tokens_in:g}/{tokens_out:g}"
    return figures | {
        "usd_per_mtok": _usd(paid.total_usd / tokens_out * 1e6, price, usd, mix),
        "usd_per_mtok_by_class": {"input": paid.prefill_only_usd_per_mtok, "cached": None, "output": paid.decode_only_usd_per_mtok},
        "bill_usd": {"input": paid.input_usd, "output": paid.output_usd, "total": paid.total_usd},
    }


def _usd(value: float | None, price: PricePick, usd: float | None, mix: str | None) -> dict[str, Any] | None:
    if value is None or usd is None:
        return None
    added = usd - (price.usd_per_gpu_hour or 0.0)
    spread = None if price.low is None or price.high is None else [value * (edge + added) / usd for edge in (price.low, price.high)]
    return {"value": value, "ci95": None, "price_range": spread, "basis": "output", "mix": mix}


def _why_null(document: dict[str, Any], price: PricePick) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if price.usd_per_gpu_hour is None:
        reasons["usd_per_mtok"] = price.why_null or "no price"
    elif document["usd_per_mtok"] is None:
        reasons["usd_per_mtok"] = "one phase is no mix: give --input-tokens-per-s, --output-tokens-per-s and --mix-tokens"
    if document["output_tokens_per_s_per_gpu"] is None:
        reasons["tokens_per_s_per_mw"] = "needs the whole mix: give --mix-tokens"
        return reasons
    for boundary, value in document["tokens_per_s_per_mw"].items():
        if value is None:
            reasons[f"tokens_per_s_per_mw.{boundary}"] = _NO_WATTS[boundary]
    return reasons


_MONEY = ("usd_per_mtok", "usd_per_mtok_by_class", "decode_only_usd_per_mtok", "prefill_only_usd_per_mtok", "bill_usd")

_NO_WATTS = {
    "board": "a board's power is measured, not given",
    "board_cpu": "a board's power is measured, not given",
    "node": "no watts of the node: give --watts",
    "facility": "no watts of the node: give --watts (and --pue)",
    "provisioned": "no planned power: give --kw-per-gpu, or a --gpu of the price book",
}

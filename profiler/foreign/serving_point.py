"""A serving point: what one row of another tool's file says of a whole deployment under load, in the units and names of a recorded point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from profiler.foreign.names import recipe_in_name
from profiler.foreign.reference import Reference
from profiler.modelled.mix import MAX_TOKENS, Mix
from profiler.record.schema import SCHEMA_VERSION

# Above this share of failed requests the rates are of another load than the one asked for; InferenceX's own `max_failure_rate`.
MOST_FAILED = 0.05

NO_COUNT = "no tokens/s per GPU: the file does not say how many GPUs served; name the file as FILE@h200x8 (GPU and count)"
NO_POWER = "no_power: the file states no power that can be used"


@dataclass(kw_only=True)
class ServingPoint:
    """The figures of one row, filled in by its format. Rates are per GPU of the whole deployment, tokens/s; times are seconds; None is not stated."""

    kind: str  # of its figures: reference, or modelled where the tool predicts
    original: Mapping[str, Any]
    model: str | None = None
    precision: str | None = None
    kv_cache: str | None = None
    framework: str | None = None
    gpu: str | None = None  # as the file names it
    gpu_key: str | None = None
    gpus: int | None = None  # of the whole deployment
    tp: int | None = None
    ep: int | None = None
    dp: int | None = None
    workers: Mapping[str, Any] | None = None  # prefill and decode apart: {"prefill": {tp, ep, dp, gpus}, "decode": ...}
    mtp: bool | None = None
    isl: int | None = None
    osl: int | None = None
    cached: int = 0
    concurrency: int | None = None
    output_rate: float | None = None
    input_rate: float | None = None
    total_rate: float | None = None
    requests_per_s: float | None = None
    per_user: float | None = None
    ttft_s: Mapping[str, float] | None = None
    tpot_s: Mapping[str, float] | None = None
    itl_s: Mapping[str, float] | None = None
    e2e_s: Mapping[str, float] | None = None
    window_s: float | None = None
    output_tokens: int | None = None
    input_tokens: int | None = None
    board_w: float | None = None  # of all GPUs together
    energy_j: float | None = None
    joules_per_output_token: float | None = None
    joules_per_total_token: float | None = None
    error: str | None = None  # the run failed: no figure is one
    invalid_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)  # figures of a weaker kind than the row's

    @property
    def mix(self) -> str | None:
        """The request's lengths by name; None where the file states none that a request can have."""
        if self.isl is None or self.osl is None or not (1 <= self.isl <= MAX_TOKENS and 1 <= self.osl <= MAX_TOKENS and self.cached < self.isl):
            return None
        return Mix(isl=self.isl, osl=self.osl, cached=self.cached).name

    def take_precision(self, given: Reference, checkpoint: str | None) -> None:
        """The number format as the user states it, else as the checkpoint's name does. Needs model and GPU."""
        self.precision, assumed = (given.precision, None) if given.precision else recipe_in_name(checkpoint, model=self.model, gpu=self.gpu_key)
        self.warnings += [assumed] if assumed else []

    def outcome(self, done: int | None, failed: int | None) -> None:
        """Notes requests that failed: a warning where they are few, a reason against the point where they are not."""
        if done == 0:
            self.error = "no request succeeded"
        elif failed and done is not None:
            said = f"{failed} of {done + failed} requests failed"
            (self.invalid_reasons if failed / (done + failed) > MOST_FAILED else self.warnings).append(said)

    def complete(self) -> None:
        """Fills in what follows from the other rates alone: the third of input, output and total."""
        if self.total_rate is None and self.output_rate is not None and self.input_rate is not None:
            self.total_rate = self.output_rate + self.input_rate
        if self.input_rate is None and self.output_rate is not None and self.total_rate is not None and self.total_rate > self.output_rate:
            self.input_rate = self.total_rate - self.output_rate

    def json(self, **identity: Any) -> dict[str, Any]:
        """The point as a record has it. `identity`: run_id, point_id, source_file, source_format."""
        self.complete()
        if self.error is None and self.output_rate is None and not self.warnings.count(NO_COUNT):
            self.invalid_reasons.append("no output tokens/s: the file states none")
        has_power = self.board_w is not None or self.energy_j is not None or self.joules_per_output_token is not None
        if not has_power and self.error is None and not any(said.startswith("no_power") for said in self.warnings):
            self.warnings.append(NO_POWER)
        figures = {
            "output_tokens_per_s_per_gpu": self.output_rate,
            "input_tokens_per_s_per_gpu": self.input_rate,
            "total_tokens_per_s_per_gpu": self.total_rate,
            "tokens_per_s_per_user": self.per_user,
            "requests_per_s": self.requests_per_s,
            "ttft_s": self.ttft_s,
            "tpot_s": self.tpot_s,
            "itl_s": self.itl_s,
            "e2e_s": self.e2e_s,
            "board_w": self.board_w,
            "energy_j": self.energy_j,
            "energy_j_per_output_token": self.joules_per_output_token,
            "energy_j_per_total_token": self.joules_per_total_token,
        }
        figures = dict.fromkeys(figures) if self.error is not None else figures
        return {
            "schema_version": SCHEMA_VERSION, **identity, "kind": "serving", "status": "ok" if self.error is None else "failed", "error": self.error,
            "model": self.model, "weights": None, "phase": None, "precision": self.precision, "kv_cache": self.kv_cache, "batch": None, "context": None,
            "mix": self.mix, "isl": self.isl, "osl": self.osl, "cached_tokens": self.cached or None, "concurrency": self.concurrency,
            "framework": self.framework, "tp": self.tp, "ep": self.ep, "dp": self.dp, "workers": self.workers, "span": None, "routing": None, "rank": None,
            "mtp": self.mtp, "gpu": self.gpu, "gpu_key": self.gpu_key, "measured_gpus": self.gpus, "deployment_gpus": self.gpus, "device": None,
            "kernels": None, "windows": [], "window_s": self.window_s, "output_tokens": self.output_tokens, "input_tokens": self.input_tokens, **figures,
            "valid": self.error is None and not self.invalid_reasons, "invalid_reasons": self.invalid_reasons,
            "warnings": self.warnings,
            "provenance": {name: self.kinds.get(name, self.kind) for name, value in figures.items() if value is not None}, "original": self.original,
        }  # fmt: skip


def statistics(*named: tuple[str, float | None]) -> dict[str, float] | None:
    """{"median", "mean", "p90", ...} of those that are there; None for none. 0 is no time that a token takes."""
    found = {name: value for name, value in named if value}
    return found or None


def one_over(times: Mapping[str, float] | None, *, names: Sequence[str] = ("median", "mean")) -> float | None:
    """Tokens/s that one reader sees: one over the median time per token, else over the mean."""
    return next((1 / times[name] for name in names if name in times), None) if times else None

"""What "tokens" may mean in a table that does not say: output tokens alone, or input and output together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from profiler.audit.claims import Claims, Column
from profiler.audit.interval import Interval
from profiler.audit.peaks import dense_peak
from profiler.modelled.mix import Mix


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One meaning. `mix`: how many input tokens come with an output token, which only the reading "total" needs; nobody printed it, so it is assumed."""

    basis: str  # "output" or "total"
    mix: Mix | None
    provenance: str

    def output(self, tokens_per_s: Interval) -> Interval:
        """Output tokens/s of the tokens/s so read."""
        return tokens_per_s if self.mix is None else tokens_per_s.scaled(self.mix.osl / (self.mix.isl + self.mix.osl))

    def computed(self, tokens_per_s: Interval) -> Interval:
        """Tokens/s that pass the model: cached input does not."""
        return tokens_per_s if self.mix is None else tokens_per_s.scaled((self.mix.fresh + self.mix.osl) / (self.mix.isl + self.mix.osl))

    def usd_per_output_mtok(self, usd_per_mtok: Interval) -> Interval:
        """Dollars per million output tokens, where the printed ones are per million tokens so read."""
        return usd_per_mtok if self.mix is None else usd_per_mtok.scaled((self.mix.isl + self.mix.osl) / self.mix.osl)

    def json(self, claims: Claims) -> dict[str, Any]:
        columns = {key: self._of_column(claims, column) for key, column in claims.columns.items()}
        return {"basis": self.basis, "mix": self.mix.name if self.mix else None, "provenance": self.provenance, "columns": columns}

    def _of_column(self, claims: Claims, column: Column) -> dict[str, Any]:
        rate, usd = column.cells.get("tokens_per_s_per_gpu"), column.cells.get("usd_per_mtok")
        output = None if rate is None else self.output(rate.interval)
        return {
            "output_tokens_per_s_per_gpu": _json(output),
            "usd_per_output_mtok": _json(None if usd is None else self.usd_per_output_mtok(usd.interval)),
            "flop_utilisation": _json(None if rate is None else flop_utilisation(claims, column, self.computed(rate.interval))),
            "share_of_floor": _json(None if output is None else share_of_floor(column, output)),
        }


def readings_of(claims: Claims, mix: Mix) -> tuple[Reading, ...]:
    """The one that the table states, else both."""
    stated = "assumed" if claims.token_basis is None or claims.source is None else "reference"
    output, total = Reading(basis="output", mix=None, provenance=stated), Reading(basis="total", mix=mix, provenance="assumed")
    return tuple(reading for reading in (output, total) if claims.token_basis in (None, reading.basis))


def flop_utilisation(claims: Claims, column: Column, tokens_per_s: Interval) -> Interval | None:
    """Share of the dense peak of the column's format that these tokens/s need: 2 FLOP for each active parameter of each token, attention left out."""
    peak = None if column.gpu is None or column.lane is None else dense_peak(column.gpu, column.lane)
    return None if peak is None or claims.active_params is None else tokens_per_s.scaled(2 * claims.active_params / peak.flops_per_s)


def share_of_floor(column: Column, output_tokens_per_s: Interval) -> Interval | None:
    """Of the output tokens/s per GPU at tokenmill's floor of the deployment that the file names. None where it names none."""
    return None if column.ceiling is None else output_tokens_per_s.scaled(1 / column.ceiling.output_tokens_per_s_per_gpu)


def _json(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.json()

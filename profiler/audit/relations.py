"""What ties the cells of a table together: every rule is a product of powers, so that each cell follows from the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from profiler.audit.claims import Claims, Column, Ratio
from profiler.audit.printed import ROWS


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """target = factor x each input to its power. `powers` by row: of a column, or of a set of ratios."""

    name: str
    words: str
    target: str
    factor: float
    powers: Mapping[str, int]


# Within one column. 3600 s an hour; a megawatt is 1000 kW.
OF_A_COLUMN = (
    Relation(
        name="price_of_a_token",
        words="$ per Mtok = $ per GPU-hour / (3600 x tokens/s per GPU) x 1e6",
        target="usd_per_mtok",
        factor=1e6 / 3600,
        powers={"usd_per_gpu_hour": 1, "tokens_per_s_per_gpu": -1},
    ),
    Relation(
        name="tokens_per_megawatt",
        words="tokens/s per MW = tokens/s per GPU / kW per GPU x 1000",
        target="tokens_per_s_per_mw",
        factor=1e3,
        powers={"tokens_per_s_per_gpu": 1, "kw_per_gpu": -1},
    ),
)

# Within one set of ratios: OF_A_COLUMN of one column over that of the other. The ratio of $ per Mtok is printed upside down.
OF_RATIOS = (
    Relation(
        name="ratio_of_prices_of_a_token",
        words="ratio of $ per Mtok = ratio of tokens/s per GPU / ratio of $ per GPU-hour",
        target="usd_per_mtok",
        factor=1.0,
        powers={"tokens_per_s_per_gpu": 1, "usd_per_gpu_hour": -1},
    ),
    Relation(
        name="ratio_of_tokens_per_megawatt",
        words="ratio of tokens/s per MW = ratio of tokens/s per GPU / ratio of kW per GPU",
        target="tokens_per_s_per_mw",
        factor=1.0,
        powers={"tokens_per_s_per_gpu": 1, "kw_per_gpu": -1},
    ),
)

# Rows whose printed ratio is `over` over `of`: a price of tokens that is 35 times lower is printed 35x.
UPSIDE_DOWN = ("usd_per_mtok",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Equation:
    """A relation between cells, by their ids."""

    relation: str
    words: str
    target: str
    factor: float
    powers: Mapping[str, int]

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.target, *self.powers)

    def solved_for(self, cell: str) -> Equation:
        """The same equation with one of its cells on the left. Powers of inputs are 1 or -1."""
        if cell == self.target:
            return self
        power = self.powers[cell]
        others = {self.target: power} | {name: -power * other for name, other in self.powers.items() if name != cell}
        return Equation(relation=self.relation, words=self.words, target=cell, factor=self.factor**-power, powers=others)


def equations(claims: Claims) -> Iterator[Equation]:
    """Every relation whose target is printed; inputs may be missing."""
    for column in claims.columns.values():
        yield from (_equation(relation, column.key) for relation in OF_A_COLUMN if relation.target in column.cells)
    for ratio in claims.ratios:
        yield from (ratio_equation(ratio, row) for row in ROWS if row in ratio.cells)
        # What ties ratios to each other is said where they are there: nobody owes a table the ratio of kW.
        yield from (_equation(r, ratio.key) for r in OF_RATIOS if all(row in ratio.cells for row in (r.target, *r.powers)))


def _equation(relation: Relation, key: str) -> Equation:
    powers = {f"{key}.{row}": power for row, power in relation.powers.items()}
    return Equation(relation=relation.name, words=relation.words, target=f"{key}.{relation.target}", factor=relation.factor, powers=powers)


def ratio_equation(ratio: Ratio, row: str) -> Equation:
    """A printed ratio from its two columns."""
    first, last = (ratio.over, ratio.of) if row in UPSIDE_DOWN else (ratio.of, ratio.over)
    words = f"ratio of {ROWS[row].label} = {first.key} / {last.key}"
    return Equation(relation="ratio", words=words, target=f"{ratio.key}.{row}", factor=1.0, powers={f"{first.key}.{row}": 1, f"{last.key}.{row}": -1})


def ratio_by_price(ratio: Ratio, column: Column) -> Equation:
    """The ratio of tokens/s with those of `column` taken from its two prices instead of as printed."""
    sign = 1 if column is ratio.of else -1
    other = ratio.over if column is ratio.of else ratio.of
    powers = {f"{column.key}.usd_per_gpu_hour": sign, f"{column.key}.usd_per_mtok": -sign, f"{other.key}.tokens_per_s_per_gpu": -sign}
    words = f"ratio of tokens/s per GPU, {column.key}'s being what its $ per Mtok implies"
    target, factor = f"{ratio.key}.tokens_per_s_per_gpu", (1e6 / 3600) ** sign
    return Equation(relation=f"ratio_by_price_of_{column.key}", words=words, target=target, factor=factor, powers=powers)


def watts_equations(column: Column) -> tuple[Equation, ...]:
    """kW per GPU that a column implies: from its tokens/s per GPU, and from what its $ per Mtok says of those."""
    key = column.key
    return (
        Equation(
            relation="implied_kw",
            words="kW per GPU = tokens/s per GPU / tokens/s per MW x 1000",
            target=f"{key}.kw_per_gpu",
            factor=1e3,
            powers={f"{key}.tokens_per_s_per_gpu": 1, f"{key}.tokens_per_s_per_mw": -1},
        ),
        Equation(
            relation="implied_kw_by_price",
            words="kW per GPU = $ per GPU-hour / (3600 x $ per Mtok) x 1e6 / tokens/s per MW x 1000",
            target=f"{key}.kw_per_gpu",
            factor=1e9 / 3600,
            powers={f"{key}.usd_per_gpu_hour": 1, f"{key}.usd_per_mtok": -1, f"{key}.tokens_per_s_per_mw": -1},
        ),
    )

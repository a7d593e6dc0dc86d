"""`--fail-if`: its grammar, and that it never passes in silence."""

from __future__ import annotations

import pytest

from profiler.compare.figures import FIGURES
from profiler.compare.gates import GateRow, exit_code, outcome, parse_gate
from profiler.compare.verdict import Judged
from triton_kernels.errors import TokenmillError


def judged(new: float, *, more: bool | None = True, old: float | None = 100.0, figure: str = "usd_per_mtok") -> Judged:
    return Judged(
        figure=FIGURES[figure], old=old, new=new, kinds=("measured", "measured"), ratio=None if old is None else new / old, ci95=None, p=None, n=(5, 5),
        method="welch", more_than_noise=more, verdict="unknown: fewer than 5 windows" if more is None else "as it is",
    )  # fmt: skip


def row(*figures: Judged, label: str = "decode bf16 batch 32") -> GateRow:
    return GateRow(label=label, run="b", key={"batch": 32}, figures={each.figure.name: each for each in figures})


def test_grammar() -> None:
    change = parse_gate(" usd_per_mtok >= +3% ")
    assert (change.figure, change.beyond, change.limit, change.relative, change.text) == ("usd_per_mtok", ">=", 0.03, True, "usd_per_mtok >= +3%")
    drop = parse_gate("tokens_per_s_per_mw.board<-2.5%")
    assert (drop.figure, drop.beyond, drop.limit) == ("tokens_per_s_per_mw.board", "<", -0.025)
    absolute = parse_gate("step_s > 1e-2")
    assert (absolute.limit, absolute.relative) == (0.01, False)


@pytest.mark.parametrize(
    "text", ["", "usd_per_mtok", "usd_per_mtok > ", "> 3%", "usd_per_mtok > +3%%", "usd_per_mtok = 3", "step_s > nan", "step_s > +3% or true"]
)
def test_what_is_no_gate_is_one_line_with_an_example(text: str) -> None:
    with pytest.raises(TokenmillError, match=r"should be a figure.*usd_per_mtok > \+3%") as error:
        parse_gate(text)
    assert error.value.exit_code == 2


def test_an_unknown_figure_is_told_the_nearest_and_a_change_its_sign() -> None:
    with pytest.raises(TokenmillError, match="did you mean usd_per_mtok"):
        parse_gate("usd_per_mtoc > +3%")
    with pytest.raises(TokenmillError, match=r"a change needs its sign: 'step_s > \+3%'"):
        parse_gate("step_s > 3%")


@pytest.mark.parametrize(
    ("gate", "new", "more", "passed"),
    [
        ("usd_per_mtok > +3%", 103.1, True, False),
        ("usd_per_mtok > +3%", 102.9, True, True),  # real, and within the limit
        ("usd_per_mtok > +3%", 110.0, False, True),  # large, and no more than noise
        ("usd_per_mtok > +3%", 103.1, None, False),  # nobody can tell: it does not pass
        ("usd_per_mtok < -2%", 97.0, True, False),
        ("usd_per_mtok < -2%", 99.0, True, True),
        ("usd_per_mtok > 105", 110.0, False, False),  # a number is a number, whatever the noise
        ("usd_per_mtok > 105", 105.0, True, True),
        ("usd_per_mtok >= 105", 105.0, True, False),
        ("usd_per_mtok <= 105", 105.0, True, False),
    ],
)
def test_verdicts(gate: str, new: float, more: bool | None, passed: bool) -> None:
    found = outcome(parse_gate(gate), [row(judged(new, more=more))], aside=0)
    assert (found.passed, found.looked_at, len(found.violations)) == (passed, 1, 0 if passed else 1)
    assert exit_code([found]) == (0 if passed else 4)


def test_every_row_is_looked_at_and_the_worst_is_told() -> None:
    rows = [row(judged(99.0)), row(judged(112.0), label="worst"), row(judged(105.0, more=None)), row(judged(1.0, figure="step_s"))]
    found = outcome(parse_gate("usd_per_mtok > +3%"), rows, aside=2)
    assert (found.passed, found.looked_at, len(found.violations)) == (False, 3, 2)
    assert found.why == "worst: +12% (more than noise) and 1 more of 3 rows; 1 without the figure; 2 not valid or alone"
    unknown = outcome(parse_gate("usd_per_mtok > +3%"), rows[2:3], aside=0)
    assert unknown.why == "decode bf16 batch 32: +5.0% (noise unknown: fewer than 5 windows)"


def test_a_gate_that_passes_does_not_say_that_it_holds() -> None:
    found = outcome(parse_gate("tokens_per_s_per_mw.node < 1000"), [row(judged(180_572.0, figure="tokens_per_s_per_mw.node"))] * 4, aside=0)
    assert (found.passed, found.why) == (True, "not violated in 4 rows, nearest 180,572 tokens/s/MW")


def test_a_gate_that_finds_nothing_fails_and_says_why() -> None:
    nowhere = outcome(parse_gate("energy_j_per_output_token > +3%"), [row(judged(100.0))], aside=0)
    assert (nowhere.passed, nowhere.why) == (False, "nothing to look at: energy_j_per_output_token is in none of 1 joined rows, of both runs")
    alone = outcome(parse_gate("usd_per_mtok > +3%"), [], aside=3)
    assert (alone.passed, alone.why) == (False, "nothing to look at: no valid row has a partner (3 without one or not valid)")
    new = outcome(parse_gate("usd_per_mtok > +3%"), [row(judged(100.0, old=None))], aside=0)
    assert not new.passed
    assert outcome(parse_gate("usd_per_mtok > 200"), [row(judged(100.0, old=None))], aside=0).passed
    assert exit_code([nowhere, alone]) == 4
    assert exit_code([]) == 0

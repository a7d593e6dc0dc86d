"""Is a published table consistent with itself? Every check of it, both readings of its tokens, what would mend it, and the document of `audit --json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from profiler.audit import flops
from profiler.audit.beside import price_check, roofline_checks, watts_checks
from profiler.audit.claims import Claims, Ratio
from profiler.audit.mends import mends_of
from profiler.audit.readings import Reading, readings_of
from profiler.audit.relations import Equation, equations, ratio_by_price
from profiler.audit.verdicts import AGREES, DISAGREES, UNLIKE, Check, judge
from profiler.economics.price_book import PriceBook
from profiler.modelled.mix import Mix

EXIT_CLAIM_FAILS = 4


def audit(claims: Claims, book: PriceBook, mix: Mix, run: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document of `audit --json`. `mix`: assumed, for the reading of the tokens as input and output together; `run`: of `against_run`."""
    readings = readings_of(claims, mix)
    checks = list(checks_of(claims, book, readings[0]))
    mends = [m for m in mends_of(claims) if not any(c.fails for c in checks_of(claims.with_interval(m.cell.id, m.interval), book, readings[0]))]
    return {
        "schema_version": 1,
        "table": {
            "title": claims.title, "source": claims.source, "date": claims.date, "model": claims.model, "active_params": claims.active_params,
            "token_basis": claims.token_basis, "tolerance": claims.tolerance, "unlike_fails": claims.unlike_fails,
            "columns": [_column_json(claims, key) for key in claims.columns], "ratios": [{"of": r.of.key, "over": r.over.key} for r in claims.ratios],
        },
        "cells": [cell.json() for cell in claims.cells.values()],
        "checks": [check.json() for check in checks],
        "mends": [mend.json() for mend in mends],
        "readings": [reading.json(claims) for reading in readings],
        "run": run,
        "verdict": _verdict(claims, checks, run),
    }  # fmt: skip


def checks_of(claims: Claims, book: PriceBook, reading: Reading) -> Iterator[Check]:
    """Every check, the roles that can fail first in each part of the table."""
    for equation in equations(claims):
        if equation.target.endswith(f".{flops.ROW}"):
            continue  # of FLOPS per dollar more has to be known than the numbers
        yield judge(equation, claims)
        yield from _solved(equation, claims)
    for column in claims.columns.values():
        if flops.ROW in column.cells:
            yield flops.peak_check(claims, column)
        beside = price_check(column, book)
        yield from (beside,) if beside else ()
        yield from watts_checks(claims, column, book)
        yield from roofline_checks(claims, column, reading)
    for ratio in claims.ratios:
        yield from _of_ratio(ratio, claims)


def _solved(equation: Equation, claims: Claims) -> Iterator[Check]:
    """The same equation for each of its other cells, where all are printed: one truth seen from every side."""
    if all(name in claims.cells for name in equation.cells):
        yield from (judge(equation.solved_for(name), claims, "solved") for name in equation.powers)


def _of_ratio(ratio: Ratio, claims: Claims) -> Iterator[Check]:
    if "tokens_per_s_per_gpu" in ratio.cells:
        other_ways = (judge(ratio_by_price(ratio, column), claims, "another way") for column in (ratio.over, ratio.of))
        yield from (check for check in other_ways if check.derived is not None)
    if flops.ROW in ratio.cells:
        yield flops.ratio_check(claims, ratio)
        yield from flops.like_for_like(claims, ratio)


def _column_json(claims: Claims, key: str) -> dict[str, Any]:
    column = claims.columns[key]
    return {"key": key, "label": column.label, "gpu": column.gpu.key if column.gpu else None, "format": column.lane}


def _verdict(claims: Claims, checks: list[Check], run: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is counted: checks of the first role that could be made, and every failure."""
    made = [check for check in checks if check.role == "check" and check.verdict in (AGREES, DISAGREES, UNLIKE)]
    failed = [check.id for check in checks if check.fails]
    unlike = [check.id for check in checks if check.verdict == UNLIKE]
    measured = [] if run is None else [c["cell"] for column in run["columns"] for c in column["comparisons"] if c["fails"]]
    fails = bool(failed or measured or (claims.unlike_fails and unlike))
    return {
        "checks": len(made), "agree": sum(check.verdict == AGREES for check in made), "failed": failed, "unlike": unlike,
        "failed_by_run": list(dict.fromkeys(measured)), "exit_code": EXIT_CLAIM_FAILS if fails else 0,
    }  # fmt: skip

"""`report -o report.md`: what runs found as Markdown that reads well on GitHub and in a terminal. Every string of a record is inert in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from profiler.economics.prices import PricePick, price_summary
from profiler.pareto.answer import answers, lines_of
from profiler.pareto.front import RATE, USD, fronts_of
from profiler.pareto.operating import Operating, Reported, devices, operating_points
from profiler.report import headline, subject
from profiler.report.charts.chosen import pick
from profiler.report.charts.pareto import axis, group_label
from profiler.report.charts.waterfall import explained, label
from profiler.report.explain_bars import waterfall_table
from profiler.report.inert_markdown import fenced, md, md_of_markup, md_table
from profiler.report.notes import Notes
from profiler.report.pareto import chart_lines, counted, front_table
from profiler.report.rows import Row, cheapest, ok, rows_of
from profiler.report.screen import differing, legend
from profiler.report.table import points_table

MOST_ROWS = 200  # of all tables of points together; GitHub shows no file over 512 KB as a page
_MOST_RUNS, _MOST_FRONTS, _MOST_REASONS = 20, 12, 20


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What several sections need, worked out once: a fleet's runs have a hundred thousand points."""

    reported: Reported
    by_run: Sequence[Sequence[Row]]
    rows: Sequence[Row]
    operating: Sequence[Operating]
    best: Row | None


def markdown_text(reported: Reported) -> str:
    """The whole report. A run without a valid point gives one that says so."""
    by_run = [rows_of(derived, run.run_id) for run, _, derived in reported]
    rows = [row for of_run in by_run for row in of_run]
    found = _Found(reported=reported, by_run=by_run, rows=rows, operating=list(operating_points(reported)), best=cheapest(rows))
    sections = (_head, _planner, _points, _pareto, _money, _validity, _prices, _reproduce, _legend)
    return "\n\n".join(block for section in sections for block in section(found)) + "\n"


def _head(found: _Found) -> list[str]:
    models = list(dict.fromkeys(str(row.subject["model"]) for row in found.rows if row.subject.get("model") is not None))
    title = f"# What a token costs: {md(', '.join(models[:3]) or 'nothing measured')}{f' and {len(models) - 3} more' if len(models) > 3 else ''}"
    verdict = [] if found.best is not None else ["**No valid point has a mix: nothing below is a price of a token, and nothing invalid may be quoted.**"]
    lines = [
        f"- **{md(run.run_id)}** ({md(run.header.get('created') or 'no date')}): {md_of_markup(subject.machine(run.header, derived.points))}"
        for run, _, derived in found.reported
    ]
    measured = [derived.points for _, _, derived in found.reported if derived.points]
    described = dict.fromkeys(md_of_markup(f"{subject.model(points)}; mix {subject.mix(points)}") for points in measured)
    return [title, *verdict, "\n".join([_some(lines, _MOST_RUNS, "runs"), _some([f"- {line}" for line in described], _MOST_RUNS, "models and mixes")])]


def _planner(found: _Found) -> list[str]:
    """The planner's levels of profiler.report.headline, each answered."""
    lines = [f"- {md(line)}" for level in headline.levels(found.rows) for line in lines_of(answers(found.operating, level)).splitlines()]
    return ["## Cheapest, by speed", "\n".join(lines or ["- – no valid mix has tokens/s per user"])]


def _points(found: _Found) -> list[str]:
    notes, room, several = Notes(), MOST_ROWS, len(found.reported) > 1
    names = differing(found.rows)
    blocks = ["## Points"]
    for (run, price, _), of_run in zip(found.reported, found.by_run, strict=True):
        shown = of_run[:room]
        room -= len(shown)
        if shown:
            blocks += [f"**{md(run.run_id)}**"] if several else []
            blocks.append(md_table(points_table(shown, notes, price, best=found.best, names=names)))
    return [*blocks, *_more(len(found.rows) - MOST_ROWS, "points: `tokenmill report RUN -o points.csv` has all"), *_notes(notes)]


def _notes(notes: Notes) -> list[str]:
    return ["  \n".join(md_of_markup(line) for line in notes.lines())] if notes.lines() else []


def _pareto(found: _Found) -> list[str]:
    priced = any(price.usd_per_gpu_hour is not None for _, price, _ in found.reported)
    drawn = [front for front in fronts_of(found.operating, USD if priced else RATE) if front.front]
    if not drawn:
        return ["## Pareto front", "– no valid point is on one"]
    device = devices(found.operating)
    on_axis = axis(drawn[0].y, device)
    heading = f"## Pareto front: {md(on_axis['unit'])} ({on_axis['better']} is better) by tokens/s per user"
    blocks = [heading, fenced(chart_lines(drawn[:_MOST_FRONTS], 78))]
    for letter, front in zip(ascii_lowercase, drawn[:_MOST_FRONTS], strict=False):
        blocks += [f"**{letter}** {md(group_label(front.group))}: {md_of_markup(counted(front))}", md_table(front_table(front, device))]
    return blocks + _more(len(drawn) - _MOST_FRONTS, "fronts")


def _money(found: _Found) -> list[str]:
    """Where the dollars, the watts and the time of the headline's mix go."""
    pairs = [(each, row) for each, of_run in zip(found.reported, found.by_run, strict=True) for row in of_run]
    of_best = next((each for each, row in pairs if row is found.best), pairs[0][0] if pairs else None)
    if of_best is None:
        return ["## Where the money goes", "– nothing was measured"]
    run, price, _ = of_best
    lines = [
        f"- money: {md_of_markup(headline.money_line(found.best, run.plans))}",
        f"- FLOPS per dollar: {md_of_markup(headline.flops_line(found.best, run.plans))}",
        f"- tokens/s per MW: {md_of_markup(headline.megawatt_line(found.best, found.rows, price))}",
    ]
    blocks = ["## Where the money goes", "\n".join(lines)]
    picked, notes = pick(pairs), Notes()
    explanation = explained(picked) if picked is not None else None
    if explanation is None:
        return blocks
    of = explanation[1]
    what = f"{label(of.waterfall)}, {of.why}; joules: {of.waterfall.boundary}"
    table = md_table(waterfall_table(of.waterfall, notes, 100), without=(1,))
    return [*blocks, f"From the datasheet's peak to the delivered token: {md(what)}", table, *_notes(notes)]


def _validity(found: _Found) -> list[str]:
    points = [point for _, _, derived in found.reported for point in derived.points]
    ran = [point for point in points if ok(point)]
    invalid = Counter(str(reason) for point in ran if not point.get("valid") for reason in point.get("invalid_reasons") or ["no reason was recorded"])
    failed = Counter(f"{point.get('status')}: {point.get('error')}" for point in points if not ok(point))
    warned = Counter(str(warning) for point in points for warning in point.get("warnings") or ())
    lines = [f"- {sum(bool(point.get('valid')) for point in points)} of {len(points)} points are valid; what is not is kept, shown and in no headline"]
    as_a_mix = Counter(reason for row in found.rows if all(point.get("valid") for point in row.points) for reason in row.invalid_reasons)
    for heading, reasons in (("not valid", invalid), ("not valid as a mix", as_a_mix), ("did not run", failed), ("warning", warned)):
        lines += [f"- {heading}: {md(reason)} ({times} {'point' if times == 1 else 'points'})" for reason, times in reasons.most_common(_MOST_REASONS)]
    unfinished = [run for run, _, _ in found.reported if str(run.header.get("status") or "done") != "done"]
    lines += [f"- {md(run.run_id)} did not finish: {md(run.header.get('status'))}" for run in unfinished[:_MOST_RUNS]]
    return ["## Validity", "\n".join(lines)]


def _prices(found: _Found) -> list[str]:
    lines = dict.fromkeys(_price(price) for _, price, _ in found.reported)
    return ["## Prices", _some([f"- {line}" for line in lines], _MOST_RUNS, "prices")]


def _price(price: PricePick) -> str:
    parts = [f"{price.gpu_key or 'no GPU of the catalogue'}: {price_summary(price)}"]
    if price.provisioned_kw_per_gpu is not None:
        parts.append(f"provisioned {price.provisioned_kw_per_gpu:g} kW per GPU ({price.provisioned_provenance})")
    if price.pue is not None:
        parts.append(f"PUE {price.pue:g} ({price.pue_provenance})")
    if price.node_w is not None:
        parts.append(f"node {price.node_w:g} W per GPU (assumed)")
    return md("; ".join(parts))


def _reproduce(found: _Found) -> list[str]:
    runs = [run for run, _, _ in found.reported[:_MOST_RUNS]]
    commands = [str(run.header.get("command") or "# no command was recorded") for run in runs]
    commands.append(f"tokenmill report {' '.join(run.run_id for run in runs)} -o report.md")
    versions = dict.fromkeys(f"tokenmill {run.header.get('tokenmill')}" for run in runs if run.header.get("tokenmill"))
    measured = f"Measured with {md(', '.join(versions) or 'a version that was not recorded')}."
    return ["## Reproduce", fenced(commands, "sh"), f"{measured} What each figure means: `tokenmill list schema`."]


def _legend(found: _Found) -> list[str]:
    price = found.reported[0][1] if found.reported else None
    said = f"{legend(found.rows, price)}; ± 95 % of the windows' noise; kind×kind: of the measurement and of the price; ✗ not valid"
    return ["## Legend", md_of_markup(said)]


def _some(lines: Sequence[str], most: int, what: str) -> str:
    return "\n".join([*lines[:most], *(f"- {line}" for line in _more(len(lines) - most, what))])


def _more(many: int, what: str) -> list[str]:
    return [f"and {many} more {what}"] if many > 0 else []

"""Pages in a real Chromium: silent, alone, and with every recomputed figure equal to Python's."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from profiler.commands.cost import cost
from profiler.commands.explain import explain
from profiler.commands.pricing import pricing_of
from profiler.commands.recorded import priced_runs
from profiler.commands.report import report
from profiler.economics.derive import derive_run
from profiler.economics.equations import EQUATIONS, INPUTS, solve_all, table_json
from profiler.pareto.front import RATE, USD, fronts
from profiler.pareto.interpolate import at as between
from profiler.report.html.figures import FORMS
from profiler.report.html.page import html_text
from tests.profiler import format_run
from tests.profiler import handmade_run as made
from tests.profiler.browser import Opened, chromium
from tests.profiler.test_html_report import hostile_run

HEADLINE = "article [data-figure='usd_per_mtok']"
WATTS = 900.0  # of the node, declared: then a PUE matters


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return format_run.record(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's page, at the price book's price and with declared watts."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    written(path, run, "--watts", WATTS)
    return path


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    page = Opened(browser, file)
    yield page
    page.close()
    assert page.messages == []
    assert page.requests == [file.as_uri()]


def invoke(function: Any, *arguments: object) -> Any:
    app = typer.Typer()
    app.command()(function)
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result


def written(path: Path, *arguments: object) -> None:
    invoke(report, *arguments, "-o", path)


def document(function: Any, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke(function, *arguments, "--json").stdout)
    return found


def test_it_opens_with_every_card_and_every_chart(opened: Opened) -> None:
    assert opened.page.title() == "qwen3-30b-a3b on H200 SXM · tokenmill"
    assert opened.page.locator("article").count() == 4
    assert opened.page.locator("canvas").count() == 2 + 3  # Pareto, roofline; power, clock, temperature
    assert all("–" not in text for text in opened.page.locator("article .fig").all_inner_texts())


def test_before_any_change_the_scripts_find_pythons_figures(opened: Opened, run: Path) -> None:
    found = {mix["points"]["decode"]: mix for mix in document(cost, run, "--watts", WATTS)["mixes"]}
    rows = opened.page.evaluate("Model.items.map((item, n) => ({name: Model.text(item.name), usd: Model.value(n, 'usd_per_mtok'), whole: item.whole}))")
    values = sorted(row["usd"] for row in rows if row["whole"])
    assert values == pytest.approx(sorted(mix["usd_per_mtok"]["value"] for mix in found.values()), rel=1e-12)
    assert opened.page.locator(".by-reader:visible").count() == 1  # the legend's example
    assert opened.page.evaluate("[...document.querySelectorAll('[data-figure]')].every((place) => place.textContent !== '')")


def drawn(rng: random.Random) -> dict[str, float | None]:
    """Inputs within their ranges: some missing, some at an end, the rest spread over the range or over its magnitudes."""
    given: dict[str, float | None] = {}
    for name, limits in INPUTS.items():
        kind = rng.random()
        if kind < 0.06:
            continue
        if kind < 0.12:
            given[name] = rng.choice([limits.least, limits.most, None])
        elif kind < 0.5 or limits.most <= 20:
            given[name] = rng.uniform(limits.least, limits.most)
        else:
            given[name] = max(limits.least, limits.most * 10 ** -rng.uniform(0, 6))
    return given


def test_1000_random_inputs_make_the_same_figures_in_both_languages(opened: Opened) -> None:
    rng = random.Random(20261128)
    inputs = [drawn(rng) for _ in range(1000)]
    found = opened.page.evaluate(
        """([equations, inputs]) => inputs.map((given) => {
            const solve = Equations.solver(equations, given);
            return Object.fromEntries(Object.keys(equations).map((name) => [name, solve(name)]));
        })""",
        [table_json()["equations"], inputs],
    )
    known = 0
    for given, there in zip(inputs, found, strict=True):
        here = solve_all(EQUATIONS, given)
        known += sum(value is not None for value in here.values())
        assert there == {name: None if value is None else pytest.approx(value, rel=1e-9, abs=0) for name, value in here.items()}, given
    assert known > 20_000


def test_numbers_are_written_as_python_writes_them(opened: Opened) -> None:
    rng = random.Random(7)
    cases: list[tuple[str, float | None, list[float] | None]] = [(form, None, None) for form in FORMS]
    for _ in range(1000):
        value = rng.choice([0.0, 10 ** rng.uniform(-6, 9), 10 ** rng.uniform(-3, 5)])
        half = value * 10 ** rng.uniform(-4, 0)
        cases.append((rng.choice(list(FORMS)), value, rng.choice([None, [value - half, value + half]])))
    found = opened.page.evaluate("(cases) => cases.map(([form, value, ends]) => Numbers.FORMS[form](value, ends))", cases)
    assert found == [FORMS[form](value, ends) for form, value, ends in cases]


CHANGES = [
    ({"price_usd_per_gpu_hour": 2.5}, ["--usd-per-gpu-hour", "2.5"]),
    ({"price_usd_per_gpu_hour": 0.37}, ["--usd-per-gpu-hour", "0.37"]),
    ({"utilisation": 0.6}, ["--utilisation", "0.6"]),
    ({"pue": 1.12}, ["--pue", "1.12"]),
    ({"provisioned_kw": 2.4}, ["--kw-per-gpu", "2.4"]),
    (
        {"price_usd_per_gpu_hour": 3.1, "utilisation": 0.45, "pue": 2, "provisioned_kw": 1.5},
        ["--usd-per-gpu-hour", "3.1", "--utilisation", "0.45", "--pue", "2", "--kw-per-gpu", "1.5"],
    ),
]


@pytest.mark.parametrize(("changes", "flags"), CHANGES)
def test_a_price_changed_in_the_page_is_cost_at_that_price(opened: Opened, run: Path, changes: dict[str, float], flags: list[str]) -> None:
    for name, value in changes.items():
        opened.change(name, value)
    same_as_cost(opened, document(cost, run, "--watts", WATTS, *flags))


@pytest.mark.parametrize("hosting", ["colocation", "own_site"])
def test_an_owned_hour_in_the_page_is_costs_owned_hour(opened: Opened, run: Path, hosting: str) -> None:
    opened.page.check(f"[name=hosting][value={hosting}]", force=True)
    same_as_cost(opened, document(cost, run, "--watts", WATTS, "--own", hosting))
    opened.change("life_years", 4)
    opened.change("usd_per_kwh", 0.2)
    opened.change("gpu_capex_usd", 28000)
    opened.change("pue", 1.1)
    same_as_cost(opened, document(cost, run, "--watts", WATTS, "--own", hosting, "--set", "life_years=4,usd_per_kwh=0.2,gpu_capex_usd=28000", "--pue", "1.1"))


BOOK = """
default_kind = "bare"
usd_per_kwh = 0.20
[kinds.bare]
meaning = "the machine alone"
includes = ["capex", "colocation"]
[kinds.all_in]
meaning = "everything"
includes = ["capex", "colocation", "energy"]
[gpus.h200]
source = "a test"
usd_per_gpu_hour = { bare = 1.00, all_in = 1.41 }
"""


@pytest.fixture(params=["bare", "all_in"])
def kinds(request: pytest.FixtureRequest, browser: Any, run: Path, tmp_path: Path) -> Iterator[tuple[Opened, tuple[object, ...]]]:
    """A page priced by one of a book's two kinds, of which one leaves electricity out; and the arguments of `cost` for its run and book."""
    (tmp_path / "book.toml").write_text(BOOK)
    asked = (run, "--watts", WATTS, "--price-book", tmp_path / "book.toml")
    written(tmp_path / "kinds.html", *asked, "--price-kind", request.param)
    page = Opened(browser, tmp_path / "kinds.html")
    yield page, asked
    page.close()
    assert page.messages == []


@pytest.mark.parametrize("usd", ["1.00", "1.41", "1.01"])
def test_a_typed_price_is_all_in_even_where_it_is_the_runs_own(kinds: tuple[Opened, tuple[object, ...]], usd: str) -> None:
    page, asked = kinds
    before = page.value(HEADLINE)
    page.change("price_usd_per_gpu_hour", usd)
    same_as_cost(page, document(cost, *asked, "--usd-per-gpu-hour", usd))
    assert page.page.locator(HEADLINE).get_attribute("class") == "fig by-reader"
    assert page.page.locator("[data-way][aria-pressed=true]").count() == 0  # what is typed is of no kind in the book
    page.change("price_usd_per_gpu_hour", "")
    assert page.value(HEADLINE) == before
    assert page.page.locator(".notice.when-changed").is_hidden()


def test_a_kind_of_price_is_costs_with_what_it_includes(kinds: tuple[Opened, tuple[object, ...]]) -> None:
    page, asked = kinds
    buttons = page.page.locator("[data-way]")
    assert buttons.all_inner_texts() == ["bare: $1, electricity apart", "all_in: $1.41"]
    hours = {}
    for place, kind in ((1, "all_in"), (0, "bare"), (1, "all_in")):
        buttons.nth(place).click()
        found = document(cost, *asked, "--price-kind", kind)
        same_as_cost(page, found)
        hours[kind] = found["mixes"][0]["usd_per_gpu_hour"]
        assert page.page.locator("[data-way][aria-pressed=true]").all_inner_texts() == [buttons.nth(place).inner_text()]
        assert page.page.locator("article [data-kind]").first.inner_text().endswith(" × reference")
    # 0.9 kW x 1.3 x $0.20/kWh = $0.234 an hour beside the machine's dollar.
    assert hours == {"bare": pytest.approx(1.234), "all_in": pytest.approx(1.41)}


def test_kinds_of_price_go_with_every_other_change(kinds: tuple[Opened, tuple[object, ...]]) -> None:
    page, asked = kinds
    page.page.check("[name=hosting][value=colocation]", force=True)
    page.change("usd_per_kwh", 0.5)  # of the purchase: a rented hour has none of it
    page.page.check("[name=hosting][value=priced]", force=True)
    page.change("price_usd_per_gpu_hour", 7)
    page.page.locator("[data-way]").nth(0).click()  # in the place of what was typed
    assert page.page.input_value("#price_usd_per_gpu_hour") == "1"
    page.change("pue", 1.1)
    page.change("utilisation", 0.5)
    same_as_cost(page, document(cost, *asked, "--price-kind", "bare", "--pue", "1.1", "--utilisation", "0.5"))
    known = document(explain, *asked, "--price-kind", "bare", "--pue", "1.1", "--utilisation", "0.5")
    mix = next(mix for mix in known["mixes"] if mix["points"]["decode"] == known["subject"]["point_id"])
    fall = page.page.evaluate("Waterfall.bars(0).delivered.usd")
    assert fall == pytest.approx(mix["price"]["usd_per_mtok"], rel=1e-9)


def test_a_recorded_run_of_a_cpu_is_a_page_like_any_other(browser: Any, tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "data" / "golden_v1"
    written(tmp_path / "page.html", golden)
    page = Opened(browser, tmp_path / "page.html")
    here = document(cost, golden)["mixes"][0]
    assert page.value(HEADLINE) == pytest.approx(here["usd_per_mtok"]["value"], rel=1e-9)
    assert page.page.locator(HEADLINE).inner_text().startswith("$")
    assert "output tokens/s per CPU" in page.page.locator("[data-card=output_tokens_per_s]").inner_text()
    page.change("price_usd_per_gpu_hour", 0.8)
    page.change("pue", 1.2)
    there = document(cost, golden, "--usd-per-gpu-hour", "0.8", "--pue", "1.2")["mixes"][0]
    assert there["usd_per_mtok"]["value"] == pytest.approx(1.6 * here["usd_per_mtok"]["value"])  # $0.80 for $0.50
    assert page.value(HEADLINE) == pytest.approx(there["usd_per_mtok"]["value"], rel=1e-9)
    assert page.value("article [data-figure='tokens_per_s_per_mw.facility']") == pytest.approx(there["tokens_per_s_per_mw"]["facility"], rel=1e-9)
    assert page.page.locator("[data-way]").count() == 0  # no book has a price of this machine
    assert page.messages == []
    assert page.requests == [(tmp_path / "page.html").as_uri()]
    page.close()


def test_another_tools_result_is_priced_again_like_a_run(browser: Any, tmp_path: Path) -> None:
    result = Path(__file__).parents[1] / "data" / "foreign" / "inferencex.json"
    written(tmp_path / "foreign.html", f"{result}@h200")
    page = Opened(browser, tmp_path / "foreign.html")
    page.change("price_usd_per_gpu_hour", 2.2)
    page.change("provisioned_kw", 1.1)
    found = document(cost, f"{result}@h200", "--usd-per-gpu-hour", "2.2", "--kw-per-gpu", "1.1")
    best = min((mix for mix in found["mixes"] if mix["valid"]), key=lambda mix: mix["usd_per_mtok"]["value"])
    assert page.value(HEADLINE) == pytest.approx(best["usd_per_mtok"]["value"], rel=1e-9)
    assert page.value("article [data-figure='tokens_per_s_per_mw.provisioned']") == pytest.approx(best["tokens_per_s_per_mw"]["provisioned"], rel=1e-9)
    assert page.messages == []
    page.close()


FOREIGN = sorted((Path(__file__).parents[1] / "data" / "foreign").iterdir())


@pytest.fixture
def foreign(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    """The page of ten results of other tools: whole requests of servers, cited or modelled."""
    written(tmp_path / "foreign.html", *FOREIGN)
    page = Opened(browser, tmp_path / "foreign.html")
    yield page
    page.close()
    assert page.messages == []


def test_a_card_has_what_the_mix_has_and_a_dash_has_no_kind(foreign: Opened) -> None:
    # GB200: 900 W of a board over 1000 tokens/s are 0.9 J a token, and 1e6 / 0.9 tokens/s per MW.
    assert "deepseek-r1, GB200 NVL72" in foreign.page.locator("[data-best-name]").inner_text()
    assert foreign.page.locator("#headline [data-best-of]").inner_text() == "run 6, inferencex-e61b-gb200, mix 8k/1k"
    assert foreign.value("article [data-figure='energy_j_per_output_token']") == pytest.approx(0.9)
    assert foreign.value("article [data-figure='tokens_per_s_per_mw.board']") == pytest.approx(1e6 / 0.9)
    for workload in range(foreign.page.locator("#workload option").count()):
        foreign.page.select_option("#workload", str(workload))
        badges = foreign.page.evaluate("[...document.querySelectorAll('article p')].filter((p) => p.innerText.startsWith('–')).map((p) => p.innerText)")
        assert set(badges) <= {"–"}
    foreign.page.select_option("#workload", label="gpt-oss-120b, mix 1k/1k")  # whose file has no joules
    assert foreign.page.locator("[data-card=energy_j_per_output_token] .value").inner_text() == "–"


def test_a_legend_says_no_cache_that_nobody_stated(foreign: Opened) -> None:
    names = foreign.page.evaluate("Model.data.groups.map((group) => Model.text(group.name))")
    assert [name for name in names if name.startswith("nvfp4")] == ["nvfp4, deepseek-r1, GB200 NVL72, mix 8k/1k (reference)"]
    assert not [name for name in names if ",  " in name or " , " in name or name.endswith(", ")]


@pytest.mark.parametrize("width", [1280, 390])
def test_what_a_point_is_stays_beside_its_price(foreign: Opened, width: int) -> None:
    foreign.page.set_viewport_size({"width": width, "height": 900})
    at = """(column) => { const box = document.querySelector('#points-table tbody tr').cells[column].getBoundingClientRect(); return [box.left, box.right]; }"""
    heads = foreign.page.locator("#points-table thead button").all_inner_texts()
    assert heads == ["point", "all-in", "whole mix", "speed", "valid", "energy", "board", "provisioned"]
    assert foreign.page.evaluate(at, 2)[1] <= width  # price and tokens/s are on the screen
    before = foreign.page.evaluate(at, 0)
    foreign.page.evaluate("document.querySelector('#points .scroll').scrollLeft = 10000")
    assert foreign.page.evaluate(at, 0) == before


def same_as_cost(opened: Opened, found: dict[str, Any]) -> None:
    """Every mix's dollars, classes and tokens/s per MW, in the headline and in the table, with their intervals."""
    mixes = {mix["points"]["decode"]: mix for mix in found["mixes"] if mix["usd_per_mtok"]}
    best = min((mix for mix in mixes.values() if mix["valid"]), key=lambda mix: mix["usd_per_mtok"]["value"])
    assert opened.value(HEADLINE) == pytest.approx(best["usd_per_mtok"]["value"], rel=1e-9)
    assert opened.value("#price [data-figure='usd_per_gpu_hour']") == pytest.approx(best["usd_per_gpu_hour"], rel=1e-9)
    for boundary, value in best["tokens_per_s_per_mw"].items():
        if value is not None:
            assert opened.value(f"article [data-figure='tokens_per_s_per_mw.{boundary}']") == pytest.approx(value, rel=1e-9)
    names = ("usd_per_mtok", "usd_per_mtok_by_class.input", "usd_per_mtok_by_class.output", "tokens_per_s_per_mw.facility")
    here = sorted(
        (mix["usd_per_mtok"]["value"], *(mix["usd_per_mtok_by_class"][name] for name in ("input", "output")), mix["tokens_per_s_per_mw"]["facility"])
        for mix in mixes.values()
    )
    table = opened.page.evaluate(
        """(names) => [...document.querySelectorAll('#points-table tbody tr')].map((row) => names.map((name) => {
            const column = [...document.querySelectorAll('#points-table thead th')].findIndex((head) => head.dataset.column === name);
            return row.cells[column].dataset.value;
        }))""",
        list(names),
    )
    there = sorted(tuple(float(value) for value in row) for row in table if row[0])
    assert [pytest.approx(row, rel=1e-9) for row in here] == there
    ends = opened.page.evaluate("Model.figure(Model.cheapest(null), 'usd_per_mtok').ends")
    assert ends == pytest.approx(best["usd_per_mtok"]["ci95"], rel=1e-6)


def test_what_a_reader_changed_is_marked_and_taken_back(opened: Opened) -> None:
    before = opened.page.locator(HEADLINE).inner_text()
    opened.change("price_usd_per_gpu_hour", 2.82)  # twice the book's 1.41
    assert opened.page.locator(HEADLINE).get_attribute("class") == "fig by-reader"
    assert opened.page.locator("article [data-kind]").first.inner_text() == "measured × assumed"
    assert opened.page.locator("article [data-figure='output_tokens_per_s']").get_attribute("class") == "fig"
    assert opened.page.locator(".notice.when-changed").is_visible()
    assert opened.page.locator("[data-ratio].by-reader").count() == 0  # twice both: the same ratio
    opened.page.locator("header [data-reset]").click()
    assert opened.page.locator(HEADLINE).inner_text() == before
    assert opened.page.locator(".notice.when-changed").is_hidden()
    assert opened.page.input_value("#price_usd_per_gpu_hour") == "1.41"


@pytest.mark.parametrize("text", ["-3", "1001", "1e999", "--"])
def test_out_of_range_is_said_and_not_computed(opened: Opened, text: str) -> None:
    opened.page.locator("#price_usd_per_gpu_hour").fill("")
    opened.page.locator("#price_usd_per_gpu_hour").press_sequentially(text)
    assert opened.page.locator("#price_usd_per_gpu_hour-error").inner_text() == "Should be from 0 to 1000 USD/GPU-h: not computed."
    assert opened.value(HEADLINE) is None
    assert opened.page.locator(HEADLINE).inner_text() == "–"


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, []),
        ({"price_usd_per_gpu_hour": 2.5}, ["--usd-per-gpu-hour", "2.5"]),
        ({"utilisation": 0.5, "pue": 1.7}, ["--utilisation", "0.5", "--pue", "1.7"]),
    ],
)
def test_the_waterfall_is_explains(opened: Opened, run: Path, changes: dict[str, float], flags: list[str]) -> None:
    for name, value in changes.items():
        opened.change(name, value)
    known = document(explain, run, "--watts", WATTS, *flags)
    decode = known["subject"]["point_id"]
    mix = next(mix for mix in known["mixes"] if mix["points"]["decode"] == decode)
    fall = opened.page.evaluate("(() => { const { bars, delivered } = Waterfall.bars(0); return { bars, delivered }; })()")
    for bar, there in zip(mix["bars"], fall["bars"], strict=True):
        assert (bar["name"], bar["label"]) == (there["name"], there["label"])
        for here, name in (("gpu_s", "s"), ("energy_j", "j"), ("usd_per_mtok", "usd")):
            assert there[name] == (None if bar[here] is None else pytest.approx(bar[here], rel=1e-8, abs=1e-12)), (bar["name"], name)
    assert fall["delivered"]["usd"] == pytest.approx(mix["price"]["usd_per_mtok"], rel=1e-9)
    assert opened.value(HEADLINE) == pytest.approx(fall["delivered"]["usd"], rel=1e-6)


@pytest.mark.parametrize(("figure", "y"), [("usd_per_mtok", USD), ("output_tokens_per_s", RATE), ("tokens_per_s_per_mw.board", "tokens_per_s_per_mw.board")])
def test_fronts_and_the_lines_between_are_paretos(opened: Opened, run: Path, figure: str, y: str) -> None:
    expected = {front.group.precision: front for front in fronts(priced_runs([str(run)], run.parent, pricing_of(watts=WATTS)), y)}
    found = opened.page.evaluate(
        """(figure) => {
            const axis = Model.data.axes.find((each) => each.figure === figure), all = Pareto.placed(axis, 0);
            return Model.data.groups.map((group, n) => {
                const front = Pareto.front(all.filter((p) => p.group === n), axis.better === 'higher');
                return {name: Model.text(group.name), points: front.map((p) => [p.x, p.y]), curve: Pareto.curve(front, figure)};
            });
        }""",
        figure,
    )
    assert {each["name"] for each in found} == set(expected)
    for each in found:
        front = expected[each["name"]]
        assert each["points"] == [pytest.approx([point.x, point.y], rel=1e-12) for point in front.front]
        modelled = [(x, y) for x, y in each["curve"] if [x, y] not in each["points"]]
        assert len(modelled) == 15 * (len(front.front) - 1)
        for x, value in modelled:
            found_between = between(front, x)
            assert found_between is not None
            assert value == pytest.approx(found_between.y, rel=1e-9)
    assert not [1 for each in found for x, y in each["points"] if each["name"] == "fp8" and x == pytest.approx(2 / 0.00696, rel=0.01)]  # the invalid one


def test_a_planners_question_is_answered_at_once(opened: Opened) -> None:
    opened.page.fill("#at-least", "120")
    # At 120 tokens/s a step may take 8.33 ms: mxfp4 at batch 64 takes 8.2 ms, at 128 11.4 ms.
    assert "Cheapest at ≥ 120 tokens/s per user: mxfp4, batch 64 at $" in opened.page.locator("#pareto-answer").inner_text()
    opened.page.fill("#at-least", "9999")
    assert "Nothing valid reaches 9999" in opened.page.locator("#pareto-answer").inner_text()


def test_the_table_sorts_and_filters(opened: Opened) -> None:
    cells = "[...document.querySelectorAll('#points-table tbody tr:not([hidden])')].map((row) => row.cells[0].textContent)"
    opened.page.fill("[data-filters=points-table]", "fp8 throttled")
    assert opened.page.evaluate(cells) == ["fp8, batch 16"]
    opened.page.fill("[data-filters=points-table]", "mxfp4")
    opened.page.click("#points-table th[data-column=usd_per_mtok] button")
    assert opened.page.evaluate(cells) == [f"mxfp4, batch {batch}" for batch in (128, 64, 32, 16, 8, 4, 2, 1)]
    opened.page.click("#points-table th[data-column=usd_per_mtok] button")
    assert opened.page.evaluate(cells) == [f"mxfp4, batch {batch}" for batch in (1, 2, 4, 8, 16, 32, 64, 128)]
    assert opened.page.locator("#points-shown").inner_text() == "8 of 24 shown"


def test_charts_speak_to_a_keyboard(opened: Opened) -> None:
    opened.page.focus("#pareto-chart")
    opened.page.keyboard.press("ArrowRight")
    assert "tokens/s per user" in (opened.page.get_attribute("#pareto-chart", "aria-label") or "")
    assert opened.page.locator("#pareto-chart .hint").is_visible()
    opened.page.keyboard.press("Escape")
    assert opened.page.locator("#pareto-chart .hint").is_hidden()


def test_several_runs_change_together_or_alone(browser: Any, run: Path, tmp_path: Path) -> None:
    other = format_run.record(tmp_path / "other", batches=(1, 8))
    written(tmp_path / "two.html", run, other, "--usd-per-gpu-hour", "2")
    page = Opened(browser, tmp_path / "two.html")
    before = page.value(HEADLINE)
    assert before is not None
    page.page.select_option("#price-run", "1")
    page.change("price_usd_per_gpu_hour", 0.02)  # a hundredth: the other run's best is now the cheapest, whatever its batch
    name = page.page.locator("[data-best-name]").inner_text()
    assert "batch 8" in name
    assert page.page.locator("#headline [data-best-of]").inner_text().startswith("run 2, ")
    page.page.select_option("#price-run", "all")
    assert page.page.input_value("#price_usd_per_gpu_hour") == ""
    assert page.page.get_attribute("#price_usd_per_gpu_hour", "placeholder") == "differs by run"
    page.change("price_usd_per_gpu_hour", 4)
    assert page.value(HEADLINE) == pytest.approx(2 * before)
    assert page.messages == []
    page.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, price, path = hostile_run(), made.price(), tmp_path_factory.mktemp("hostile") / "hostile.html"
    path.write_text(html_text([(run, price, derive_run(run, price))]), encoding="utf-8")
    return path


def test_hostile_text_does_nothing(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile)
    page.page.focus("#pareto-chart")
    page.page.keyboard.press("ArrowRight")
    page.change("price_usd_per_gpu_hour", 5)
    page.page.wait_for_timeout(200)
    assert page.messages == []
    assert page.requests == [hostile.as_uri()]
    assert page.page.locator("img, iframe, object, embed, link, base").count() == 0
    assert page.page.evaluate("[...document.scripts].every((script) => script.parentElement === document.body)")
    text = page.page.evaluate("document.documentElement.textContent")
    assert not {"\u202e", "\x1b", "\x07", "\u2028"} & set(text)
    assert "alert(1)" in page.page.title()  # as text
    page.close()


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs whose models have names of 20,000 letters."""
    runs = [made.run(*(point | {"model": letter * 20_000} for point in made.run().points), run_id=letter) for letter in "mn"]
    path = tmp_path_factory.mktemp("long") / "long.html"
    path.write_text(html_text([(run, made.price(), derive_run(run, made.price())) for run in runs]), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["run", "hostile", "fleet", "long"])
def test_a_phone_scrolls_one_way_only(browser: Any, file: Path, hostile: Path, fleet: Path, long: Path, kind: str) -> None:
    page = Opened(browser, {"run": file, "hostile": hostile, "fleet": fleet, "long": long}[kind], viewport={"width": 390, "height": 800}, is_mobile=True)
    assert page.page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert page.messages == []
    page.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 51 runs, one more than are read one by one."""
    folder = tmp_path_factory.mktemp("fleet")
    first = format_run.record(folder / "runs", batches=(1, 8))
    for n in range(50):
        copy = shutil.copytree(first, folder / "runs" / f"copy-{n}")
        (copy / "run.json").write_text(json.dumps(json.loads((copy / "run.json").read_text()) | {"run_id": copy.name}))
    written(folder / "fleet.html", f"{folder}/runs/**")
    return folder / "fleet.html"


def test_a_fleet_is_shown_by_configuration(browser: Any, fleet: Path) -> None:
    page = Opened(browser, fleet)
    assert "51 runs" in page.page.locator("#headline").inner_text()
    assert page.page.locator("#fleet-table tbody tr").count() == 3 * 2
    page.page.fill("[data-filters=fleet-table]", "fp8")
    assert page.page.locator("#fleet-table tbody tr:visible").count() == 2
    assert page.page.locator("canvas").count() == 1
    assert page.messages == []
    page.close()


def test_without_scripts_figures_and_tables_still_read(browser: Any, file: Path) -> None:
    page = Opened(browser, file, java_script_enabled=False)
    assert page.page.locator(HEADLINE).inner_text().startswith("$0.")
    assert page.page.locator("#points-table tbody tr").count() == 24
    assert page.page.locator("#waterfall-rows tr").count() > 3
    assert "needs JavaScript" in page.page.locator("noscript").inner_text()
    page.close()


def test_light_dark_phone_and_paper_are_drawn(browser: Any, file: Path, tmp_path: Path) -> None:
    """The files are for people to look at; what a test can say is that the themes differ and that paper is light, whole and without controls."""
    shots = {}
    for name, context in {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}, "phone": {"viewport": {"width": 390, "height": 800}}}.items():
        page = Opened(browser, file, **context)
        shots[name] = page.page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        page.close()
    assert shots["light"] != shots["dark"]
    page = Opened(browser, file, color_scheme="dark")
    page.page.pdf(path=tmp_path / "paper.pdf")
    assert (tmp_path / "paper.pdf").stat().st_size > 50_000
    page.page.emulate_media(media="print")
    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.page.locator("#price-form").is_hidden()
    assert page.page.locator("header").is_hidden()
    assert all(page.page.locator(f"#{name}").is_visible() for name in ("headline", "cheaper", "pareto", "roofline", "timeline", "precision", "price", "points"))
    page.page.emulate_media(media="screen")
    page.page.click("#theme")
    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.messages == []
    page.close()

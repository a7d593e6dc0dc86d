"""`report -o report.html` as a file: what is in it, that nothing in a record can do anything in it, how large it is. In a browser: test_html_browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from profiler.commands.pricing import pricing_of
from profiler.commands.recorded import priced_runs
from profiler.commands.report import report
from profiler.economics.derive import derive_run
from profiler.economics.equations import solve
from profiler.economics.price_book import load_price_book
from profiler.economics.prices import PricePick, pick_price
from profiler.record.store import Run
from profiler.report.html.figures import FIGURES, PER_MW, value_of
from profiler.report.html.items import Reported, items_of
from profiler.report.html.packing import column, columns, rounded, script_json
from profiler.report.html.page import html_text
from tests.profiler import format_run
from tests.profiler import handmade_run as made

HTML = Path(__file__).parents[2] / "profiler" / "report" / "html"
SECTIONS = ["headline", "cheaper", "pareto", "roofline", "timeline", "precision", "price", "points", "method"]
HOSTILE = "</script><script>alert(1)</script>\"><img src=x onerror=alert(2)>{{7*7}}<!--\x1b]0;x\x07\u202eevil\u2028=cmd|' /C calc'!A0"


class Page(HTMLParser):
    """A page's elements as a parser sees them: (tag, attributes), and the text of each element of a kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open[-1]][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    def figure(self, name: str) -> str | None:
        return next((attrs["data-value"] for _, attrs in self.elements if attrs.get("data-figure") == name and "data-value" in attrs), None)


def page(run: Run, price: PricePick | None = None) -> str:
    at = price or made.price()
    return html_text([(run, at, derive_run(run, at))])


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    document: dict[str, Any] = json.loads(found[1], parse_constant=lambda name: pytest.fail(name))
    return document


def call(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "100"})


def formats(root: Path, **header: Any) -> Reported:
    return priced_runs([str(format_run.record(root, **header))], root, pricing_of())


def test_every_section_stands_in_the_order_of_a_readers_questions() -> None:
    found = Page(page(made.run()))
    assert [attrs["id"] for attrs in found.of("section")] == SECTIONS
    assert found.inside["title"] == ["qwen3-30b-a3b on H200 SXM · tokenmill"]
    assert [attrs["data-card"] for attrs in found.of("article")] == ["usd_per_mtok", "output_tokens_per_s", "energy_j_per_output_token", "tokens_per_s_per_mw"]


def test_the_headlines_figures_are_the_hand_made_ones() -> None:
    text = page(made.run())
    found = Page(text)
    # Batch 128: 0.456 GPU-seconds at $0.001 over 1024 tokens; 1024 / 0.456 tokens/s; 0.125 + 0.13672 J; 587.7 W measured, 1.73 kW planned.
    assert float(found.figure("usd_per_mtok") or 0) == pytest.approx(0.4453125)
    assert float(found.figure("output_tokens_per_s") or 0) == pytest.approx(2245.614)
    assert float(found.figure("energy_j_per_output_token") or 0) == pytest.approx(0.26172, rel=1e-4)
    assert float(found.figure("tokens_per_s_per_mw.provisioned") or 0) == pytest.approx(2245.614 / 0.00173)
    assert "$0.4453<i>±0.0027</i>" in text
    assert "measured × assumed" in text
    assert "--batch 256: the step from 32 to 128, the largest tried, saved $0.375 of $0.8203 per Mtok, 46%" in text
    assert "not known: board + cpu, node, facility" in text


def test_every_figure_that_a_reader_can_change_comes_out_of_the_table(tmp_path: Path) -> None:
    for item in items_of(formats(tmp_path)):
        inputs = item.inputs()
        for name in FIGURES if item.whole else [name for name in FIGURES if name.startswith(PER_MW)]:
            known = value_of(item, name)
            assert solve(name, inputs) == (None if known is None else pytest.approx(known, rel=1e-12)), (item.place, name)


def test_nothing_but_the_pages_own_scripts_may_run_and_nothing_may_be_fetched() -> None:
    text = page(made.run())
    found = Page(text)
    policy = next(str(attrs["content"]) for attrs in found.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    rules = {name: sources for name, *sources in (rule.split() for rule in policy.split(";"))}
    assert rules["default-src"] == ["'none'"]
    assert "unsafe" not in policy
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert rules[rule] == [f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in texts]
    assert not [attrs for tag, attrs in found.elements if "src" in attrs or (tag != "a" and "href" in attrs) or tag in ("link", "iframe", "object", "base")]
    assert {str(attrs["href"])[0] for attrs in found.of("a")} == {"#"}
    assert not [name for _, attrs in found.elements for name in attrs if name.startswith("on") or name == "style"]


def test_hostile_text_is_inert_wherever_it_stands(tmp_path: Path) -> None:
    text = page(hostile_run())
    found = Page(text)
    assert not found.of("img")
    assert len(found.of("script")) == len(Page(page(made.run())).of("script"))
    assert "alert(1)</script>" not in text.split("<title>")[1].split("</title>")[0]
    assert "{{7*7}}" in text  # as it was written, and not 49
    shown = text.replace("\n", "")
    assert not [hex(ord(c)) for c in shown if ord(c) < 32 or c in "\u202e\u2028\u2029"]
    assert data_of(text)["lines"] == 2


def hostile_run() -> Run:
    """The hand-made run with hostile text in every field that holds text and is no key of tokenmill's own."""
    ours = {"mix", "phase", "status", "kind", "run_id", "point_id", "plan", "schema_version", "device", "power_source", "gpu_key"}

    def poisoned(point: dict[str, Any]) -> dict[str, Any]:
        texts = {name: HOSTILE for name, value in point.items() if isinstance(value, str) and name not in ours}
        numerics = {"against": HOSTILE, "logits_relative_error": 0.1, "kl_nats": 0.1, "top1_agreement": 0.9, "tokens": 10, "parts": {HOSTILE: 0.1}}
        named = {"invalid_reasons": [HOSTILE], "warnings": [f"{HOSTILE}: {HOSTILE}"], "error": HOSTILE, "span": HOSTILE, "numerics": numerics}
        formats = {"plain": {"weight": HOSTILE, "takes": HOSTILE}, HOSTILE: {"weight": "x", "takes": HOSTILE, "kind": HOSTILE}}
        return point | texts | named | {"formats": formats}

    points = [poisoned(point) for point in made.run().points]
    environment = {"driver": HOSTILE, "gpu": {"name": HOSTILE}, "cpu": HOSTILE, "platform": HOSTILE, "git": HOSTILE}
    header = {"argv": ["run", HOSTILE], "command": HOSTILE, "created": HOSTILE, "status": HOSTILE, "not_measured": [HOSTILE], "environment": environment}
    return made.run(*points, **header)


def test_data_for_scripts_cannot_leave_its_element() -> None:
    value = {"<!--</script>&": ["\u2028\u2029", HOSTILE], "number": 1e-300, "none": None}
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


def test_packing_says_each_thing_once() -> None:
    assert column([2.0, 2.0]) == 2.0
    assert column([1, True]) == [1, True]
    assert column([[1], [1]]) == [[1], [1]]
    assert column([]) == []
    assert columns([{"a": 1, "b": "x"}, {"a": 1}]) == {"a": 1, "b": ["x", None]}
    assert [rounded(value) for value in (1234567.8, 0.1 + 0.2, None, float("inf"), 3.0)] == [1234570, 0.3, None, None, 3]


def test_a_run_without_a_valid_point_says_so_and_shows_no_figure() -> None:
    bad = {"valid": False, "invalid_reasons": ["throttled_thermal"]}
    text = page(made.run(made.prefill(**bad), made.decode(32, 0.02, 480.0, **bad)))
    found = Page(text)
    assert "No valid point has a price of tokens, so no figure is shown here" in text
    assert {found.figure(name) for name in ("usd_per_mtok", "output_tokens_per_s", "energy_j_per_output_token")} == {""}
    assert "cool the node" in text
    assert "0 of 1 line valid; what is not valid is kept and in no headline: throttled_thermal" in text


def test_an_empty_run_and_one_that_ran_out_of_memory_are_pages_too() -> None:
    empty = Run(path=made.run().path, header=made.run().header, points=[], plans={})
    assert "This run holds no point: nothing was measured, and no figure is shown." in page(empty)
    text = page(made.run(made.out_of_memory(512)))
    assert "No point has a measured step, so there is nothing to explain." in text
    assert "decode bf16, batch 512" in text


def test_without_a_price_the_headline_is_a_rate() -> None:
    text = page(made.run(), made.no_price())
    assert "No price is known, so the cheapest at any price is the valid mix with most tokens per GPU" in text
    assert Page(text).figure("usd_per_mtok") == ""


def test_several_runs_each_at_their_price(tmp_path: Path) -> None:
    first = made.run()
    second = made.run(*(point | {"gpu": "NVIDIA B200", "gpu_key": "b200"} for point in first.points), run_id="second")
    cheap, dear = made.price(usd_per_gpu_hour=1.8), made.price()
    text = html_text([(first, cheap, derive_run(first, cheap)), (second, dear, derive_run(second, dear))])
    # Half the price, half the dollars: 0.4453125 / 2.
    assert float(Page(text).figure("usd_per_mtok") or 0) == pytest.approx(0.22265625)
    assert data_of(text)["controls"]["price_usd_per_gpu_hour"] == [1.8, 3.6]
    assert 'placeholder="1.8 to 3.6, by run"' in text
    assert '<option value="1">2: second</option>' in text
    assert "H200 SXM, bf16, batch 128" in text


def test_buttons_are_the_books_kinds_of_price_each_as_every_run_has_it() -> None:
    run, book = made.run(), load_price_book()
    prices = [pick_price(book, "h200", kind="rent_3yr"), pick_price(book, "b200"), made.price()]  # the last is a flag's, of no kind
    text = html_text([(run, price, derive_run(run, price)) for price in prices])
    buttons = [text.strip() for text in Page(text).inside["button"] if "own_" in text or "rent_" in text]
    assert buttons == ["own_hyperscaler: $1.41 to $1.95, by run", "own_neocloud: $1.74 to $2.34, by run", "rent_3yr: $1.6 to $2.9, by run"]
    runs = data_of(text)["runs"]
    assert runs["way"] == [2, 0, None]
    assert runs["ways"][0][0] == {"usd": 1.41, "apart": False}
    assert runs["ways"][2] == [None, None, None]
    assert "data-way=" not in page(run)


def test_formats_stand_side_by_side_with_their_quality(tmp_path: Path) -> None:
    text = html_text(formats(tmp_path))
    section = text.split('<section id="precision">')[1].split("</section>")[0]
    # Every time of fp8 is 0.6 x bf16's, of mxfp4 0.5 x; bf16 ran out of memory at batch 128, so at its best batch of 64 a request takes
    # 0.2 + 1024 x 0.0164 / 64 = 0.4624 s of a GPU, mxfp4's at 128 (0.2 + 1024 x 0.0228 / 128) / 2 = 0.1912 s.
    assert "mxfp4 costs" in section
    said = re.search(r"mxfp4 costs <span[^>]*>(0\.\d+)×", section)
    assert said is not None
    assert float(said[1]) == pytest.approx(0.1912 / 0.4624, rel=0.005)  # windows hold whole steps
    assert "logits 2.0% off, KL 0.002 nats, top-1 96%, against bf16" in section
    assert "61.0 GB" in section


def test_invalid_points_are_named_with_their_remedies(tmp_path: Path) -> None:
    text = html_text(formats(tmp_path))
    section = text.split('<section id="method">')[1]
    assert "<code>noise_above_limit</code>" in section
    assert "more or longer windows (--windows, --window); nothing else on the machine" in section
    assert "fp8, batch 16" in section
    assert "tokenmill run --precision bf16,fp8,mxfp4 --note &#39;two words&#39;" in section


def test_500_points_are_under_a_megabyte(tmp_path: Path) -> None:
    path = format_run.record(tmp_path, batches=range(1, 167))
    began = time.perf_counter()
    result = call(path, "-o", tmp_path / "out.html")
    assert result.exit_code == 0, result.output
    size = (tmp_path / "out.html").stat().st_size
    print(f"501 points: {size:,} bytes in {time.perf_counter() - began:.2f} s")
    assert size < 1_000_000
    assert len(Page((tmp_path / "out.html").read_text()).of("tr")) > 498


def test_the_book_gives_what_owning_costs(tmp_path: Path) -> None:
    reported = formats(tmp_path)
    assert "Owned, in rented place" not in html_text(reported)
    text = html_text(reported, load_price_book())
    assert "Owned, in rented place" in text
    own = data_of(text)["runs"]["own"][0]
    assert own["gpu_capex_usd"] == load_price_book().owned.system_of("h200").figures["gpu_capex_usd"].value
    owned = priced_runs([str(next(tmp_path.iterdir()))], tmp_path, pricing_of(own="own_site"))
    assert data_of(html_text(owned))["runs"]["hosting"] == "own_site"


def test_what_is_vendored_is_what_its_table_says() -> None:
    table = (HTML / "vendor" / "README.md").read_text()
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        assert hashlib.sha256((HTML / "vendor" / name).read_bytes()).hexdigest() in table
    assert "The MIT License (MIT)" in (HTML / "vendor" / "LICENSE.uPlot").read_text()
    assert "Permission is hereby granted, free of charge" in page(made.run())


def foreign(*names: str) -> str:
    return html_text(priced_runs([str(Path(__file__).parents[1] / "data" / "foreign" / name) for name in names], Path(), pricing_of()))


def section(text: str, name: str) -> str:
    return text.split(f'<section id="{name}">')[1].split("</section>")[0]


def test_a_machine_that_a_file_does_not_state_is_no_cpu_and_its_line_is_not_valid() -> None:
    text = foreign("vllm_bench.json")
    assert Page(text).inside["title"] == ["qwen3-30b-a3b on a GPU that was not stated · tokenmill"]
    assert "1 line, 0 of them valid." in section(text, "points")
    assert "concurrency 32" in section(text, "points")
    method = section(text, "method")
    assert "0 of 1 line valid; what is not valid is kept and in no headline: no tokens/s per GPU." in method
    assert '<td class="text">name the file as FILE@h200x8 (GPU and count)</td>' in method


def test_what_ran_and_failed_is_named_by_its_size() -> None:
    assert "row-" not in section(foreign("inferencex.json@h200"), "points")


def test_formats_are_compared_only_where_the_rest_is_alike() -> None:
    # B200 and GB200 are two machines; of H200 one line is modelled and on 8 GPUs, the other cited and on 16.
    found = section(foreign("inferencex.json@b200", "inferencex.json@gb200"), "precision")
    assert "Two formats, cited (fp8, nvfp4): no two of one model, machine, mix, deployment and server, so none is compared." in found
    assert "measured" not in found.split("</p>")[0]
    assert "One number format, cited (nvfp4), so there is nothing to compare." in section(foreign("inferencex.json@gb200"), "precision")


def test_long_names_are_cut_where_they_are_titles() -> None:
    points = [point | {"model": "m" * 20_000} for point in made.run().points]
    text = page(made.run(*points))
    assert max(map(len, re.findall("m+", text))) <= 1000  # a fact of the record, in Methods
    assert Page(text).inside["title"] == [f"{'m' * 79}… on H200 SXM · tokenmill"]
    assert max(len(said) for tag in ("h1", "h2", "h3", "bdi", "option", "label") for said in Page(text).inside.get(tag, [""])) < 250


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    path = format_run.record(tmp_path)
    series = path / "series" / "decode-mxfp4-128.jsonl.gz"  # the headline's
    series.write_bytes(series.read_bytes()[:40])
    result = call(path, "-o", tmp_path / "out.html")
    assert "cut short or damaged" in str(result.exception)
    assert not (tmp_path / "out.html").exists()


def test_a_page_never_takes_a_records_place(tmp_path: Path) -> None:
    path = format_run.record(tmp_path)
    for target in (path / "report.html", path / "series" / "a.html", path):
        result = call(path, "-o", target if target.suffix else tmp_path / "x.html", *(["-o", path / "run.html"] if not target.suffix else []))
        assert "lies in a run's folder" in str(result.exception)
    assert sorted(each.name for each in path.iterdir()) == ["ops", "plans", "points.jsonl", "run.json", "series"]
    (tmp_path / "vllm.json").write_text("{}")
    assert "is what is read; choose another file" in str(call(tmp_path / "vllm.json", "-o", tmp_path / "vllm.json").exception)

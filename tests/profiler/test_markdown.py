"""report.md: says what the screen says, and no string of a record is more than text in it, for CommonMark, GitHub's tables and HTML alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from profiler.economics.derive import Derived, derive_run
from profiler.economics.prices import PricePick
from profiler.record.store import Run
from profiler.report.inert_markdown import fenced, md, md_of_markup
from profiler.report.markdown import MOST_ROWS, markdown_text
from tests.profiler import handmade_run as made
from tests.profiler.test_pareto import reported

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](http://evil.example/a.png)",
    "`code` ``more``",
    "a | b || c \\| d \\",
    "**bold** _it_ ~~gone~~ ***",
    "$\\frac{1}{2}$",
    "<http://evil.example> http://evil.example www.evil.example a@evil.example @user",
    "line\n\n# heading\n- item\n```\nfence\n",
    "\x1b[2J\x07\u202eRTL\u2066",
    "&lt;b&gt; &#60;b&#62;",
    "[link]: http://evil.example",
    "=1+1",
    "- item",
    "1. item",
    "# heading",
    "> quote",
    "---",
)


def rendered(text: str) -> list[str]:
    """The kinds of all tokens of the document, those inside lines too, as CommonMark with tables and HTML reads it."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").parse(text)
    return [token.type for outer in tokens for token in (outer, *(outer.children or ()))]


def shape(text: str) -> list[str]:
    """What is not words: `rendered` without the text itself, which escapes cut into pieces."""
    return [kind for kind in rendered(text) if kind not in ("text", "text_special")]


def shown(text: str) -> str:
    """The words that a reader sees."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return "\n".join("".join(child.content for child in token.children or ()) or token.content for token in tokens)


def named(name: str) -> list[tuple[Run, PricePick, Derived]]:
    """The handmade run with `name` in every field that holds free text."""
    fields = {"model": name, "gpu": name, "precision": name, "kv_cache": name, "routing": name, "warnings": [name]}
    invalid = {"valid": False, "invalid_reasons": [name], "point_id": "bad"}
    failed = made.out_of_memory(512) | {"error": name}
    points = [*made.run().points, made.decode(64, 0.01, 480.0) | invalid, failed]
    header = {"command": f"tokenmill run {name}", "created": name, "tokenmill": name, "status": name}
    environment = {"cpu": name, "driver": name, "torch": name, "gpu": {"name": name}}
    return reported(*(point | fields for point in points), environment=environment, **header)


def test_the_report_says_what_was_found() -> None:
    text = markdown_text(reported())
    assert text.startswith("# What a token costs: qwen3-30b-a3b\n")
    words = shown(text)
    assert "cheapest at ≥ 50 tokens/s/user: qwen3-30b-a3b bf16 batch 32 on H200 SXM, mix 8k/1k, $0.820±0.006 per Mtok (meas×assum), 1,219 tok/s/GPU" in words
    assert "cheapest at ≥ 20 tokens/s/user: qwen3-30b-a3b bf16 batch 128" in words
    assert "prefill 44% of the dollars" in words  # 0.2 s of 0.456 s
    assert "h200: assumed $3.6/GPU-h (--usd-per-gpu-hour; as given, taken as all-in), 100% busy; provisioned 1.73 kW per GPU (reference)" in words
    assert "3 of 3 points are valid" in words
    assert "```sh\ntokenmill run\ntokenmill report 20261122-153012-qwen3-30b-a3b-ab12 -o report.md\n```" in text
    assert "meas measured in this run" in words


def test_the_tables_hold_intervals_kinds_and_reasons() -> None:
    lines = markdown_text(reported()).splitlines()
    assert "| **bf16** | **128** | **31.2** | **4,000** | **41.0 K** | **0.262** | **0.0244** | **0.250** | **0.4453±0.0027** | **50% 80%** |" in lines
    assert "| batch 32 | 50.0 | \\$0.820±0.006 | 1,219±9 | 2.29 M | meas×assum |" in lines
    assert "| **delivered token** | **445** | **262** | **0.445** |  |" in lines  # 0.456 s and 268 J over 1024 tokens
    assert any(line.startswith("| queueing | –") for line in lines)
    assert any(line.endswith("no server was measured  ") for line in lines)


def test_every_table_is_one_and_every_row_whole() -> None:
    kinds = rendered(markdown_text(reported()))
    assert kinds.count("table_open") == 3
    assert "html_block" not in kinds
    assert "html_inline" not in kinds


def test_without_a_valid_point_the_report_says_so() -> None:
    bad = {"valid": False, "invalid_reasons": ["throttled"]}
    words = shown(markdown_text(reported(*(point | bad for point in made.run().points))))
    assert "No valid point has a mix" in words
    assert "not valid: throttled (3 points)" in words
    assert "cheapest at" not in words
    assert "0 of 3 points are valid" in words


def test_an_empty_run_and_no_run_are_reports_too() -> None:
    run = Run(path=Path("runs/empty"), header=made.run().header, points=[], plans={})
    words = shown(markdown_text([(run, made.price(), derive_run(run, made.price()))]))
    assert "nothing measured" in words
    assert "0 of 0 points are valid" in words
    assert "nothing measured" in markdown_text([])


def test_without_a_price_the_front_is_of_tokens() -> None:
    words = shown(markdown_text(reported(price=made.no_price())))
    assert "Pareto front: output tokens/s/GPU (higher is better)" in words
    assert "no GPU of the catalogue, so no price" in words


def test_several_runs_stand_one_below_the_other() -> None:
    other = reported(*(point | {"model": "another"} for point in made.run().points), run_id="20261123-000000-another-ab12")
    text = markdown_text([*reported(), *other])
    assert text.startswith("# What a token costs: qwen3-30b-a3b, another\n")
    assert "**20261123-000000-another-ab12**" in text


def test_a_fleets_points_are_cut_and_counted() -> None:
    points = [made.prefill(), *(made.decode(n, 0.02, 480.0) for n in range(1, MOST_ROWS + 51))]
    text = markdown_text(reported(*points))
    assert "and 50 more points" in text
    assert len(text) < 60_000


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_strings_change_no_structure(hostile: str) -> None:
    text = markdown_text(named(hostile))
    assert shape(text) == shape(markdown_text(named("harmless")))
    assert not set("\x1b\x07\u202e\u2066") & set(text)


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=40).filter(lambda text: md(text).strip() != ""))
def test_no_string_changes_the_structure(name: str) -> None:
    assert shape(markdown_text(named(name))) == shape(markdown_text(named("harmless")))


@given(st.text(max_size=60))
def test_a_line_of_any_text_is_one_paragraph_of_that_text(text: str) -> None:
    line = {"paragraph_open", "inline", "paragraph_close"}
    assert set(shape(md(text))) <= line
    assert set(shape(f"- {md(text)}")) <= line | {"bullet_list_open", "list_item_open", "list_item_close", "bullet_list_close"}


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\u2028\u2029"), max_size=60))
def test_readers_see_the_text_itself(text: str) -> None:
    assert " ".join(shown(md(text)).replace("\u2060", "").split()) == " ".join(text.split())


def test_addresses_and_names_are_no_links() -> None:
    text = md("see https://evil.example, www.evil.example, a@evil.example and @user")
    for address in ("https://evil", "www.evil", "@evil", "@user"):
        assert address not in text
    assert text.replace("\u2060", "") == "see https://evil.example, www.evil.example, a@evil.example and @user"


def test_no_backticks_end_a_block_of_code() -> None:
    block = fenced(["a ``` b", "````", "plain"], "sh")
    assert rendered(block) == ["fence"]
    assert shown(block) == "a ``` b\n````\nplain\n"


def test_markup_of_the_terminal_is_taken_off() -> None:
    assert md_of_markup("[bold]0.5[/] (\\[red])") == "0.5 (\\[red\\])"
    assert md_of_markup("[/red] nobody made this safe") == "\\[/red\\] nobody made this safe"


def test_long_strings_are_cut() -> None:
    assert len(md("x" * 10_000)) == 400


def test_a_records_any_fields_may_be_odd() -> None:
    found: dict[str, Any] = {"error": None, "invalid_reasons": None, "warnings": None}
    text = markdown_text(reported(*(point | found for point in made.run().points)))
    assert "3 of 3 points are valid" in text

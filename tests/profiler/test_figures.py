"""Figures: files that are what they say, the same each time, with inert text; one line where there is nothing to draw or nothing to draw with."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from profiler.commands.pricing import pricing_of
from profiler.commands.recorded import priced_runs
from profiler.economics.derive import Derived
from profiler.economics.prices import PricePick
from profiler.record.store import Run
from profiler.report.figures import CHARTS, write_figure
from tests.profiler import handmade_run as made
from tests.profiler.recorded_run import recorded
from tests.profiler.test_pareto import reported
from triton_kernels.errors import TokenmillError

matplotlib = pytest.importorskip("matplotlib")

Found = list[tuple[Run, PricePick, Derived]]
DATA = Path(__file__).parents[1] / "data"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return [recorded(tmp_path_factory.mktemp("runs"))]


def foreign(*paths: Path) -> Found:
    return priced_runs([str(path) for path in paths], DATA, pricing_of())


def texts(found: Found, chart: str, folder: Path) -> list[str]:
    """The words of a chart's SVG, in the order they were drawn."""
    path = folder / f"{chart}.svg"
    write_figure(found, path, chart)
    tree = ElementTree.parse(path)
    assert [element for element in tree.iter() if element.tag.lower().endswith(("script", "foreignobject", "}a"))] == []
    return ["".join(element.itertext()).strip() for element in tree.iter(f"{SVG}text")]


@pytest.mark.parametrize("chart", CHARTS)
def test_png_is_a_picture_and_svg_is_text(measured: Found, chart: str, tmp_path: Path) -> None:
    write_figure(measured, tmp_path / "a.PNG", chart)
    data = (tmp_path / "a.PNG").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG\r\n")
    assert 900 < width < 3000
    assert 500 < height < 2000
    words = texts(measured, chart, tmp_path)
    assert any("mix 8k/1k; meas: measured in this run" in word for word in words)


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_equal_records_give_equal_files(measured: Found, chart: str, ending: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_figure(measured, tmp_path / f"{name}.{ending}", chart)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_the_pareto_figure_names_points_units_and_price(measured: Found, tmp_path: Path) -> None:
    words = texts(measured, "pareto", tmp_path)
    assert words.count("batch 32") == 3  # throughput, dollars, megawatts
    for word in ("interactivity (tokens/s/user)", "output tokens/s/GPU", "$ per million output tokens", "output tokens/s/MW"):
        assert word in words
    assert "qwen3-30b-a3b bf16 on H200 SXM, mix 8k/1k" in words
    assert any(word.startswith("price: assumed $3.6/GPU-h") for word in words)
    unpriced = texts(reported(price=made.no_price()), "pareto", tmp_path)
    assert "$ per million output tokens" not in unpriced
    assert not any(word.startswith("price") for word in unpriced)


def test_invalid_points_are_crosses_with_a_name_in_the_legend(measured: Found, tmp_path: Path) -> None:
    bad = made.decode(64, 0.01, 480.0, valid=False, invalid_reasons=["throttled"])
    assert "not valid: on no front" in texts(reported(*made.run().points, bad), "pareto", tmp_path)
    assert "not valid: on no front" not in texts(measured, "pareto", tmp_path)


def test_the_waterfall_figure_has_time_joules_and_dollars(measured: Found, tmp_path: Path) -> None:
    # 0.456 s and 268 J over 1024 tokens: 445 µs, 262 mJ, $0.445 at $0.001 per GPU-second.
    words = texts(measured, "waterfall", tmp_path)
    for word in ("delivered token", "445", "262", "0.445", "mJ", "$/Mtok", "µs of GPU time per output token"):
        assert word in words
    assert "not known: queueing: steps, not requests: no server was measured" in words


def test_the_roofline_figure_has_both_roofs(measured: Found, tmp_path: Path) -> None:
    words = texts(measured, "roofline", tmp_path)
    assert "H200 SXM bf16, measured: 788 TFLOP/s, 4.30 TB/s" in words
    assert "H200 SXM bf16, datasheet: 989 TFLOP/s, 4.80 TB/s" in words
    assert "arithmetic intensity (FLOP per byte of device memory)" in words


def test_the_power_figure_has_a_panel_each_and_the_windows(measured: Found, tmp_path: Path) -> None:
    words = texts(measured, "power", tmp_path)
    for word in ("power (W)", "SM clock (MHz)", "temperature (°C)", "gpu0 (board)", "package-0 (cpu)", "windows that the figures are of"):
        assert word in words
    assert "qwen3-30b-a3b, decode-b128: valid" in words


def test_declared_watts_are_no_timeline(tmp_path: Path) -> None:
    with pytest.raises(TokenmillError, match=r"no sensor was sampled in these runs \(watts were declared\)"):
        write_figure(foreign(DATA / "golden_v1"), tmp_path / "a.svg", "power")


def test_figures_of_a_cpu_say_cpu_and_no_link_has_no_bar(measured: Found, tmp_path: Path) -> None:
    golden = foreign(DATA / "golden_v1")
    words = texts(golden, "waterfall", tmp_path)
    assert "µs of CPU time per output token" in words
    assert "busy CPU" in words
    assert "collectives on the links" not in [*words, *texts(measured, "waterfall", tmp_path)]
    words = texts(golden, "pareto", tmp_path)
    assert "output tokens/s/CPU" in words
    assert not any("/GPU" in word and "GPU-h" not in word for word in words)


def test_a_figure_of_served_points_names_their_concurrency_and_kinds(tmp_path: Path) -> None:
    words = texts(foreign(*sorted((DATA / "foreign").glob("*.json"))), "pareto", tmp_path)
    assert "concurrency 1024" in words
    assert any(word.endswith("; ref: cited; model: computed") for word in words)
    assert not any("None" in word or "meas:" in word for word in words)


def test_names_stay_inside_their_panel_and_off_each_other() -> None:
    from matplotlib.figure import Figure

    from profiler.report.draw.names import name_points

    axes = Figure(figsize=(4, 3)).subplots()
    axes.plot([0, 1, 10], [0, 0, 1], linestyle="none", marker="o")
    name_points(axes, [(0, 0, "first of all"), (1, 0, "lies on it"), (10, 1, "at the end")], below=False)
    assert [(text.get_text(), text.get_horizontalalignment()) for text in axes.texts] == [("first of all", "left"), ("at the end", "right")]


@pytest.mark.parametrize("chart", ["pareto", "waterfall", "roofline"])
def test_hostile_names_are_letters(chart: str, tmp_path: Path) -> None:
    hostile = "</text><script>alert(1)</script>$\\frac{1}{2}$&amp;\x1b[2J\u202e\ufffe\x00"
    fields = {"model": hostile, "gpu": hostile, "gpu_key": None, "precision": hostile}
    words = " ".join(texts(reported(*(point | fields for point in made.run().points)), chart, tmp_path))
    assert "</text><script>alert(1)</script>$\\frac{1}{2}$&amp;[2J" in words  # read back from the XML, so escaped in it
    assert not set("\x1b\u202e\ufffe\x00") & set(words)
    write_figure(reported(*(point | fields for point in made.run().points)), tmp_path / "a.png", chart)


def test_a_readers_own_settings_change_nothing_and_nothing_needs_a_display(measured: Found, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: TkAgg\nfont.size: 40\nsvg.fonttype: path\n")
    code = (
        "import sys; from pathlib import Path; import matplotlib; from tests.profiler.test_pareto import reported;"
        "from profiler.report.figures import write_figure;"
        "before = dict(matplotlib.rcParams); write_figure(reported(), Path(sys.argv[1]), 'pareto');"
        "assert dict(matplotlib.rcParams) == before; assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"MATPLOTLIBRC": str(tmp_path)}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "theirs.svg")], cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    write_figure(reported(), tmp_path / "ours.svg", "pareto")
    assert (tmp_path / "theirs.svg").read_bytes() == (tmp_path / "ours.svg").read_bytes()


def test_what_cannot_be_drawn_is_one_line(measured: Found, tmp_path: Path) -> None:
    refused = [
        (measured, tmp_path / "a.pdf", "pareto", "should end in .png or .svg"),
        (measured, tmp_path / "a.svg", "pie", "unknown chart"),
        (measured, tmp_path / "no" / "a.svg", "pareto", "cannot be written"),
        (reported(made.prefill()), tmp_path / "a.svg", "pareto", "no point has tokens/s per user"),
        (reported(made.out_of_memory(8)), tmp_path / "a.svg", "waterfall", "no point of these runs has a measured step"),
        (reported(made.out_of_memory(8)), tmp_path / "a.svg", "roofline", "no point has a recorded plan"),
        (reported(), tmp_path / "a.svg", "power", "no sensor was sampled in these runs, so"),
    ]
    for found, path, chart, said in refused:
        with pytest.raises(TokenmillError, match=said) as error:
            write_figure(found, path, chart)
        assert "\n" not in str(error.value)
        assert not path.exists()


def test_without_matplotlib_it_says_what_to_install(measured: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(TokenmillError, match=r"pip install 'tokenmill\[report\]'"):
        write_figure(measured, tmp_path / "a.svg", "pareto")


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    found = reported(*(point | {"windows": "none", "batch": {}} for point in made.run().points))
    found[0][2].mixes[0]["usd_per_mtok"] = {"value": 1.0, "ci95": "wide"}
    with pytest.raises(TokenmillError, match="the record is damaged"):
        write_figure(found, tmp_path / "a.svg", "pareto")


def test_twenty_groups_have_a_legend_of_twelve_and_a_count(tmp_path: Path) -> None:
    points = [point | {"model": f"m{n:02}", "point_id": f"{point['point_id']}-{n}"} for n in range(20) for point in made.run().points]
    words = texts(reported(*points), "pareto", tmp_path)
    assert "and 9 more" in words
    assert sum(word.startswith("m0") or word.startswith("m1") for word in words) == 11

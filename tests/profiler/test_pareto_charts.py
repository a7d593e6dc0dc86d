"""What charts are made of, and fronts on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from profiler.pareto.front import RATE, USD, Front, fronts
from profiler.report.charts.caption import caption_lines
from profiler.report.charts.chosen import chosen
from profiler.report.charts.pareto import pareto_data
from profiler.report.charts.roofline import roofline_data
from profiler.report.charts.timeline import BUCKETS, timeline_data
from profiler.report.charts.waterfall import LAYERS, waterfall_data
from profiler.report.pareto import print_fronts
from profiler.report.scatter import scatter_lines
from tests.profiler import handmade_run as made
from tests.profiler.recorded_run import PEAK_W, WINDOWS, recorded
from tests.profiler.test_pareto import operating, reported


def printed(found: list[Front], width: int = 100) -> str:
    out = io.StringIO()
    print_fronts(found, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def sweep(batches: int, **fields: Any) -> list[dict[str, Any]]:
    """A prefill and decodes whose step grows by 0.2 ms with each sequence: every batch is on the front."""
    return [made.prefill(), *(made.decode(n, 0.008 + 0.0002 * n, 480.0, **fields) for n in range(1, batches + 1))]


def test_pareto_data_names_each_point_once_with_all_its_figures() -> None:
    data = pareto_data(reported())
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert [y["name"] for y in data["ys"]] == [RATE, USD, "tokens_per_s_per_mw.board", "tokens_per_s_per_mw.provisioned"]
    assert [(point["name"], point["x"], point["group"]) for point in data["points"]] == [("batch 32", 50.0, 0), ("batch 128", 31.25, 0)]
    assert data["points"][1]["y"][USD] == pytest.approx(0.4453125)
    assert data["points"][1]["kinds"] == {
        RATE: "meas", USD: "meas×assum", "tokens_per_s_per_mw.board": "meas", "tokens_per_s_per_mw.provisioned": "ref",
    }  # fmt: skip
    assert data["fronts"][USD] == [[1, 0]]  # by x
    assert data["groups"][0]["label"] == "qwen3-30b-a3b bf16 on H200 SXM, mix 8k/1k"


def test_a_curve_goes_through_its_points_and_between_them_by_throughput() -> None:
    curve = pareto_data(reported())["curves"][USD][0]
    assert curve[0] == [31.25, pytest.approx(0.456 / 1.024)]
    assert curve[-1] == [50.0, pytest.approx(0.84 / 1.024)]
    # Half way throughput is (1024/0.456 + 1024/0.84) / 2 tokens/s, for $0.001 per GPU-second.
    assert curve[4] == [40.625, pytest.approx(1000 / ((1024 / 0.456 + 1024 / 0.84) / 2))]


def test_thinning_keeps_every_point_of_a_front_and_says_what_it_left_out() -> None:
    beaten = [made.decode(n, 0.05, 480.0, point_id=f"beaten-{n}") for n in range(1, 31)]
    data = pareto_data(reported(*sweep(10), *beaten), most=20)
    assert len(data["points"]) == 20
    assert data["left_out"] == 20
    assert len(data["fronts"][USD][0]) == 10


def test_nothing_measured_is_no_chart() -> None:
    assert pareto_data(reported(made.prefill()))["points"] == []
    assert waterfall_data(reported(made.out_of_memory(8))) is None
    assert roofline_data(reported(made.out_of_memory(8)))["points"] == []


def test_the_waterfall_adds_up_to_the_headlines_price() -> None:
    data = waterfall_data(reported())
    assert data is not None
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["label"] == "qwen3-30b-a3b bf16, batch 128, a request of mix 8k/1k"
    # 0.456 GPU-seconds over 1024 tokens, at $0.001 each.
    assert data["delivered"]["gpu_s"] == pytest.approx(0.456 / 1024)
    assert data["delivered"]["usd_per_mtok"] == pytest.approx(0.4453125)
    timed = [bar for bar in data["bars"] if bar["end_s"] is not None]
    assert timed[-1]["end_s"] == pytest.approx(0.456 / 1024)
    assert [bar["begin_s"] for bar in timed[1:]] == [bar["end_s"] for bar in timed[:-1]]
    assert {bar["name"] for bar in data["bars"]} <= set(LAYERS)


def test_the_chosen_row_is_valid_where_one_is() -> None:
    bad = {"valid": False, "invalid_reasons": ["throttled"]}
    found = chosen(reported(made.prefill(), made.decode(128, 0.032, 500.0, **bad), made.decode(32, 0.020, 480.0)))
    assert found is not None
    assert found.row.subject["batch"] == 32
    only_bad = chosen(reported(made.decode(128, 0.032, 500.0, **bad)))
    assert only_bad is not None
    assert only_bad.row.subject["batch"] == 128
    assert chosen(reported(made.out_of_memory(8))) is None


def test_the_roofline_by_hand() -> None:
    # Decode of 32: 4,728 GFLOP over 43 GB in 20 ms. Measured beside it 788 TFLOP/s and 4.3 TB/s; an H200 is sold with 989 and 4.8.
    data = roofline_data(reported())
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    point = next(point for point in data["points"] if point["point_id"] == "decode-b32")
    assert (point["x"], point["y"]) == (pytest.approx(4728 / 43), pytest.approx(236.4e12))
    assert data["machines"] == [
        {
            "label": "H200 SXM",
            "roofs": [
                {"lane": "bf16", "source": "measured", "flops_per_s": 788e12, "bandwidth_bytes_per_s": 4.3e12},
                {"lane": "bf16", "source": "datasheet", "flops_per_s": 989e12, "bandwidth_bytes_per_s": 4.8e12},
            ],
        }
    ]
    assert len(roofline_data(reported(*sweep(20)), most=10)["points"]) <= 10


def test_the_timeline_keeps_peaks_gaps_and_windows(tmp_path: Path) -> None:
    run, _, _ = recorded(tmp_path)
    data = timeline_data(run, run.points[1])
    assert data is not None
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["windows"][0] == [0.0, 5.5]
    assert len(data["windows"]) == len(WINDOWS)
    assert data["phases"][0] == {"name": "idle", "start": -10.0, "end": -5.0}
    power, clock, temperature = data["panels"]
    board, cpu = power["lines"]
    assert len(board["t"]) <= 2 * BUCKETS + 1
    assert max(value for value in board["v"] if value is not None) == PEAK_W
    gap = board["v"].index(None)
    assert board["t"][gap - 1] < 20.01
    assert board["t"][gap + 1] > 22.99
    assert (cpu["device"], cpu["boundary"]) == ("package-0", "cpu")
    assert all(value == pytest.approx(12.0) for value in cpu["v"])  # 1.2 J each 0.1 s
    assert (clock["unit"], clock["lines"][0]["v"][0]) == ("MHz", pytest.approx(1900.0))
    assert temperature["unit"] == "deg C"


def test_a_counter_that_fell_says_nothing_of_that_stretch(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    from profiler.record.rows import compressed, text_of

    rows = [{"t_s": float(t), "counter_j": joules, "device": "package-0", "boundary": "cpu"} for t, joules in enumerate((10.0, 30.0, 5.0, 25.0))]
    (tmp_path / "series" / "p.jsonl.gz").write_bytes(compressed(text_of(rows)))
    run = made.run()
    data = timeline_data(type(run)(path=tmp_path, header=run.header, points=[], plans={}), {"point_id": "p"})
    assert data is not None
    assert (data["panels"][0]["lines"][0]["t"], data["panels"][0]["lines"][0]["v"]) == ([1.0, 3.0], [20.0, 20.0])


def test_a_point_without_a_sensor_has_no_timeline() -> None:
    assert timeline_data(made.run(), made.decode(32, 0.02, 480.0)) is None


def test_the_caption_says_run_mix_kind_and_price() -> None:
    assert caption_lines(reported()) == [
        f"runs: {made.RUN_ID}; on NVIDIA H200",
        "mix 8k/1k; meas: measured in this run",
        "price: assumed $3.6/GPU-h (--usd-per-gpu-hour; as given, taken as all-in), 100% busy",
    ]


def test_a_scatter_puts_the_ends_at_the_ends() -> None:
    lines = scatter_lines([(10.0, 1.0, "a"), (20.0, 2.0, "b"), (15.0, 1.5, "c")], columns=30, rows=3)
    assert [line.rstrip() for line in lines] == [
        "2.00 │                       b",
        "     │            c",
        "1.00 │a",
        "     └────────────────────────",
        "      10.0                20.0",
    ]
    assert scatter_lines([], columns=30) == []
    assert "a" in "".join(scatter_lines([(1.0, 1.0, "a")], columns=30))


@pytest.mark.parametrize("width", [80, 100])
def test_fronts_on_a_terminal(width: int) -> None:
    invalid = made.decode(64, 0.010, 480.0, valid=False, invalid_reasons=["throttled"])
    text = printed(fronts(reported(*made.run().points, invalid), USD), width)
    assert "a qwen3-30b-a3b bf16 on H200 SXM, mix 8k/1k: 2 of 3 points on the front, 1 not" in " ".join(text.split())
    row = next(line.split() for line in text.splitlines() if line.startswith("batch 128"))
    assert row == ["batch", "128", "31.2", "$0.4453±0.0027", "2,246±14", "3.82", "M", "meas×assum"]
    assert "✗" in text
    assert max(map(len, text.splitlines())) <= width


def test_long_fronts_and_many_are_cut_and_say_so() -> None:
    assert "and 28 more between them" in printed(fronts(reported(*sweep(40)), USD))
    many = [front for n in range(30) for front in fronts(reported(*(point | {"model": f"m{n:02}"} for point in made.run().points)), USD)]
    assert "and 4 more fronts" in printed(many)
    assert "no point has tokens/s per user" in printed([])


def test_a_front_without_a_price_says_why() -> None:
    text = printed(fronts(reported(price=made.no_price()), USD))
    assert "0 of 2 points on the front, 2 without this figure (no GPU of the catalogue, so no price: give --usd-per-gpu-hour" in " ".join(text.split())


def test_unlike_prices_of_one_gpu_are_said() -> None:
    dear = reported(*(point | {"point_id": f"dear-{point['point_id']}"} for point in made.run().points), price=made.price(usd_per_gpu_hour=7.2))
    said = "H200 SXM at 2 prices per GPU-hour: --usd-per-gpu-hour prices all alike"
    assert said in " ".join(printed(fronts([*reported(), *dear], USD)).split())
    assert said not in printed(fronts(reported(), USD))


def test_hostile_names_are_inert_on_a_terminal() -> None:
    hostile = [point | {"model": "\x1b[2J[red]m[/]\u202e", "precision": "\x07[bold]"} for point in made.run().points]
    text = printed(fronts(reported(*hostile), USD))
    assert "[2J[red]m[/] [bold]" in text
    assert not set("\x1b\x07\u202e") & set(text)


def test_a_hundred_thousand_marks_are_thinned() -> None:
    points = [operating(float(n), float(n % 7 + 1), True, n) for n in range(1, 30_001)]
    from profiler.pareto.front import fronts_of

    assert len(printed(fronts_of(points, USD)).splitlines()) < 40

"""`tokenmill.read`: tables for Python users with documented columns, and a picture for notebooks that hostile records cannot use."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import tokenmill
from profiler.notebook import MOST_ROWS, Reading
from profiler.record.schema import FIELDS
from tests.profiler import handmade_run as made
from tests.profiler.test_fleet import record
from triton_kernels.errors import TokenmillError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs: of the hand-made points, $0.8203 and $0.4453 per Mtok at $3.60, and of a batch that is not valid."""
    root = tmp_path / "runs"
    record(root, *made.run().points)
    later = record(root, made.prefill(), made.decode(64, 0.025, 490.0, valid=False, invalid_reasons=["throttled"]))
    later.rename(root / "20990101-000000-later-0000")
    return root


def read(root: Path, *refs: str, **flags: Any) -> Reading:
    return tokenmill.read(*refs, root=root, **({"usd_per_gpu_hour": 3.6} | flags))


def test_points_are_a_frame_of_documented_columns(runs: Path) -> None:
    reading = read(runs, str(runs))
    points = reading.points
    assert points is reading.points  # made once
    assert list(points["batch"]) == [1, 32, 128, 1, 64]
    assert points["mix.usd_per_mtok.value"].tolist()[1:3] == [pytest.approx(0.8203125), pytest.approx(0.4453125)]
    assert points["output_tokens_per_s_per_gpu"].iloc[1] == 1600.0
    assert points["kernel_ratio"].isna().all()
    assert "windows" not in points
    columns = reading.columns
    assert list(columns.index) == list(points.columns)
    assert columns.loc["energy_j", "unit"] == "J"
    assert columns.loc["mix.usd_per_mtok.value", "unit"] == "USD/Mtok"
    assert columns.loc["step_s.ci95.low", "meaning"] == next(field.meaning for field in FIELDS if (field.where, field.name) == ("point", "step_s"))
    assert columns["meaning"].notna().all()


def test_mixes_are_a_frame(runs: Path) -> None:
    mixes = read(runs, str(runs)).mixes
    assert mixes["usd_per_mtok.value"].tolist()[:2] == [pytest.approx(0.8203125), pytest.approx(0.4453125)]
    assert mixes["valid"].tolist() == [True, True, False]
    assert mixes["points.decode"].tolist() == ["001-decode", "002-decode", "001-decode"]
    assert mixes["run_id"].nunique() == 2


def test_json_is_the_report_s(runs: Path) -> None:
    document = read(runs, str(runs)).json()
    assert [len(document[name]) for name in ("runs", "points", "mixes")] == [2, 5, 3]
    assert document["mixes"][1]["usd_per_mtok"]["value"] == pytest.approx(0.4453125)


def test_prices_are_the_flags_of_the_command_line(runs: Path, tmp_path: Path) -> None:
    first = sorted(path.name for path in runs.iterdir())[0]
    # Twice the price, busy half of the time: four times $0.4453125.
    assert read(runs, first, usd_per_gpu_hour=7.2, utilisation=0.5).mixes["usd_per_mtok.value"].iloc[1] == pytest.approx(1.78125)
    book = tmp_path / "book.toml"
    book.write_text("[gpus.h200]\nusd_per_gpu_hour = { rent_3yr = 1.8 }\n")
    assert read(runs, first, usd_per_gpu_hour=None, price_book=book).mixes["usd_per_mtok.value"].iloc[1] == pytest.approx(0.4453125 / 2)
    with pytest.raises(TypeError, match="dollars"):
        read(runs, first, dollars=1.0)
    with pytest.raises(TokenmillError, match="--usd-per-gpu-hour"):
        read(runs, first, usd_per_gpu_hour=-1.0)


def test_references_are_those_of_the_command_line(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = sorted(path.name for path in runs.iterdir())
    assert [run.path.name for run in read(runs, "*").runs] == ids
    assert [run.path.name for run in read(runs, *ids).runs] == ids
    assert read(runs).runs[0].path.name == ids[-1]  # no reference is `last`
    monkeypatch.chdir(runs.parent)
    assert [run.path.name for run in tokenmill.read("runs/**").runs] == ids
    for ref, said in (("nowhere", "no run 'nowhere'"), ("nowhere/*", "no run matches")):
        with pytest.raises(TokenmillError, match=said):
            tokenmill.read(ref)


def test_frame_takes_a_reading_and_a_run(runs: Path) -> None:
    reading = read(runs, "*")
    assert tokenmill.frame(reading) is reading.points
    # At no price of its own each run is read at the given one: half of $3.60.
    assert tokenmill.frame(reading, made.price(usd_per_gpu_hour=1.8))["mix.usd_per_mtok.value"].iloc[2] == pytest.approx(0.4453125 / 2)
    assert len(tokenmill.frame(reading.runs[0])) == 3


def test_a_repr_is_short(runs: Path) -> None:
    said = repr(read(runs, "*"))
    assert said.startswith("<tokenmill.Reading of 2 runs (")
    assert said.endswith("): 5 points, 3 mixes>")
    assert len(said) < 200


class Tags(HTMLParser):
    """Every tag and attribute of a document, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Tags:
    found = Tags()
    found.feed(html)
    found.close()
    return found


PLAIN_TAGS = {"b", "br", "code", "small", "table", "tbody", "td", "th", "thead", "tr"}


def test_a_notebook_shows_the_mixes_with_their_kinds(runs: Path) -> None:
    html = read(runs, "*")._repr_html_()
    found = parsed(html)
    assert found.tags <= PLAIN_TAGS
    assert found.attributes == []  # no style, no source, no address
    assert "<td>0.4453±0.0027 <small>meas×assum</small></td>" in html
    assert html.count("<tr>") == 1 + 3
    assert "✗ throttled" in found.text
    assert "3 points; assumed $3.6/GPU-h" in found.text


def test_hostile_records_are_inert_in_a_notebook(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>\" ' &amp; \x1b[2J\u202e"
    points = [point | {"model": hostile, "precision": hostile, "mix": "8k/1k"} for point in (made.prefill(), made.decode(32, 0.02, 480.0))]
    points.append(made.decode(64, 0.02, 480.0, valid=False, invalid_reasons=[hostile]) | {"model": hostile, "precision": hostile})
    price = made.price().json() | {"source": hostile}
    record(tmp_path, *points, price=price, run_id=hostile)
    html = tokenmill.read("last", root=tmp_path)._repr_html_()
    found = parsed(html)
    assert found.tags <= PLAIN_TAGS
    assert found.attributes == []
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>\" ' &amp; [2J" in found.text
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "\x1b" not in repr(tokenmill.read("last", root=tmp_path))


def test_many_mixes_and_none(tmp_path: Path) -> None:
    record(tmp_path / "many", made.prefill(), *(made.decode(batch, 0.02, 480.0) for batch in range(1, MOST_ROWS + 6)))
    html = tokenmill.read("last", root=tmp_path / "many")._repr_html_()
    assert html.count("<tr>") == 1 + MOST_ROWS
    assert "and 5 more mixes" in html
    record(tmp_path / "none", made.decode(32, 0.02, 480.0, mix=None), made.out_of_memory(512))
    reading = tokenmill.read("last", root=tmp_path / "none")
    assert "no mixes" in reading._repr_html_()
    assert reading.mixes.empty
    assert len(reading.points) == 2
    record(tmp_path / "empty")
    reading = tokenmill.read("last", root=tmp_path / "empty")
    assert reading.points.empty
    assert reading.columns.empty
    assert json.dumps(reading.json())


def test_pandas_is_imported_when_a_frame_is_asked_for(runs: Path) -> None:
    code = f"""
import sys, tokenmill
reading = tokenmill.read("*", root={str(runs)!r})
reading.json(), reading._repr_html_(), repr(reading)
print("pandas" in sys.modules)
reading.points
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"], done.stderr

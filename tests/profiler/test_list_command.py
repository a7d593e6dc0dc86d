import json
from pathlib import Path
from typing import Any

import pytest

from profiler.cli import run_command
from profiler.economics.derive import derive_run
from profiler.gpus import GPUS
from profiler.record.schema import FIELDS
from profiler.report.listing_rows import operations
from workloads.catalogue import CATALOGUE

Capture = pytest.CaptureFixture[str]


def rows(capsys: Capture, what: str, *more: str) -> list[dict[str, Any]]:
    assert run_command(["list", what, "--json", *more]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    document = json.loads(captured.out)
    assert set(document) - {"json_schema"} == {"schema_version", what}
    found = document[what]
    assert isinstance(found, list)
    return found


def test_gpus_come_with_their_sources(capsys: Capture) -> None:
    found = {row["key"]: row for row in rows(capsys, "gpus")}
    assert set(found) == set(GPUS)
    assert found["h200"]["bandwidth_bytes_per_s"] == 4.8e12
    assert "datasheet" in found["h200"]["sources"]["bandwidth_bytes_per_s"]
    assert found["h200"]["provenance"] == "reference"


def test_models_of_the_catalogue(capsys: Capture) -> None:
    assert {row["name"] for row in rows(capsys, "models")} == set(CATALOGUE)


def test_models_come_with_what_their_config_says(capsys: Capture) -> None:
    found = {row["name"]: row for row in rows(capsys, "models")}
    r1, dense = found["deepseek-r1"], found["llama-3.1-8b"]
    assert (r1["layers"], r1["experts"], r1["experts_per_token"], r1["published_in"]) == (61, 256, 8, "fp8")
    assert r1["kv_bytes_per_token_bf16"] == 61 * (512 + 64) * 2
    assert (dense["experts"], dense["published_in"], dense["max_positions"]) == (None, None, 131_072)
    assert dense["kv_bytes_per_token_bf16"] == 32 * 2 * 8 * 128 * 2


def test_formats_say_what_a_value_weighs_with_its_scale(capsys: pytest.CaptureFixture[str]) -> None:
    found = {row["name"]: row["bytes_per_value"] for row in rows(capsys, "formats")}
    assert found["bf16"] == 2
    assert found["mxfp4"] == 0.53125  # 4 bits and a byte for every 32
    assert found["nvfp4"] == 0.5625  # 4 bits and a byte for every 16
    assert found["fp8_128x128"] == 1 + 4 / 16384


def test_prices_with_what_they_include(capsys: Capture, tmp_path: Path) -> None:
    found = {row["gpu"]: row for row in rows(capsys, "prices")}
    assert found["h200"]["usd_per_gpu_hour"] == {"own_hyperscaler": 1.41, "own_neocloud": 1.74, "rent_3yr": 1.6}
    assert found["h200"]["includes"]["rent_3yr"] == ["capex", "colocation", "energy"]
    assert found["gb300"]["placeholder"]
    book = tmp_path / "mine.toml"
    book.write_text("[gpus.a100]\nusd_per_gpu_hour = { rent_3yr = 0.7 }\n")
    assert {row["gpu"]: row for row in rows(capsys, "prices", "--price-book", str(book))}["a100"]["usd_per_gpu_hour"] == {"rent_3yr": 0.7}


def test_kernels_are_the_operations_of_the_one_table(capsys: Capture) -> None:
    from triton_kernels.operations import OPERATIONS

    found = rows(capsys, "kernels")
    assert {row["name"] for row in found} == set(OPERATIONS)
    assert all(len(row["meaning"]) > 20 for row in found)


def test_operations_are_read_without_running_them(tmp_path: Path) -> None:
    (tmp_path / "operations.py").write_text(
        "import torch_is_not_here\nfrom triton_kernels.a import a\nfrom triton_kernels.operation import Operation\nfrom os import path\n"
    )
    (tmp_path / "a.py").write_text('"""Adds\nthings up.\n\nMore."""\nraise SystemExit("run")\n')
    (tmp_path / "operation.py").write_text('"""Not an operation."""\n')
    assert operations(tmp_path) == [{"name": "a", "meaning": "Adds things up."}]


def test_schema_gives_a_meaning_to_every_field(capsys: Capture) -> None:
    found = rows(capsys, "schema")
    assert len(found) == len(FIELDS)
    assert len({(row["where"], row["name"]) for row in found}) == len(found)
    assert all(row["meaning"] for row in found)
    by_name = {(row["where"], row["name"]): row["unit"] for row in found}
    assert by_name["point", "energy_j"] == "J"
    assert by_name["derived", "tokens_per_s_per_mw"] == "tokens/s/MW"
    assert by_name["mix", "usd_per_mtok"] == "USD/Mtok"


def test_schema_covers_what_is_recorded() -> None:
    from profiler.measure.point_fields import UNMEASURED, subject_fields
    from profiler.measure.point_spec import PointSpec

    subject = subject_fields(PointSpec(model="tiny-moe", phase="decode", precision="fp32", kv_cache="fp32", batch=1, context=64), None)
    recorded = {"schema_version", "run_id", "point_id", "status", "error", *UNMEASURED, *subject}
    assert recorded == {field.name for field in FIELDS if field.where == "point"}


def test_schema_covers_what_deriving_adds() -> None:
    from profiler.economics.points import derive_point

    derived = {field.name for field in FIELDS if field.where == "derived"}
    assert set(derive_point({}, None, None)) - {"provenance", "warnings"} == derived


def test_schema_covers_what_a_mix_has() -> None:
    from tests.profiler import handmade_run as made

    known = {field.name for field in FIELDS}
    for mix in derive_run(made.run(), made.price()).mixes:
        assert set(mix) - known == set()


@pytest.mark.parametrize("what", ["gpus", "models", "formats", "kernels", "prices", "owning", "price-lists", "grids", "schema"])
def test_every_table_prints(capsys: Capture, what: str) -> None:
    assert run_command(["list", what]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) > 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "list what? one of gpus, models"),
        (["gpu"], "unknown table 'gpu'; did you mean gpus"),
        (["\x1b[31mgpus"], "unknown table"),
        (["gpus", "--price-book", "x"], "--price-book belongs to"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys: Capture, arguments: list[str], said: str) -> None:
    assert run_command(["list", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "\x1b" not in captured.err


def test_hostile_strings_of_a_price_book_are_inert(capsys: Capture, tmp_path: Path) -> None:
    book = tmp_path / "mine.toml"
    book.write_text('[kinds."[red]k"]\nincludes = []\n[gpus.h200]\nusd_per_gpu_hour = { "[red]k" = 1.0 }\nsource = "[red]x[/red] \\u001b[2J\\u202e"\n')
    assert run_command(["list", "prices", "--price-book", str(book)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "[red]k" in printed
    assert "[red]x[/red] [2J" in printed
    assert "\x1b" not in printed
    assert "\u202e" not in printed

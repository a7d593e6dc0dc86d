"""A printed cell is the interval of its digits; a claims file is read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.audit.interval import Interval, exact, product
from profiler.audit.printed import RATIO, ROWS, interval_of
from profiler.audit.read_claims import parse_tolerance, read_claims
from triton_kernels.errors import TokenmillError


@pytest.mark.parametrize(
    ("text", "row", "low", "high"),
    [
        ("90", "tokens_per_s_per_gpu", 89.5, 90.5),  # the last digit is of ones
        ("6,000", "tokens_per_s_per_gpu", 5999.5, 6000.5),  # four digits are printed, the zeros too
        ("54 K", "tokens_per_s_per_mw", 53_500, 54_500),
        ("54K", "tokens_per_s_per_mw", 53_500, 54_500),
        ("2.8 M", "tokens_per_s_per_mw", 2_750_000, 2_850_000),
        ("1.2B", "tokens_per_s_per_mw", 1.15e9, 1.25e9),
        ("$4.20", "usd_per_mtok", 4.195, 4.205),
        ("$0.12", "usd_per_mtok", 0.115, 0.125),
        ("$ 1,234.5", "usd_per_mtok", 1234.45, 1234.55),
        ("1.73 kW", "kw_per_gpu", 1.725, 1.735),
        ("2.8 PFLOPS", "pflops_per_usd", 2.75, 2.85),
        (" 2.8 ", "pflops_per_usd", 2.75, 2.85),
    ],
)
def test_a_cell_is_the_interval_of_its_digits(text: str, row: str, low: float, high: float) -> None:
    found = interval_of(text, ROWS[row])
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert found.value == pytest.approx((low + high) / 2)


@pytest.mark.parametrize(("text", "low", "high"), [("65x", 64.5, 65.5), ("1.34 ×", 1.335, 1.345), ("2x", 1.5, 2.5)])
def test_a_ratio_has_its_sign(text: str, low: float, high: float) -> None:
    found = interval_of(text, RATIO)
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("text", "row", "said"),
    [
        ("4.20", "usd_per_mtok", "has no unit: a price begins with \\$"),
        ("€4.20", "usd_per_mtok", "is in euro sign: every price has to be in US dollars"),
        ("4,20 €", "usd_per_gpu_hour", "US dollars"),
        ("12¢", "usd_per_mtok", "cent sign: every price"),
        ("$-4.20", "usd_per_mtok", "above 0"),
        ("-90", "tokens_per_s_per_gpu", "above 0"),
        ("nan", "tokens_per_s_per_gpu", "number as printed"),
        ("inf", "tokens_per_s_per_gpu", "number as printed"),
        ("1e6", "tokens_per_s_per_gpu", "number as printed"),
        ("90 m", "tokens_per_s_per_gpu", "number as printed"),  # milli or million: who knows
        ("$90", "tokens_per_s_per_gpu", "number as printed"),
        ("9,00", "tokens_per_s_per_gpu", "number as printed"),
        ("٩٠", "tokens_per_s_per_gpu", "number as printed"),
        ("", "tokens_per_s_per_gpu", "number as printed"),
        ("0", "tokens_per_s_per_gpu", "is outside"),
        ("$0.00", "usd_per_mtok", "is outside"),
        ("$9,999,999", "usd_per_gpu_hour", "no US dollars per GPU-hour is outside 0.001 to 1000"),
        ("700", "kw_per_gpu", "outside 0.01 to 20"),  # watts for kilowatts
        ("9" * 4000, "tokens_per_s_per_gpu", "number as printed"),
        ("1" * 15 + "." + "0" * 9 + " " * 20, "tokens_per_s_per_gpu", "number as printed"),
    ],
)
def test_what_is_no_cell_is_refused(text: str, row: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        interval_of(text, ROWS[row])
    assert len(str(caught.value)) < 200


def test_a_ratio_without_its_sign_is_refused() -> None:
    with pytest.raises(ValueError, match="'65x'"):
        interval_of("65", RATIO)


def test_a_product_takes_the_edges_that_make_it_widest() -> None:
    six, three = Interval(value=6, low=5, high=8), Interval(value=3, low=2, high=4)
    assert product(2.0, [(six, 1), (three, -1)]) == Interval(value=4.0, low=2.5, high=8.0)  # 2x5/4, 2x8/2
    assert exact(2.0).scaled(3) == exact(6.0)
    assert six.overlaps(Interval(value=9, low=8, high=9))  # the edge belongs to both
    assert not six.overlaps(exact(8.1))
    assert six.widened(0.5) == Interval(value=6, low=2, high=11)
    assert six.common(three) is None
    assert six.common(exact(7.0)) == exact(7.0)


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0%", 0.0), (" 2.5 % ", 0.025), ("50%", 0.5)])
def test_a_tolerance_is_a_share(text: str, share: float) -> None:
    assert parse_tolerance(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["2", "51%", "-2%", "nan%", "100%", "1e1%", "", "٢%"])
def test_a_tolerance_is_nothing_else(text: str) -> None:
    assert parse_tolerance(text) is None


HEAD = 'title = "t"\n[columns.a]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "title: missing"),
        ('title = "t"', "columns: 0 columns"),
        ('title = 3\n[columns.a]\nusd_per_mtok = "$1.0"', "line 1: title: should be text"),
        ('title = "t"\nschema_version = 2\n[columns.a]', "line 2: schema_version: this tokenmill reads version 1"),
        ('title = "t"\ntoken_basis = "both"\n[columns.a]', "line 2: token_basis: 'both': should be output or total"),
        ('title = "t"\nunlike_fails = "yes"\n[columns.a]', "unlike_fails: should be true or false"),
        ('title = "t"\ntolerance = 0.02\n[columns.a]', "line 2: tolerance: should be text"),
        ('title = "t"\ntolerance = "2"\n[columns.a]', "line 2: tolerance: '2': should be a share"),
        ('title = "t"\nactive_params = nan\n[columns.a]', "line 2: active_params: nan"),
        ('title = "t"\nactive_params = "37B"\n[columns.a]', "line 2: active_params: should be a number"),
        ('titel = "t"\n[columns.a]', "line 1: titel: unknown key 'titel'; did you mean title"),
        (HEAD + 'usd_per_gpu_hours = "$1"', "line 3: columns.a.usd_per_gpu_hours: unknown key"),
        (HEAD + "usd_per_mtok = 4.2", "line 3: columns.a.usd_per_mtok: should be the text as printed"),
        (HEAD + "usd_per_mtok = nan", "line 3: columns.a.usd_per_mtok: should be the text as printed"),
        (HEAD + 'usd_per_mtok = "€4.20"', "line 3: columns.a.usd_per_mtok: '€4.20' is in euro sign"),
        (HEAD + 'usd_per_mtok = { printed = "$4.2", tol = "1%" }', "unknown key 'tol'"),
        (HEAD + 'usd_per_mtok = { printed = "$4.2", tolerance = "x" }', "columns.a.usd_per_mtok.tolerance: 'x'"),
        (HEAD + 'gpu = "h20"', "line 3: columns.a.gpu: unknown GPU 'h20'; did you mean h200"),
        (HEAD + 'format = "fp5"', "line 3: columns.a.format: unknown format 'fp5'"),
        (HEAD + f'label = "{"x" * 25}"', "line 3: columns.a.label: 25 characters: at most 24"),
        (HEAD + "[columns.a.ceiling]\noutput_tokens_per_s_per_gpu = 5", "columns.a.ceiling: needs"),
        (HEAD + '[columns.a.ceiling]\noutput_tokens_per_s_per_gpu = -5\ncommand = "x"', "output_tokens_per_s_per_gpu: -5"),
        ('title = "t"\n[columns."a b"]', "columns: 'a b' should be letters"),
        (HEAD + '[ratios."a/b"]\nusd_per_mtok = "2x"', "line 3: ratios: 'a/b' should be two columns"),
        (HEAD + '[ratios."a/a"]\nusd_per_mtok = "2x"', "ratios: 'a/a' should be two columns"),
        ('title = "t"\n[columns.a]\n[columns.b]\n[ratios."a/b"]\nusd_per_mtok = "2"', "line 5: ratios.a/b.usd_per_mtok: '2' should be the number as printed"),
        ('title = "t"\n' + "".join(f"[columns.c{i}]\n" for i in range(33)), "33 columns"),
        ("title = ", "not TOML"),
        ("#" + "x" * (1 << 20), "larger than 1 MiB"),
    ],
)
def test_a_claims_file_is_read_strictly(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(TokenmillError) as caught:
        read_claims(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, said in ((binary, "not UTF-8"), (tmp_path / "no.toml", "No such file"), (tmp_path, "Is a directory"), (Path("/dev/zero"), "larger than 1 MiB")):
        with pytest.raises(TokenmillError, match=said):
            read_claims(path)


def test_what_the_shipped_file_says() -> None:
    claims = read_claims()
    assert (claims.model, claims.active_params, claims.token_basis, claims.tolerance, claims.unlike_fails) == ("deepseek-r1", 37e9, None, 0.0, False)
    assert {key: (column.gpu.key if column.gpu else None, column.lane) for key, column in claims.columns.items()} == {
        "h200": ("h200", "fp8"),
        "gb300": ("gb300", "fp4"),
    }
    printed = [cell.printed for cell in claims.cells.values()]
    assert printed == ["$1.41", "2.8", "90", "54 K", "$4.20", "$2.65", "5.6", "6,000", "2.8 M", "$0.12", "2x", "2x", "65x", "50x", "35x"]
    assert {cell.provenance for cell in claims.cells.values()} == {"reference"}


def test_a_dense_model_passes_all_its_parameters(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for model, extra, expected in (("llama-3.1-70b", "", 70.6e9), ("mine", "active_params = 5e9\n", 5e9), ("mine", "", None), ("qwen3-30b-a3b", "", 3.3e9)):
        path.write_text(f'title = "t"\nmodel = "{model}"\n{extra}[columns.a]\n')
        assert read_claims(path).active_params == expected

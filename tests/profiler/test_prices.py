from pathlib import Path

import pytest

from profiler.economics.prices import load_price_book, pick_price, price_from_json, price_summary
from triton_kernels.errors import TokenmillError

BOOK = load_price_book()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_built_in_book() -> None:
    pick = pick_price(BOOK, "h200")
    assert (pick.usd_per_gpu_hour, pick.low, pick.high, pick.kind) == (1.41, 1.41, 1.74, "own_hyperscaler")
    assert pick.provisioned_kw_per_gpu == 1.73
    assert (pick.provenance, pick.provisioned_provenance) == ("reference", "reference")
    assert pick.includes == ("capex", "colocation", "energy")
    assert (pick.utilisation, pick.why_null, pick.placeholder) == (1.0, None, None)
    assert pick_price(BOOK, "gb300").usd_per_gpu_hour == 2.652
    assert pick_price(BOOK, "h200", kind="rent_3yr").usd_per_gpu_hour == 1.60


@pytest.mark.parametrize(("key", "stand_in"), [("b300", True), ("gb300", True), ("b200", False), ("gb200", False), ("h100", False)])
def test_stand_ins_are_flagged(key: str, stand_in: bool) -> None:
    pick = pick_price(BOOK, key)
    assert (pick.placeholder is not None) is stand_in
    assert ("placeholder" in price_summary(pick)) is stand_in


def test_no_entry_is_none_with_the_reason() -> None:
    for key, reason in (("a100", "no price for a100"), (None, "no GPU of the catalogue")):
        pick = pick_price(BOOK, key)
        assert (pick.usd_per_gpu_hour, pick.low, pick.provenance, pick.provisioned_kw_per_gpu) == (None, None, None, None)
        assert reason in (pick.why_null or "")
        assert price_summary(pick) == pick.why_null


def test_flags_replace_the_book_and_are_assumed() -> None:
    pick = pick_price(BOOK, "h200", usd_per_gpu_hour=0.5, pue=1.05, watts=800.0, kw_per_gpu=1.0, utilisation=0.7)
    assert (pick.usd_per_gpu_hour, pick.low, pick.high, pick.includes, pick.provenance) == (0.5, None, None, None, "assumed")
    assert (pick.pue, pick.pue_provenance, pick.node_w, pick.utilisation) == (1.05, "assumed", 800.0, 0.7)
    assert (pick.provisioned_kw_per_gpu, pick.provisioned_provenance) == (1.0, "assumed")
    assert "70% busy" in price_summary(pick)
    assert "taken as all-in" in price_summary(pick)


def test_a_flag_gives_a_price_to_a_gpu_without_one() -> None:
    pick = pick_price(BOOK, None, usd_per_gpu_hour=0.5)
    assert (pick.usd_per_gpu_hour, pick.why_null) == (0.5, None)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"usd_per_gpu_hour": 0.0}, "--usd-per-gpu-hour 0: should be a number above 0"),
        ({"usd_per_gpu_hour": -1.0}, "--usd-per-gpu-hour -1"),
        ({"usd_per_gpu_hour": float("nan")}, "--usd-per-gpu-hour nan"),
        ({"watts": float("inf")}, "--watts inf"),
        ({"kw_per_gpu": 0.0}, "--kw-per-gpu 0"),
        ({"pue": 0.9}, "--pue 0.9"),
        ({"pue": float("nan")}, "--pue nan"),
        ({"utilisation": 1.1}, "--utilisation 1.1"),
        ({"utilisation": 0.0}, "--utilisation 0"),
        ({"kind": "rent_3y"}, "did you mean rent_3yr"),
    ],
)
def test_impossible_flags_are_refused(flags: dict[str, float], said: str) -> None:
    with pytest.raises(TokenmillError, match=said):
        pick_price(BOOK, "h200", **flags)  # type: ignore[arg-type]


def test_a_pick_survives_the_record() -> None:
    pick = pick_price(BOOK, "gb300", watts=1500.0)
    assert price_from_json({**pick.json(), "a_later_field": 1}) == pick


def test_a_users_book_overrides_what_it_names(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        default_kind = "contract"
        usd_per_kwh = 0.08
        [kinds.contract]
        includes = ["capex"]
        [gpus.h200_sxm]
        usd_per_gpu_hour = { contract = 0.99 }
        [gpus.a100]
        usd_per_gpu_hour = { contract = 0.5, rent_3yr = 0.7 }
        provisioned_kw_per_gpu = 0.9
        pue = 1.5
        source = "our contract"
        date = "2026-11"
        [gpus.b200]
        provisioned_kw_per_gpu = 2.0
        """,
    )
    book = load_price_book(path)
    h200 = pick_price(book, "h200")
    assert (h200.usd_per_gpu_hour, h200.low, h200.high, h200.source) == (0.99, 0.99, 0.99, "mine.toml")
    assert (h200.includes, h200.usd_per_kwh) == (("capex",), 0.08)
    assert h200.provisioned_kw_per_gpu == 1.73  # not named, so still the built-in one
    a100 = pick_price(book, "a100")
    assert (a100.usd_per_gpu_hour, a100.high, a100.pue, a100.source, a100.date) == (0.5, 0.7, 1.5, "our contract", "2026-11")
    b200 = pick_price(book, "b200")
    assert (b200.provisioned_kw_per_gpu, b200.usd_per_gpu_hour, b200.kind) == (2.0, 1.95, "own_hyperscaler")
    assert pick_price(book, "h100").usd_per_gpu_hour == 1.30  # not named at all


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[gpus.h200]\nusd_per_gpu_hor = { own_neocloud = 1 }",
            "line 2: gpus.h200.usd_per_gpu_hor: unknown key 'usd_per_gpu_hor'; did you mean usd_per_gpu_hour",
        ),
        ("pu = 1.2", "line 1: pu: unknown key 'pu'; did you mean pue"),
        ("[gpus.h20]\npue = 1.2", "line 1: gpus.h20: unknown GPU 'h20'; did you mean h200"),
        ("[gpus.h200]\n\nusd_per_gpu_hour = { rent_3y = 1 }", "line 3: gpus.h200.usd_per_gpu_hour.rent_3y: unknown kind of price"),
        ("[gpus.h200]\nusd_per_gpu_hour = 1.2", "line 2: gpus.h200.usd_per_gpu_hour: should be a table"),
        ('[gpus.h200]\nusd_per_gpu_hour = { rent_3yr = "1.60" }', "should be a number (US dollars per GPU and hour), not text; other currencies"),
        ("[gpus.h200]\nusd_per_gpu_hour = { rent_3yr = true }", "should be a number"),
        ("[gpus.h200]\nusd_per_gpu_hour = { rent_3yr = -1.6 }", "-1.6: should be US dollars per GPU and hour, above 0 to 1000"),
        ("[gpus.h200]\nusd_per_gpu_hour = { rent_3yr = 0 }", "0: should be US dollars"),
        ("[gpus.h200]\nusd_per_gpu_hour = { rent_3yr = nan }", "nan: should be US dollars"),
        ("[gpus.h200]\nusd_per_gpu_hour = { rent_3yr = inf }", "inf: should be US dollars"),
        ("[gpus.h200]\nprovisioned_kw_per_gpu = 1730", "1730: should be kilowatts per GPU"),
        ("[gpus.h200]\npue = 0.5", "0.5: should be facility power over IT power"),
        ("[gpus]\nh200 = 3", "gpus.h200: should be a table"),
        ("gpus = 3", "gpus: should be a table"),
        ("[gpus.h200]\nsource = 3", "gpus.h200.source: should be text"),
        ('[kinds.mine]\nincludes = ["electricity"]', "should be a list of capex, colocation, energy"),
        ("[kinds.mine]", "kinds.mine.includes: should be a list"),
        ('default_kind = "mine"', "unknown kind of price 'mine'"),
        ("schema_version = 2", "this tokenmill reads version 1"),
        ("[gpus.h200", "not TOML"),
        ("a" * (1 << 20) + "\n", "larger than 1 MiB"),
        ("x = " + "[" * 5000, "not TOML"),
    ],
)
def test_a_wrong_book_is_one_line_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TokenmillError) as caught:
        load_price_book(path)
    message = str(caught.value)
    assert message.startswith(f"price book {path}")
    assert said in message
    assert caught.value.exit_code == 2


def test_a_book_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TokenmillError, match="No such file"):
        load_price_book(tmp_path / "none.toml")
    with pytest.raises(TokenmillError, match="Is a directory"):
        load_price_book(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'source = "\xe9"')
    with pytest.raises(TokenmillError, match="not UTF-8"):
        load_price_book(tmp_path / "latin.toml")


def test_an_endless_book_is_refused() -> None:
    with pytest.raises(TokenmillError, match="larger than 1 MiB"):
        load_price_book("/dev/zero")

"""The screen's lines about recipes: what they are made of, what they weigh, what they do to the numbers."""

from profiler.report.precisions import precision_lines

BF16 = {"weight": "bf16", "takes": "bf16", "kind": "wgmma bf16"}
MXFP4 = {"weight": "mxfp4", "takes": "bf16", "kind": "wgmma bf16"}


def point(precision: str, experts: dict, weight_bytes: float, **fields: object) -> dict:
    formats = {"attention": BF16, "experts": experts, "plain": BF16}
    return {"precision": precision, "kv_cache": "bf16", "formats": formats, "weight_bytes": weight_bytes, **fields}


def test_a_single_plain_recipe_needs_no_line() -> None:
    assert precision_lines([point("bf16", BF16, 2e9), point("bf16", BF16, 2e9)]) == []


def test_each_recipe_has_one_line() -> None:
    numerics = {
        "against": "bf16", "tokens": 32, "logits_relative_error": 0.05, "kl_nats": 0.0016, "top1_agreement": 0.875, "parts": {"head.logits": 0.05, "x": 0.2},
    }  # fmt: skip
    plain, mxfp4 = precision_lines([point("bf16", BF16, 2e9), point("mxfp4", MXFP4, 6e8, numerics=numerics), point("mxfp4", MXFP4, 6e8)])
    assert plain == "[bold]bf16[/]: 2.00 GB; all bf16"
    assert mxfp4.startswith("[bold]mxfp4[/]: 600 MB; experts mxfp4 × bf16 (wgmma bf16), the rest bf16; against bf16: logits 5.0% off, KL 0.0016 nats, top-1 8")
    assert mxfp4.endswith("of 32, worst x 20% (meas)")


def test_hostile_names_are_inert() -> None:
    (line,) = precision_lines([point("[red]evil[/]", MXFP4, 1e9)])
    assert "[red]evil" not in line.replace("\\[red]", "")

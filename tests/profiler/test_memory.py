import pytest

from profiler.measure.memory import refuse_what_cannot_fit
from profiler.measure.point_spec import PointSpec
from triton_kernels.errors import TokenmillError
from workloads.depth import reduced
from workloads.read_model import read_model

QWEN = read_model("qwen3-30b-a3b")


def spec(**changes: object) -> PointSpec:
    values = {"model": "qwen3-30b-a3b", "phase": "decode", "precision": "bf16", "kv_cache": "bf16", "batch": 32, "context": 4096}
    return PointSpec(**(values | changes))  # type: ignore[arg-type]


def test_what_fits_is_left_alone() -> None:
    """61.1 GB of weights and 32 x 4096 x 98,304 bytes = 12.9 GB of cache."""
    refuse_what_cannot_fit(QWEN, spec(), int(75e9))


def test_weights_that_are_too_large_are_refused_with_what_fits() -> None:
    """On four GPUs: a quarter of 57.98 GB of experts, 3.08 GB of the rest and 12.9 GB of cache are 30.5 GB; with tp 2, half of the rest and of the cache,
    22.5 GB, and 0.9 x 26 GB are 23.4."""
    with pytest.raises(TokenmillError, match=r"61.1 GB of weights, and the device has 26.0 GB of memory; what fits: --tp 2 --ep 4 --dp 2") as caught:
        refuse_what_cannot_fit(QWEN, spec(), int(26e9))
    assert "--layers" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cache_that_is_too_large_is_a_finding() -> None:
    with pytest.raises(MemoryError, match=r"61.1 GB of weights and 12.9 GB of KV cache, and the device has 70.0 GB of memory; what fits: a smaller --batch"):
        refuse_what_cannot_fit(QWEN, spec(), int(70e9))


def test_the_published_formats_are_offered_where_they_fit() -> None:
    """gpt-oss-120b: 116.8 G parameters in bf16 are 233.7 GB; 114.7 G of experts at 4.25 bits and 2.2 G at 16 are 65.2 GB: more than 60, less than 150."""
    model, wanted = read_model("gpt-oss-120b"), spec(model="gpt-oss-120b", batch=1)
    with pytest.raises(TokenmillError, match=r"what fits: --precision mxfp4, as it is published \(65.2 GB of weights\), --tp") as caught:
        refuse_what_cannot_fit(model, wanted, int(150.7e9))
    assert "233.7 GB of weights" in str(caught.value)
    with pytest.raises(TokenmillError) as caught:
        refuse_what_cannot_fit(model, wanted, int(60e9))
    assert "as it is published" not in str(caught.value)


def test_fewer_layers_fit() -> None:
    """An eighth of the layers, and the tables of 1.24 GB."""
    refuse_what_cannot_fit(reduced(QWEN, 6)[0], spec(layers=6), int(11e9))

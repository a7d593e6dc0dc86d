import re

import pytest

from profiler.gpus import GPUS, gpu_for_name, gpu_named
from profiler.modelled.floor_math import LANES
from triton_kernels.errors import TokenmillError


@pytest.mark.parametrize(
    ("nvml_name", "key"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("A100-SXM4-80GB", "a100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA B300", "b300"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("NVIDIA GB200", "gb200"),
        ("NVIDIA GB300", "gb300"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx_pro_6000"),
    ],
)
def test_driver_names_find_their_gpu(nvml_name: str, key: str) -> None:
    found = gpu_for_name(nvml_name)
    assert found is not None
    assert found.key == key


@pytest.mark.parametrize(
    "nvml_name",
    [
        "",
        "NVIDIA A100-SXM4-40GB",  # 1.555 TB/s
        "NVIDIA A100 80GB PCIe",
        "NVIDIA H100 PCIe",  # 2 TB/s and fewer SMs
        "NVIDIA H100 NVL",
        "NVIDIA H200 NVL",
        "NVIDIA H200 MIG 1g.18gb",
        "NVIDIA GH200 480GB",
        "NVIDIA GB300-WS",
        "NVIDIA GB10",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",  # another memory clock
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        "NVIDIA H200\n",
        "Tesla V100-SXM2-32GB",
    ],
)
def test_a_gpu_that_is_not_in_the_table_is_none(nvml_name: str) -> None:
    assert gpu_for_name(nvml_name) is None


def test_keys_and_aliases_in_any_spelling() -> None:
    assert gpu_named("h200") is gpu_named("H200_SXM") is gpu_named(" h200-sxm ") is GPUS["h200"]
    assert gpu_named("gb300 nvl72") is GPUS["gb300"]


def test_a_typo_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(TokenmillError, match=re.escape("unknown GPU 'h20'; did you mean h200, h100")) as caught:
        gpu_named("h20")
    assert caught.value.exit_code == 2


def test_datasheet_figures() -> None:
    h200, gb300, rtx = GPUS["h200"], GPUS["gb300"], GPUS["rtx_pro_6000"]
    assert (h200.bandwidth_bytes_per_s, h200.flops_per_s["bf16"], h200.flops_per_s["fp8"], h200.tdp_w) == (4.8e12, 989e12, 1979e12, 700)
    assert "fp4" not in h200.flops_per_s
    assert h200.nvlink_bytes_per_s == 450e9
    assert h200.memory_bytes == 143_771 * 1024 * 1024
    assert gb300.flops_per_s["fp4"] == 15e15
    assert rtx.nvlink_bytes_per_s is None


def test_every_figure_has_a_source_and_no_alias_names_two_gpus() -> None:
    aliases = [alias for gpu in GPUS.values() for alias in (gpu.key, *gpu.aliases)]
    assert len(aliases) == len(set(aliases))
    for gpu in GPUS.values():
        figures = {"memory_bytes", "bandwidth_bytes_per_s", "tdp_w", *gpu.flops_per_s} | ({"nvlink_bytes_per_s"} if gpu.nvlink_bytes_per_s else set())
        assert set(gpu.sources) == figures, gpu.key
        assert set(gpu.flops_per_s) <= set(LANES), gpu.key

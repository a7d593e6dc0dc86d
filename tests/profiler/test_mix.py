import pytest

from profiler.modelled.mix import Mix, parse_mix
from triton_kernels.errors import TokenmillError


@pytest.mark.parametrize(
    ("text", "isl", "osl", "cached", "name"),
    [
        ("8k/1k", 8192, 1024, 0, "8k/1k"),
        ("1024/256", 1024, 256, 0, "1k/256"),
        ("8192/1024", 8192, 1024, 0, "8k/1k"),
        ("1000/200", 1000, 200, 0, "1000/200"),
        ("8k/1k/6k", 8192, 1024, 6144, "8k/1k/6k"),
        ("1.5K/1/0", 1536, 1, 0, "1536/1"),
        (" 1m / 2 ", 1048576, 2, 0, "1024k/2"),
    ],
)
def test_a_mix_is_read_and_named(text: str, isl: int, osl: int, cached: int, name: str) -> None:
    mix = parse_mix(text)
    assert mix == Mix(isl=isl, osl=osl, cached=cached)
    assert mix.name == name
    assert parse_mix(mix.name) == mix


def test_fresh_tokens_are_those_not_cached() -> None:
    assert parse_mix("8k/1k/6k").fresh == 2048


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8k",
        "8k/",
        "/1k",
        "8k/1k/1k/1k",
        "8k1k",
        "a/b",
        "0/1",
        "1/0",
        "-1/2",
        "1.3/1",
        "8k/1k/8k",
        "8k/1k/9k",
        "1e3/1",
        "nan/1",
        "99m/1",
        "٣/1",
        "1" * 400 + "/1",
    ],
)
def test_what_is_no_mix_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(TokenmillError, match=r"^mix ") as caught:
        parse_mix(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250

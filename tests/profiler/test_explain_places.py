"""Every place that a model of the catalogue names belongs to a group, in plain words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from profiler.explain.places import GROUPS, PLACES, group_of_part, in_words
from workloads.catalogue import CATALOGUE
from workloads.deployment import Deployment
from workloads.depth import reduced
from workloads.planning import plan_step
from workloads.read_model import read_model
from workloads.shape import StepShape
from workloads.step_inputs import Sampling

# One GPU, a tensor-parallel group, and experts spread wider than that.
_DEPLOYMENTS = ({}, {"tp": 2}, {"tp": 2, "ep": 4, "dp": 2})
_SHAPES = (StepShape(phase="decode", batch=4, context=128), StepShape(phase="prefill", batch=1, context=512))


def _places(model: str) -> set[tuple[str, str]]:
    """(operation, part) of steps of the model's first layers of each kind, in a plain and a quantised recipe."""
    whole, found = read_model(model), set()
    spec, _ = reduced(whole, 1)
    for sizes in _DEPLOYMENTS if spec.moe is not None else _DEPLOYMENTS[:2]:
        for precision in ("bf16", "nvfp4"):
            for shape in _SHAPES:
                mtp = replace(shape, mtp=spec.mtp_modules > 0 and not sizes)
                plan, _ = plan_step(spec, Deployment(precision=precision, arch=100, **sizes), mtp, sampling=Sampling())
                found |= {(call.op, call.part) for call in plan.calls}
    return found


@pytest.mark.parametrize("model", CATALOGUE)
def test_every_part_of_a_model_has_a_group(model: str) -> None:
    places = _places(model)
    assert [place for place in places if group_of_part(*place) == "other"] == []
    assert {group_of_part(*place) for place in places} >= {"attention", "head", "norms", "embedding"}


def test_groups_are_those_of_the_waterfall() -> None:
    assert {group for group, _ in PLACES.values()} < set(GROUPS)


@pytest.mark.parametrize(
    "op, part, group, words",
    [
        ("grouped_matmul", "experts.down", "experts", "MoE down-projection"),
        ("matmul", "experts.shared.down", "dense", "shared expert down-projection"),
        ("quantize", "experts.gate_up", "quantize", "quantization for MoE gate and up projection"),
        ("add_norm", "mtp.mlp.norm", "norms", "MTP: norm before MLP"),
        ("matmul", "a part of tomorrow", "other", "a part of tomorrow"),
    ],
)
def test_a_place_has_a_group_and_a_name(op: str, part: str, group: str, words: str) -> None:
    assert (group_of_part(op, part), in_words(op, part)) == (group, words)

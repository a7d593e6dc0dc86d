"""Operations alone inside a worker's session: whatever goes wrong with them, the point stands as its windows left it."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from profiler.measure import session as session_module
from profiler.measure.point_spec import PointSpec
from profiler.measure.session import Session

SPEC = PointSpec(
    model="tiny-mla", phase="decode", precision="fp32", kv_cache="fp32", batch=1, context=64, window_s=0.02, windows=2, device="cpu", layers=1, per_op=True
)  # fmt: skip


def silent(stage: str, fraction: float | None, note: str, *, step_s: float | None = None) -> None:
    """No display."""


def test_the_point_is_told_before_its_operations_and_is_the_same_after() -> None:
    told: list[dict[str, Any]] = []

    def so_far(result: dict[str, Any]) -> None:
        told.append({**result, "point": dict(result["point"])})

    result = Session(silent, so_far).measure(SPEC)
    (early,) = told
    changed = {name for name, value in result["point"].items() if early["point"][name] != value}
    assert changed == {"per_op", "phases"}
    assert (early["ops"], len(result["ops"])) == ([], len(result["plan"]["calls"]))
    assert result["point"]["phases"][-1]["name"] == "operations"


@pytest.mark.parametrize(
    "error, said",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out of memory"),
        (RuntimeError("shapes differ\nand more"), "RuntimeError: shapes differ"),
    ],
)
@pytest.mark.parametrize("works", [True, False])
def test_what_goes_wrong_is_said_and_the_point_stands(error: Exception, said: str, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(session_module, "operation_runners", fails)
    monkeypatch.setattr(Session, "device_works", lambda self: works)
    result = Session(silent).measure(SPEC)
    point = result["point"]
    assert (point["status"], point["per_op"], result["ops"]) == ("ok", {"measured": 0, "left_out": [said]}, [])
    assert point["step_s"]["median"] > 0
    assert result["sticky"] is not works


@pytest.mark.parametrize("works", [True, False])
def test_numbers_that_go_wrong_cost_no_point(works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fails(*args: Any, **kwargs: Any) -> None:
        asked.append(args)
        raise RuntimeError("a kernel that is wrong")

    monkeypatch.setattr(session_module, "numbers_of", fails)
    monkeypatch.setattr(Session, "device_works", lambda self: works)
    session, spec = Session(silent), replace(SPEC, per_op=False, compare=True)
    result = session.measure(spec)
    assert (result["point"]["status"], result["point"]["numerics"], result["sticky"]) == ("ok", None, not works)
    assert session.measure(spec)["point"]["numerics"] is None
    assert len(asked) == 1  # once for all points of these weights

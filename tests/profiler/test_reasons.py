"""The closed list of reasons: what the method says of it, and that nothing outside it is said of a point."""

from pathlib import Path

from profiler.measure.reasons import REASONS

ROOT = Path(__file__).parents[2]


def test_the_method_prints_the_list() -> None:
    rows = [f"| `{r.name}` | {r.verdict} | {r.of} | {r.meaning} | {r.remedy} |" for r in REASONS.values()]
    text = (ROOT / "docs" / "method.md").read_text()
    assert "\n".join(rows) in text, "docs/method.md, Validity: " + "\n".join(rows)


def test_every_reason_has_a_verdict_and_a_remedy() -> None:
    for reason in REASONS.values():
        assert reason.verdict in ("invalid", "gpu", "warning"), reason.name
        assert reason.meaning, reason.name
        assert reason.remedy, reason.name

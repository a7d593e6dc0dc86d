"""Figures as PNG or SVG files, by matplotlib (the `report` extra). What they show is worked out in profiler.report.charts."""

from __future__ import annotations

from pathlib import Path

from profiler.economics.derive import DAMAGE, damaged
from profiler.pareto.operating import Reported
from triton_kernels.errors import TokenmillError, unknown

CHARTS = ("pareto", "waterfall", "roofline", "power")
ENDINGS = (".png", ".svg")
_METADATA: dict[str, dict[str, str | None]] = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": "tokenmill"}}  # equal records give equal files


def write_figure(reported: Reported, path: Path, chart: str) -> None:
    """Draws `chart` (of CHARTS) into `path`, PNG or SVG by its ending. Needs no display and leaves matplotlib's own settings as they were.

    TokenmillError: another chart or ending, nothing to draw, matplotlib not installed, or a file that cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise TokenmillError(f"{str(path)[:120]}: a figure should end in .png or .svg")
    if chart not in CHARTS:
        raise unknown("chart", chart, CHARTS)
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise TokenmillError("figures need matplotlib: pip install 'tokenmill[report]'") from error
    try:
        _draw(reported, path, chart)
    except DAMAGE as error:
        raise damaged(reported[0][0], "the record", error) from error


def _draw(reported: Reported, path: Path, chart: str) -> None:
    from profiler.report.draw.pareto import pareto_figure
    from profiler.report.draw.power import power_figure
    from profiler.report.draw.roofline import roofline_figure
    from profiler.report.draw.style import house_style
    from profiler.report.draw.waterfall import waterfall_figure

    draw = {"pareto": pareto_figure, "waterfall": waterfall_figure, "roofline": roofline_figure, "power": power_figure}[chart]
    with house_style():
        figure = draw(reported)
        ending = path.suffix.lower()
        try:
            figure.savefig(path, format=ending.removeprefix("."), metadata=_METADATA[ending])
        except OSError as error:
            raise TokenmillError(f"{path}: cannot be written ({error.strerror}); choose another file") from error

"""Who chooses each token's experts, as the user names it. Importable without torch and numpy."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from triton_kernels.errors import TokenmillError
from workloads.config_json import read_config

ROUTINGS = ("uniform", "balanced", "model")
_ZIPF = re.compile(r"zipf:(\d{1,2}(?:\.\d{1,4})?)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    """`uniform`: each token draws alone; `balanced`: tokens take turns; `model`: the router decides; `zipf`: expert number r of a layer is as likely as
    r^-skew,
    which is which drawn for each layer; `histogram`: as likely as recorded."""

    text: str  # as it was given
    kind: str
    skew: float = 0.0
    rows_LE: tuple[tuple[float, ...], ...] = ()  # recorded rows of each expert, by MoE layer; one histogram stands for every layer

    @property
    def drawn(self) -> bool:
        """Whether the host draws the experts; otherwise they are only known once a step has run."""
        return self.kind != "model"


def parse_routing(text: str) -> Routing:
    """uniform, balanced, model, zipf:SKEW, or the path of a histogram: JSON {"rows_per_expert":
    [[rows of expert 0, 1, ...], ...]}, a list for each MoE layer or one for all."""
    if text in ROUTINGS:
        return Routing(text=text, kind=text)
    match = _ZIPF.fullmatch(text)
    if match:
        return Routing(text=text, kind="zipf", skew=float(match[1]))
    path = Path(text)
    if not text.startswith("zipf") and (path.suffix == ".json" or path.is_file()):
        return Routing(text=text, kind="histogram", rows_LE=_histogram(path))
    raise TokenmillError(f"--routing {text[:60]!r}: should be {', '.join(ROUTINGS)}, zipf:1.2, or a JSON file of rows_per_expert")


def _histogram(path: Path) -> tuple[tuple[float, ...], ...]:
    if not path.is_file():
        raise TokenmillError(f"--routing {path}: no such file")
    config = read_config(path)
    layers = config.lists_of_numbers("rows_per_expert")
    config.refuse_unknown("a histogram", ())
    for rows in layers:
        if not rows or len(rows) != len(layers[0]) or not all(math.isfinite(r) and r >= 0 for r in rows) or sum(rows) <= 0:
            raise config.error("rows_per_expert", "should hold lists of equal length, of counts from 0, some above it")
    return layers

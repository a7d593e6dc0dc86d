"""Tokens per megawatt against the power limit, from points that an operator took under different limits. Observing only: nothing here changes one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from profiler.economics.formulas import usd_per_mtok
from profiler.economics.hour import gpu_hour_usd
from profiler.economics.prices import PricePick
from profiler.explain.alike import CAP, alike, of
from profiler.explain.waterfall import Explained

# Widest last. `provisioned` is planned for a rack whatever its limit, so it says nothing about one.
DRAWN = ("board", "board_cpu", "node", "facility")

Mixes = Mapping[tuple[str, str], Mapping[str, Any]]  # (run, its decode point) -> the mix with its derived figures


def frontier_of(found: Sequence[Explained], mixes: Mixes, price: PricePick | None, site_mw: float | None) -> list[dict[str, Any]]:
    """One table per group of decode points that differ in their power limit alone; with `site_mw` also of points that have but one limit.

    {model, ..., of: "mix" | "decode", boundary, rows: [{power_limit_w, sm_hz, step_s, board_w, tokens_per_s_per_mw, usd_per_mtok, valid}], best_per_mw,
    best_usd, site}. `boundary`: the widest that every row's watts are known at. `best_*`: limits in W, among valid rows.
    """
    decodes = [e for e in found if e.point.get("phase") == "decode" and e.step.unit != "step"]
    groups = [g for g in alike(decodes, but=CAP) if len({of(e, CAP) for e in g if of(e, CAP) is not None}) > 1 or site_mw is not None]
    return [_table(sorted(group, key=lambda e: of(e, CAP) or math.inf), mixes, price, site_mw) for group in groups]


def _table(group: Sequence[Explained], mixes: Mixes, price: PricePick | None, site_mw: float | None) -> dict[str, Any]:
    served = [mixes.get((e.run_id, str(e.point.get("point_id")))) for e in group]
    whole = all(mix is not None and mix.get("output_tokens_per_s_per_gpu") for mix in served)
    rows = [_row(e, mix if whole else None, price) for e, mix in zip(group, served, strict=True)]
    # Watts that somebody declared do not change with the limit: by them the fastest would always be the best.
    alone = len({row[CAP] for row in rows}) == 1
    boundary = next((b for b in reversed(DRAWN) if all(row["by_boundary"].get(b) and (alone or _seen(b, row["kinds"])) for row in rows)), None)
    for row in rows:
        row["tokens_per_s_per_mw"] = row.pop("by_boundary").get(boundary)
        del row["kinds"]
    valid = [row for row in rows if row["valid"]]
    per_mw = max((row for row in valid if row["tokens_per_s_per_mw"]), key=lambda row: row["tokens_per_s_per_mw"], default=None)
    usd = min((row for row in valid if row["usd_per_mtok"]), key=lambda row: row["usd_per_mtok"], default=None)
    return {
        **{name: group[0].point.get(name) for name in ("model", "precision", "kv_cache", "batch", "context", "mix")},
        "of": "mix" if whole else "decode",
        "boundary": boundary,
        "rows": rows,
        "best_per_mw": per_mw and per_mw[CAP],
        "best_usd": usd and usd[CAP],
        "site": None if site_mw is None or per_mw is None else _site(per_mw, site_mw, boundary),
    }


def _seen(boundary: str, kinds: Mapping[str, Any]) -> bool:
    """Whether a sensor or a meter saw the boundary's watts; a site's are the node's times its PUE."""
    kind = kinds.get(f"tokens_per_s_per_mw.{'node' if boundary == 'facility' else boundary}")
    return kind in ("measured", "emulated", "replayed")


def _row(found: Explained, mix: Mapping[str, Any] | None, price: PricePick | None) -> dict[str, Any]:
    point = found.point
    figures = point if mix is None else mix
    rate = figures.get("output_tokens_per_s_per_gpu")
    if mix is not None:
        usd = (mix.get("usd_per_mtok") or {}).get("value")
    else:
        hour = None if price is None else gpu_hour_usd(price, found.step.watts.facility)[0]
        usd = usd_per_mtok(hour, rate, utilisation=price.utilisation if price else 1.0)
    return {
        "run_id": found.run_id,
        "point_id": point.get("point_id"),
        CAP: of(found, CAP),
        "sm_hz": ((point.get("environment") or {}).get("clocks") or {}).get("sm_hz"),
        "step_s": found.step.median_s,
        "board_w": found.step.watts.board,
        "output_tokens_per_s_per_gpu": rate,
        "by_boundary": figures.get("tokens_per_s_per_mw") or {},
        "kinds": figures.get("provenance") or {},
        "usd_per_mtok": usd,
        "valid": bool(figures.get("valid")),
    }


def _site(best: Mapping[str, Any], site_mw: float, boundary: str | None) -> dict[str, Any]:
    """What a site of so many megawatts holds at a row's limit: whole GPUs by the watts that each draws at the boundary, and their tokens/s."""
    watts = best["output_tokens_per_s_per_gpu"] / best["tokens_per_s_per_mw"] * 1e6
    gpus = math.floor(site_mw * 1e6 / watts)
    return {
        "mw": site_mw, "boundary": boundary, CAP: best[CAP], "watts_per_gpu": watts, "gpus": gpus,
        "output_tokens_per_s": gpus * best["output_tokens_per_s_per_gpu"],
    }  # fmt: skip

"""What an audit found, a line each: what is wrong, what would mend it, what is compared with what, watts, token basis, roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.report.audit_figures import Audited, between, exactly
from profiler.report.kinds import short
from profiler.report.numbers import count, fixed, percent, usd
from profiler.report.text import printable

Lines = list[tuple[str, str]]
_MOST_LINES = 8  # of one kind: a table of many columns may be wrong everywhere


def findings(found: Audited) -> Lines:
    """(label, text) for every kind of finding that the table gives rise to."""
    lines = [*_wrong(found), *_mends(found), *_flops(found), *_watts(found), *_prices(found), *_tokens(found), *_roofline(found), *_not_checked(found)]
    return [("" if i and lines[i - 1][0] == label else label, text) for i, (label, text) in enumerate(lines)]


def _wrong(found: Audited) -> Lines:
    failed = [check for check in found.document["checks"] if check["fails"]]
    lines = [("[red]wrong[/]", _failure(found, check)) for check in failed[:_MOST_LINES]]
    return lines + ([("[red]wrong[/]", f"and {len(failed) - _MOST_LINES} more: --json lists them")] if len(failed) > _MOST_LINES else [])


def _failure(found: Audited, check: Mapping[str, Any]) -> str:
    target, name = check["target"], f"[bold]{printable(found.cell_name(check['target']))}[/]"
    if check["role"] == "limit":
        return f"{name}: {percent(check['derived']['value'])} of {printable(check['note'].partition(' of ')[2])}: more than the GPU has"
    if check["relation"] == "peak_of_the_gpu":
        return f"{name}: {printable(check['note'])}"
    inputs = " and ".join(printable(found.cells[cell]["printed"]) for cell in check["inputs"][:2])  # those of the equation
    text = f"{name}: {printable(check['claimed']['printed'])} printed, {between(target, check['derived'])} follows from {inputs}"
    return text + _another_side(found, check)


def _another_side(found: Audited, check: Mapping[str, Any]) -> str:
    """The same equation solved for the tokens/s, or the same ratio by the prices of a token."""
    rates = [cell for cell in check["inputs"] if cell.endswith(".tokens_per_s_per_gpu")]
    if check["relation"] == "price_of_a_token":
        solved = found.check(rates[0], "price_of_a_token")
        return f"; the printed price needs {between(rates[0], solved['derived'])} tokens/s" if solved and solved["derived"] else ""
    told = [column for column in found.columns if _price_is_wrong(found, column) and found.check(check["target"], f"ratio_by_price_of_{column}")]
    return "".join(_by_price(found, check["target"], column) for column in told[:1])


def _by_price(found: Audited, target: str, column: str) -> str:
    way, rate = found.checks[f"{target}:ratio_by_price_of_{column}"], f"{column}.tokens_per_s_per_gpu"
    implied = found.checks[f"{rate}:price_of_a_token"]["derived"]["value"]
    return f"; {between(target, way['derived'])} with the {exactly(rate, implied)} that {printable(found.name(column))}'s prices need"


def _price_is_wrong(found: Audited, column: str) -> bool:
    check = found.check(f"{column}.usd_per_mtok", "price_of_a_token")
    return check is not None and bool(check["fails"])


def _mends(found: Audited) -> Lines:
    texts = []
    for mend in found.document["mends"][:_MOST_LINES]:
        low, high = (exactly(mend["cell"], mend[edge]) for edge in ("low", "high"))
        texts.append(f"[bold]{printable(found.cell_name(mend['cell']))}[/] from {low} to {high} instead of {printable(mend['printed'])}")
    return [("mended by", f"{' or '.join(texts)}: then every check agrees")] if texts else []


def _flops(found: Audited) -> Lines:
    peaks = [check for check in found.document["checks"] if check["relation"] == "peak_of_the_gpu" and check["derived"] and not check["fails"]]
    lines = [("FLOPS/$", printable(check["note"])) for check in peaks[:_MOST_LINES]]
    for ratio in found.ratios[:_MOST_LINES]:
        target = f"{ratio}.pflops_per_usd"
        like = [f"{printable(c['note'])} {fixed(c['derived']['value'])}x" for c in found.of(target) if c["role"] == "like for like"]
        unlike = (found.check(target, "ratio") or {}).get("verdict") == "unlike"
        said = f"the {printable(found.cells[target]['printed'])} compares [yellow]unlike things[/]; " if unlike else ""
        lines += [("FLOPS/$", f"{said}like for like: {', '.join(like)}")] if like else []
    return lines


def _watts(found: Audited) -> Lines:
    lines: Lines = []
    for key, column in list(found.columns.items())[:_MOST_LINES]:
        check, by_price = (found.check(f"{key}.kw_per_gpu", relation) for relation in ("implied_kw", "implied_kw_by_price"))
        if check is None or check["derived"] is None:
            continue
        also = f" ({fixed(by_price['derived']['value'])} by its $ per Mtok)" if by_price else ""
        known, nearest = dict(check["detail"]["known_kw"]), check["detail"]["reading"]
        near = f", near its {printable(nearest)} {known.pop(nearest):g} kW" if nearest else ", near no known figure"
        others = ", ".join(f"{name} {kw:g}" for name, kw in known.items())
        beside = f" [dim](ref; {printable(others)})[/]" if others else ""
        lines.append(("watts", f"{printable(column['label'])} implies {fixed(check['derived']['value'])} kW per GPU{also}{near}{beside}"))
    return lines


def _prices(found: Audited) -> Lines:
    checks = [check for check in found.document["checks"] if check["relation"] == "price_book"]
    texts = [f"{printable(c['claimed']['printed'])} is {printable(c['note'])}{' (placeholder)' if c['detail']['placeholder'] else ''}" for c in checks]
    return [("prices", f"{'; '.join(texts[:_MOST_LINES])} [dim](ref)[/]")] if texts else []


def _tokens(found: Audited) -> Lines:
    unsaid = "if " if found.document["table"]["token_basis"] is None else ""
    return [("tokens", f"{unsaid}{text}") for text in (_reading(reading) for reading in found.document["readings"]) if text]


def _reading(reading: Mapping[str, Any]) -> str | None:
    columns = list(reading["columns"].values())[:_MOST_LINES]
    rates = " and ".join(_rate(c["output_tokens_per_s_per_gpu"]["value"]) for c in columns if c["output_tokens_per_s_per_gpu"])
    money = " and ".join(usd(c["usd_per_output_mtok"]["value"]) for c in columns if c["usd_per_output_mtok"])
    parts = ([f"{rates} output tokens/s per GPU"] if rates else []) + ([f"{money} per output Mtok"] if money else [])
    what = "output tokens" if reading["basis"] == "output" else f"input and output of {printable(reading['mix'])}"
    return f"{what} ({short(reading['provenance'])}): {', '.join(parts)}" if parts else None


def _rate(tokens_per_s: float) -> str:
    """Without the digits that a printed cell never had: 90 and not 90.0."""
    return f"{tokens_per_s:,.0f}" if tokens_per_s >= 100 else f"{tokens_per_s:.3g}"


def _roofline(found: Audited) -> Lines:
    lines, notes = [], []
    for key, column in list(found.columns.items())[:_MOST_LINES]:
        peak, floor = (found.check(f"{key}.tokens_per_s_per_gpu", relation) for relation in ("flop_utilisation", "share_of_floor"))
        parts, label = [], printable(column["label"])
        if peak is not None and peak["derived"] is not None and not peak["fails"]:
            parts.append(f"{percent(peak['derived']['value'])} of its dense {str(column['format']).upper()} FLOP/s")
        if floor is not None:
            rate, note = floor["detail"]["ceiling_output_tokens_per_s_per_gpu"], floor["detail"]["note"]
            parts.append(f"{_shares(found, key)} of the floor's {count(rate)} tokens/s")
            notes += [f"{label} {printable(note)}"] if note else []
        lines += [("roofline", f"{label} reaches {', '.join(parts)}")] if parts else []
    return lines + ([("roofline", f"[dim]floors (model): {'; '.join(notes)}[/]")] if notes else [])


def _shares(found: Audited, key: str) -> str:
    shares = {reading["basis"]: percent(reading["columns"][key]["share_of_floor"]["value"]) for reading in found.document["readings"]}
    return f"{shares['output']} ({shares['total']} if total)" if len(shares) == 2 else next(iter(shares.values()))


def _not_checked(found: Audited) -> Lines:
    checks = [check for check in found.document["checks"] if check["role"] in ("check", "limit") and check["verdict"] == "not checkable"]
    texts: dict[str, list[str]] = {}
    for check in checks:
        texts.setdefault(_why(check), []).append(printable(found.cell_name(check["target"])))
    return [("unchecked", f"{_some(names)} [dim]({printable(why)})[/]") for why, names in list(texts.items())[:_MOST_LINES]]


def _why(check: Mapping[str, Any]) -> str:
    return "the table prints no kW" if check["relation"] == "tokens_per_megawatt" else str(check["note"])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

"""Every formula of money, power and carbon, once, as data: tokenmill computes with this table, and the page of a report computes with the same one.

All figures are per GPU of the whole deployment unless the name says otherwise. A name that is given is taken as given; else it is computed; else it is not
known (None), and so is what needs it. docs/method.md tells the same in prose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from profiler.economics.expression import Program, Tree, compiled, names_in, parse

SECONDS_PER_HOUR = 3600.0
HOURS_PER_YEAR = 8760.0
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """An input: its unit, what it means, and the range outside which a reader has mistyped it."""

    unit: str
    meaning: str
    least: float
    most: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Equation:
    """A computed figure."""

    unit: str
    text: str
    meaning: str


def _given(unit: str, least: float, most: float, meaning: str) -> Given:
    return Given(unit=unit, least=least, most=most, meaning=meaning)


def _equation(unit: str, text: str, meaning: str) -> Equation:
    return Equation(unit=unit, text=text, meaning=meaning)


INPUTS: dict[str, Given] = {
    # what a GPU is bought for, per GPU of the system
    "gpu_capex_usd": _given("USD/GPU", 0, 1e6, "the GPU itself"),
    "server_capex_usd": _given("USD/GPU", 0, 1e6, "its share of server or rack: CPUs, memory, NVLink switches, power supplies, cooling"),
    "network_capex_usd": _given("USD/GPU", 0, 1e6, "its share of the network between nodes"),
    "storage_capex_usd": _given("USD/GPU", 0, 1e6, "its share of storage"),
    "life_years": _given("years", 0.5, 20, "years over which the purchase is paid back"),
    "cost_of_capital": _given("per year", 0, 1, "interest and return that the money costs"),
    "residual_share": _given("", 0, 1, "share of the purchase that is got back at the end of its life"),
    "maintenance_share": _given("per year", 0, 1, "maintenance, spares and support, as a share of the purchase"),
    "staff_usd_per_year": _given("USD/GPU/year", 0, 1e6, "people who run it"),
    "colocation_usd_per_kw_month": _given("USD/kW/month", 0, 1e4, "rent of a place by planned kW"),
    "usd_per_kwh": _given("USD/kWh", 0, 10, "electricity"),
    # what a GPU-hour costs, and how it is used
    "price_usd_per_gpu_hour": _given("USD/GPU-h", 0, 1000, "price of a GPU-hour as rented, or as somebody worked it out"),
    "owned": _given("", 0, 1, "1: the GPU-hour is worked out from the purchase; 0: it is price_usd_per_gpu_hour"),
    "colocated": _given("", 0, 1, "1: an owned GPU stands in rented place; 0: at its owner's site"),
    "energy_apart": _given("", 0, 1, "1: electricity is paid beside that; 0: it is in the price"),
    "billed_by_plan": _given("", 0, 1, "1: electricity is paid for the planned kW, since what the site draws is not known; 0: for what the site draws"),
    "by_joules": _given("", 0, 1, "1: joules of both phases are known, and electricity is split by them; 0: by time"),
    "utilisation": _given("", 1e-6, 1, "share of the hours that the GPUs are busy"),
    "pue": _given("", 1, 5, "facility power over IT power"),
    "board_w": _given("W", 0, 1e5, "what the GPU's board draws"),
    "board_cpu_w": _given("W", 0, 1e5, "the board with its share of the CPUs"),
    "node_w": _given("W", 0, 1e5, "what the node draws, per GPU"),
    "provisioned_kw": _given("kW", 0.01, 20, "all-in utility power that a planner reserves per GPU"),
    "grid_gco2_per_kwh": _given("g/kWh", 0, 2000, "carbon intensity of the grid"),
    "site_mw": _given("MW", 0, 1e6, "utility power of a site"),
    # one request
    "fresh": _given("tokens", 0, 1e18, "input tokens that are computed"),
    "cached": _given("tokens", 0, 1e18, "input tokens that a cache supplies"),
    "osl": _given("tokens", 0, 1e18, "output tokens"),
    "prefill_tokens_per_s": _given("tokens/s", 0, 1e12, "fresh input tokens that a GPU computes while it does nothing else"),
    "decode_tokens_per_s": _given("tokens/s", 0, 1e12, "output tokens that a GPU emits while it does nothing else"),
    "prefill_j_per_token": _given("J/token", 0, 1e9, "energy of a fresh input token"),
    "decode_j_per_token": _given("J/token", 0, 1e9, "energy of an output token"),
    "cache_residency_s": _given("s", 0, 1e9, "how long a cached token is held in GPU memory for each time that it is used"),
    "kv_bytes_per_token": _given("bytes", 0, 1e9, "KV cache of one token, of the whole model"),
    "kv_room_bytes": _given("bytes", 0, 1e15, "memory of the GPU that is left for the KV cache"),
    # what tokens are sold and wanted for
    "sell_input_usd_per_mtok": _given("USD/Mtok", 0, 1e5, "price list: fresh input tokens"),
    "sell_cached_usd_per_mtok": _given("USD/Mtok", 0, 1e5, "price list: cached input tokens"),
    "sell_output_usd_per_mtok": _given("USD/Mtok", 0, 1e5, "price list: output tokens"),
    "target_usd_per_mtok": _given("USD/Mtok", 0, 1e5, "what an output token may cost, all-in"),
}

_BY_JOULES = "(request_energy_usd * {} if by_joules > 0 else 0)"

EQUATIONS: dict[str, Equation] = {
    # A GPU-hour that is owned. The annuity pays the purchase, less the present value of what is got back, in equal parts (any textbook of finance);
    # expm1 and log1p keep it exact at small rates.
    "capex_usd": _equation("USD/GPU", "gpu_capex_usd + server_capex_usd + network_capex_usd + storage_capex_usd", "the purchase"),
    "annuity": _equation(
        "per year",
        "cost_of_capital / -expm1(-life_years * log1p(cost_of_capital)) if cost_of_capital > 0 else 1 / life_years",
        "part of the purchase that is paid each year",
    ),
    "capital_usd_per_year": _equation(
        "USD/GPU/year", "capex_usd * (1 - residual_share * (1 + cost_of_capital) ** -life_years) * annuity", "capital and its cost"
    ),
    "ownership_usd_per_gpu_hour": _equation(
        "USD/GPU-h", f"(capital_usd_per_year + maintenance_share * capex_usd + staff_usd_per_year) / {HOURS_PER_YEAR}", "owning, without a place or energy"
    ),
    # Rent is by the kW that the tenant's machines may draw: the plan's utility power less the facility's overhead.
    "colocation_usd_per_gpu_hour": _equation(
        "USD/GPU-h", f"provisioned_kw / pue * colocation_usd_per_kw_month * 12 / {HOURS_PER_YEAR}", "a place, by planned kW of IT"
    ),
    "billed_w": _equation("W", "provisioned_w if billed_by_plan > 0 else facility_w", "watts that electricity is paid for"),
    "energy_in_usd_per_gpu_hour": _equation("USD/GPU-h", "billed_w / 1000 * usd_per_kwh if energy_apart > 0 else 0", "electricity that is known apart"),
    "owned_usd_per_gpu_hour": _equation(
        "USD/GPU-h", "ownership_usd_per_gpu_hour + (colocation_usd_per_gpu_hour if colocated > 0 else 0)", "owning, with its place and without electricity"
    ),
    "usd_per_gpu_hour": _equation(
        "USD/GPU-h", "(owned_usd_per_gpu_hour if owned > 0 else price_usd_per_gpu_hour) + energy_in_usd_per_gpu_hour", "price used, electricity in it"
    ),
    # Power.
    "facility_w": _equation("W", "node_w * pue", "what the site draws (PUE: The Green Grid's definition)"),
    "provisioned_w": _equation("W", "provisioned_kw * 1000", "the plan, in watts"),
    "tokens_per_s_per_mw.board": _equation("tokens/s/MW", "output_tokens_per_s * 1e6 / board_w", "tokens per megajoule of the board"),
    "tokens_per_s_per_mw.board_cpu": _equation("tokens/s/MW", "output_tokens_per_s * 1e6 / board_cpu_w", "of board and CPUs"),
    "tokens_per_s_per_mw.node": _equation("tokens/s/MW", "output_tokens_per_s * 1e6 / node_w", "of the node"),
    "tokens_per_s_per_mw.facility": _equation("tokens/s/MW", "output_tokens_per_s * 1e6 / facility_w", "of the site"),
    "tokens_per_s_per_mw.provisioned": _equation("tokens/s/MW", "output_tokens_per_s * 1e6 / provisioned_w", "of the plan"),
    "gco2_per_mtok": _equation(
        "g/Mtok", f"facility_w / output_tokens_per_s / {JOULES_PER_KWH} * grid_gco2_per_kwh * 1e6", "carbon of a million output tokens, of electricity alone"
    ),
    # One request, in GPU-seconds. A cached token takes no arithmetic; while it is held, its share of the cache's room serves nobody else.
    "prefill_gpu_s": _equation("s", "fresh / prefill_tokens_per_s", "GPU-seconds of the fresh input"),
    "decode_gpu_s": _equation("s", "osl / decode_tokens_per_s", "GPU-seconds of the output"),
    "charged_cached": _equation("tokens", "(cached if cache_residency_s > 0 else 0) if cached > 0 else 0", "cached input tokens whose holding is known"),
    "cached_gpu_s": _equation(
        "s",
        "charged_cached * cache_residency_s * kv_bytes_per_token / kv_room_bytes if charged_cached > 0 else 0",
        "GPU-seconds whose memory the cached input holds",
    ),
    "gpu_s": _equation("s", "prefill_gpu_s + decode_gpu_s", "GPU-seconds of the request, which are the bill's"),
    "output_tokens_per_s": _equation("tokens/s", "osl / gpu_s", "output tokens of whole requests"),
    "energy_j": _equation("J", "fresh * prefill_j_per_token + osl * decode_j_per_token", "energy of the request"),
    "energy_j_per_output_token": _equation("J/token", "energy_j / osl", "energy of an output token, prefill in it"),
    # Money. usd_per_mtok is SemiAnalysis' and NVIDIA's sum: $1.41/h at 93.25 tokens/s per GPU is the published $4.20 of H200.
    "usd_per_gpu_s": _equation("USD/s", f"usd_per_gpu_hour / {SECONDS_PER_HOUR} / utilisation", "a second of a busy GPU, idle hours in it"),
    "usd_per_mtok": _equation("USD/Mtok", "usd_per_gpu_s / output_tokens_per_s * 1e6", "all-in per million output tokens"),
    # Hours are divided by what each class takes of them: arithmetic's seconds, and the seconds whose memory cached tokens hold. Electricity that is known apart
    # goes by joules: a phase that draws more pays more of it. Where joules or the electricity are not known apart, all goes like the hours. Parts add up to the
    # bill, which is of gpu_s whatever is held: holding makes no GPU-hour, it takes part in one.
    "time_usd_per_gpu_s": _equation(
        "USD/s",
        f"(usd_per_gpu_hour - (energy_in_usd_per_gpu_hour if by_joules > 0 else 0)) / {SECONDS_PER_HOUR} / utilisation",
        "the part of a second's price that goes like the hours",
    ),
    "hours_usd_per_claimed_s": _equation("USD/s", "time_usd_per_gpu_s * gpu_s / (gpu_s + cached_gpu_s)", "that part for a second that a class takes"),
    "request_energy_usd": _equation("USD", f"energy_in_usd_per_gpu_hour / {SECONDS_PER_HOUR} / utilisation * gpu_s", "the part that goes by joules"),
    "prefill_energy_share": _equation("", "fresh * prefill_j_per_token / energy_j", "the fresh input's share of the joules"),
    "input_usd": _equation("USD", f"hours_usd_per_claimed_s * prefill_gpu_s + {_BY_JOULES.format('prefill_energy_share')}", "of the request's fresh input"),
    "output_usd": _equation("USD", f"hours_usd_per_claimed_s * decode_gpu_s + {_BY_JOULES.format('(1 - prefill_energy_share)')}", "of the request's output"),
    "cached_usd": _equation("USD", "hours_usd_per_claimed_s * cached_gpu_s", "of the request's cached input"),
    "usd_per_mtok_by_class.input": _equation("USD/Mtok", "input_usd / fresh * 1e6", "per million fresh input tokens"),
    "usd_per_mtok_by_class.cached": _equation("USD/Mtok", "cached_usd / charged_cached * 1e6", "per million cached input tokens"),
    "usd_per_mtok_by_class.output": _equation("USD/Mtok", "output_usd / osl * 1e6", "per million output tokens, without the input"),
    # The public habit, for comparison: the whole GPU-hour charged to each class, which adds up to more than the bill.
    "whole_hour_usd_per_mtok.input": _equation("USD/Mtok", "usd_per_gpu_s / (fresh / gpu_s) * 1e6", "the whole hour over the fresh input tokens"),
    "whole_hour_usd_per_mtok.output": _equation("USD/Mtok", "usd_per_gpu_s / (osl / gpu_s) * 1e6", "the whole hour over the output tokens"),
    # Selling.
    "revenue_usd_per_mtok": _equation(
        "USD/Mtok",
        "(fresh * sell_input_usd_per_mtok + (cached * sell_cached_usd_per_mtok if cached > 0 else 0) + osl * sell_output_usd_per_mtok) / osl",
        "of a million output tokens, with the input that belongs to them",
    ),
    "margin": _equation("", "1 - usd_per_mtok / revenue_usd_per_mtok", "share of the revenue that is left"),
    "profit_over_cost": _equation("", "revenue_usd_per_mtok / usd_per_mtok - 1", "profit over cost"),
    "revenue_usd_per_busy_gpu_hour": _equation("USD/GPU-h", f"revenue_usd_per_mtok * output_tokens_per_s * {SECONDS_PER_HOUR} / 1e6", "of a busy GPU-hour"),
    "revenue_usd_per_gpu_hour": _equation("USD/GPU-h", "revenue_usd_per_busy_gpu_hour * utilisation", "of a GPU-hour, idle hours in it"),
    "revenue_usd_per_mw_year": _equation("USD/MW/year", f"revenue_usd_per_gpu_hour * {HOURS_PER_YEAR} * 1e6 / provisioned_w", "of a planned megawatt"),
    "break_even_utilisation": _equation("", "usd_per_gpu_hour / revenue_usd_per_busy_gpu_hour", "busy share at which revenue pays the hours"),
    "break_even_usd_per_gpu_hour": _equation("USD/GPU-h", "revenue_usd_per_gpu_hour", "the dearest GPU-hour that revenue pays"),
    "break_even_sell_factor": _equation("", "usd_per_mtok / revenue_usd_per_mtok", "the price list times this pays the cost"),
    # The other way round.
    "target_output_tokens_per_s": _equation("tokens/s", "usd_per_gpu_s / target_usd_per_mtok * 1e6", "output tokens/s per GPU that the target price needs"),
    "target_speed_up": _equation("", "target_output_tokens_per_s / output_tokens_per_s", "how many times today's rate that is"),
    # A site.
    "site_gpus": _equation("GPUs", "site_mw * 1e6 / provisioned_w", "GPUs of a site at the planned kW each"),
    "site_output_tokens_per_s": _equation("tokens/s", "site_gpus * output_tokens_per_s * utilisation", "output tokens of the site, idle hours in it"),
    "site_usd_per_year": _equation("USD/year", f"site_gpus * usd_per_gpu_hour * {HOURS_PER_YEAR}", "cost of the site's GPU-hours"),
    "site_revenue_usd_per_year": _equation("USD/year", f"site_gpus * revenue_usd_per_gpu_hour * {HOURS_PER_YEAR}", "revenue of the site"),
}


@cache
def trees() -> dict[str, Tree]:
    """The table as trees. Each name is of INPUTS or of EQUATIONS."""
    found = {name: parse(equation.text) for name, equation in EQUATIONS.items()}
    unknown = {name for tree in found.values() for name in names_in(tree)} - set(INPUTS) - set(EQUATIONS)
    assert not unknown, unknown
    return found


@cache
def _programs() -> dict[str, Program]:
    return {name: compiled(tree) for name, tree in trees().items()}


def solve(wanted: str, given: Mapping[str, float | None]) -> float | None:
    """One figure of the table from what is given. None where something it needs is neither given nor computed."""
    return _Solver(given)(wanted)


def solve_all(wanted: Iterable[str], given: Mapping[str, float | None]) -> dict[str, float | None]:
    """Several figures, what they share computed once."""
    solver = _Solver(given)
    return {name: solver(name) for name in wanted}


class _Solver:
    """Looks a name up: given, computed before, or computed now. Not a closure that knows itself: a hundred thousand of those are cycles to collect."""

    __slots__ = ("found", "programs")

    def __init__(self, given: Mapping[str, float | None]) -> None:
        self.found: dict[str, float | None] = {name: value for name, value in given.items() if value is not None}
        self.programs = _programs()

    def __call__(self, name: str) -> float | None:
        if name in self.found:
            return self.found[name]
        program = self.programs.get(name)
        self.found[name] = value = None if program is None else program(self)
        return value


def table_json() -> dict[str, Any]:
    """The table for a page: {"inputs": {name: {unit, meaning, least, most}}, "equations": {name: {unit, meaning, tree}}}."""
    return {
        "inputs": {name: {"unit": g.unit, "meaning": g.meaning, "least": g.least, "most": g.most} for name, g in INPUTS.items()},
        "equations": {name: {"unit": e.unit, "meaning": e.meaning, "tree": trees()[name]} for name, e in EQUATIONS.items()},
    }

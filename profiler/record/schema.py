"""What every recorded and derived figure means, and its unit: `tokenmill list schema`. One literal table; None (null) in any field means not measured."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field.

    `where`: point (recorded), derived (computed when reading a point), mix (computed from two points), window, series and op (rows beside a point), floor
    (a row of `floor --json`).
    """

    name: str
    where: str
    unit: str  # "" for text, counts and shares
    meaning: str


def _fields(where: str, *rows: tuple[str, str, str]) -> tuple[Field, ...]:
    return tuple(Field(name=name, where=where, unit=unit, meaning=meaning) for name, unit, meaning in rows)


FIELDS: tuple[Field, ...] = (
    *_fields(
        "point",
        ("schema_version", "", "version of this table; a newer major version is refused"),
        ("run_id", "", "run that the point belongs to"),
        ("point_id", "", "name of the point inside the run"),
        ("kind", "", "step, serving, endpoint or kernel"),
        ("status", "", "ok, oom (out of memory: a result) or failed"),
        ("error", "", "why it did not run"),
        ("model", "", "catalogue name or path of the configuration"),
        ("weights", "", "random or files"),
        ("phase", "", "decode (one new token per sequence) or prefill (the whole prompt)"),
        ("precision", "", "recipe of number formats for weights and activations"),
        ("kv_cache", "", "number format of the KV cache"),
        ("batch", "sequences", "sequences in the step, per data-parallel rank"),
        ("context", "tokens", "decode: KV length with the new token; prefill: tokens of the prompt"),
        ("query_len", "tokens", "new tokens of each sequence in a step"),
        ("mix", "", "input/output[/cached] tokens of the request that the point serves; k is 1024"),
        ("tp", "GPUs", "tensor-parallel size"),
        ("ep", "GPUs", "expert-parallel size"),
        ("dp", "ranks", "data-parallel size; GPUs of the deployment = tp x dp"),
        ("span", "", "what the deployment covers: nvl8 or nvl72 (one NVLink domain), or nodes; null for one GPU"),
        ("routing", "", "how expert ids were drawn: uniform, balanced, zipf:S, a file, or model"),
        ("rank", "", "which rank this process played: hottest, mean, or a number"),
        ("mtp", "", "whether the multi-token-prediction module drafted a token behind each step"),
        ("layers_measured", "", "kind of layer -> [measured, in the model] where some were left out, and then no rates; null: all"),
        ("seed", "", "seed of weights, inputs and routing"),
        ("gpu", "", "name that the driver gives"),
        ("gpu_key", "", "key in `tokenmill list gpus`; null for a GPU not in it"),
        ("measured_gpus", "GPUs", "GPUs that were measured"),
        ("deployment_gpus", "GPUs", "GPUs of the whole deployment, which rates are per"),
        ("device", "", "cuda or cpu"),
        ("kernels", "", "triton, or best (a library's where faster)"),
        ("kernel_ratio", "", "best library's time over our kernels' on this GPU: 1 is as fast, 0.8 takes a quarter longer; null: nobody compared"),
        ("step_s", "s", "one step: median, p10, p90, ci95 [low, high] of the mean over windows, n steps"),
        ("windows", "", "one entry per measured window"),
        ("output_tokens", "tokens", "tokens that the windows emitted, on this rank"),
        ("input_tokens", "tokens", "prompt tokens that the windows computed, on this rank"),
        ("cached_tokens", "tokens", "prompt tokens that a cache supplied"),
        ("tokens_per_step", "tokens", "new tokens of one step"),
        ("window_s", "s", "length of all windows together"),
        ("energy_j", "J", "energy of the measured GPUs in the windows"),
        ("energy_spread_j", "J", "how far off the windows' edges can put energy_j, sensor error apart; null where the method has none"),
        ("energy_disagreement", "", "energy counter against integrated instant power, as a share of the larger"),
        ("energy_per_step_j", "J", "energy of the measured GPUs per step: mean, ci95 [low, high] over windows, n windows; sensor_accuracy is apart from it"),
        ("dynamic_energy_j", "J", "energy_j less idle_board_w over the windows"),
        ("board_w", "W", "mean power in the windows that a sensor saw, all measured GPUs"),
        ("board_w_p99", "W", "99th percentile of sampled power"),
        ("module_w", "W", "mean power of a superchip's whole module; holds board_w, never added to it"),
        ("memory_w", "W", "mean power of the device memory, a part of board_w"),
        ("power_scope", "", "what the energy counter counts: gpu or module; null where nothing tells"),
        ("cpu_w", "W", "mean power of all CPUs and their memory (RAPL, hwmon), the whole host's"),
        ("cpu_w_p99", "W", "its 99th percentile"),
        ("cpu_source", "", "rapl or hwmon"),
        ("host_share", "", "measured GPUs over all GPUs of the node: the share of cpu_w that is counted with them"),
        ("board_cpu_w", "W", "board_w + host_share x cpu_w"),
        ("node_w", "W", "power of the node per measured GPU: a meter's where one was given, else as declared"),
        ("node_w_p99", "W", "its 99th percentile, of a meter"),
        ("idle_board_w", "W", "power with weights in place and nothing running, before the first windows on this power source"),
        ("event_share", "", "share of the windows' time that clocks were held back, by reason: sw_power_cap, sw_thermal, hw_thermal, hw_power_brake"),
        ("phases", "", "what ran when: name, t_start_s, t_end_s on the monotonic clock of the series"),
        ("clock", "", "one moment on both clocks: monotonic_s, unix_s, and drift_s, by how much they came apart until the point's end"),
        ("per_op", "", "operations measured alone (rows in ops/): measured, left_out (why, one line each); null: not asked for"),
        ("digests", "", "SHA-256 of the point's rows in series/ and ops/"),
        ("power_source", "", "nvml-counter, nvml-instant, nvml-average, rapl, declared, replay or none"),
        ("sensor_accuracy", "", "share of the reading that the sensor's class may be off by"),
        ("plan", "", "id of the recorded plan: every operation of the step with its work"),
        ("ceilings", "", "rates measured in this run: bandwidth_bytes_per_s, copy_bytes_per_s, flops_per_s by lane (bytes/s, FLOP/s)"),
        ("params", "", "parameters: total, active per token, active without the embedding"),
        ("weight_bytes", "bytes", "weights of the rank in their formats, of the layers measured"),
        ("kv_bytes_per_token", "bytes", "KV cache of one token on the rank, all layers measured"),
        ("formats", "", "part of the model -> format of its weights, of what they are multiplied with (takes), tensor-core instruction (kind; null on a CPU)"),
        (
            "numerics",
            "",
            "against the same weights, tokens and routing in the plain format named: logits_relative_error, kl_nats (nats per token), top1_agreement, parts "
            "(relative error of each place's output, cumulative, all layers together); null where that was not run too",
        ),
        ("valid", "", "false: kept, and never in a headline"),
        ("invalid_reasons", "", "validity gates that failed"),
        ("warnings", "", "what to know before believing it; untuned_kernels: the kernels, not the GPU, may be what is slow"),
        ("provenance", "", "figure -> measured, emulated, replayed, reference, modelled or assumed"),
        ("environment", "", "driver, CUDA, torch, triton and Python versions, power limit (W), clocks (Hz), temperature (deg C), git commit"),
    ),
    *_fields(
        "window",
        ("step_s", "s", "mean step of the window"),
        ("steps", "", "steps in the window"),
        ("t_start_s", "s", "start on the monotonic clock of the series"),
        ("t_end_s", "s", "end on the same clock"),
        ("energy_j", "J", "energy between start and end"),
        ("board_w", "W", "energy over length"),
    ),
    *_fields(
        "series",
        ("t_s", "s", "monotonic clock"),
        ("counter_j", "J", "energy counter"),
        ("instant_w", "W", "instantaneous power"),
        ("average_w", "W", "power as the driver averages it"),
        ("sm_hz", "Hz", "clock of the multiprocessors"),
        ("temperature_c", "deg C", "GPU temperature"),
        ("event_reasons", "", "bit mask of reasons why clocks were held back"),
        ("device", "", "what the sample is of: gpu0, package-0, node"),
        ("boundary", "", "board, cpu or node"),
        ("module_w", "W", "power of a superchip's whole module"),
        ("memory_w", "W", "power of the device memory"),
        ("sw_power_cap_s", "s", "time since the driver was loaded that clocks were held back at the power limit; likewise the next three"),
        ("sw_thermal_s", "s", "by the driver, for temperature"),
        ("hw_thermal_s", "s", "by the hardware, for temperature"),
        ("hw_power_brake_s", "s", "by an external power brake"),
    ),
    *_fields(
        "op",
        ("entry", "", "place of the operation in the plan's calls"),
        ("op", "", "operation"),
        ("part", "", "place in the model"),
        ("count", "", "calls of it in one step"),
        ("call_s", "s", "one call alone: median, ci95 of the mean over windows, n windows; null where it was left out"),
        ("call_j", "J", "energy of one call, idle power with it: mean, ci95 over windows, n; null without a sensor"),
        ("rotated", "", "calls of different layers that replays rotated through, so that weights come from memory"),
        ("windows", "", "t_start_s, t_end_s, calls, energy_j of each window"),
        ("why_not", "", "why it was left out"),
    ),
    *_fields(
        "derived",
        ("collective_s", "s", "emulated deployment: links beside the median step, {overlapped: what sticks out beyond the compute, serial: all}; modelled"),
        (
            "output_tokens_per_s_per_gpu",
            "tokens/s",
            "tokens of the windows over their length, per GPU of the deployment; emulated: with collective_s.serial",
        ),
        ("input_tokens_per_s_per_gpu", "tokens/s", "the same of prompt tokens"),
        ("total_tokens_per_s_per_gpu", "tokens/s", "the same of both"),
        ("tokens_per_s_per_user", "tokens/s", "decode: 1 / median step, what one reader sees; emulated: with collective_s.serial"),
        ("energy_j_per_output_token", "J/token", "energy over emitted tokens; emulated: of the compute, without the network"),
        ("energy_j_per_total_token", "J/token", "energy over emitted and computed tokens"),
        ("floor_s", "s", "roofline: sum over operations of max(FLOP / rate, bytes / bandwidth); collectives not in it"),
        ("floor_source", "", "rates of the floor: measured (this run's ceilings), datasheet, or both"),
        ("share_of_roofline", "", "floor_s over the median step; 1 = as fast as the rates allow"),
        ("step_flops", "FLOP", "arithmetic of one step"),
        ("step_memory_bytes", "bytes", "least traffic to device memory of one step"),
        ("tokens_per_s_per_mw", "tokens/s/MW", "output tokens per megajoule at each boundary: board, board_cpu, node, facility, provisioned"),
    ),
    *_fields(
        "mix",
        ("points", "", "the prefill and the decode point that the mix is composed from"),
        ("output_tokens_per_s_per_gpu", "tokens/s", "output tokens over GPU-seconds of the whole request, prefill included"),
        ("decode_output_tokens_per_s_per_gpu", "tokens/s", "the decode point's own rate"),
        ("prefill_input_tokens_per_s_per_gpu", "tokens/s", "the prefill point's own rate"),
        ("usd_per_mtok", "USD/Mtok", "all-in per million output tokens: value, ci95 (noise), price_range (spread of prices; never merged), basis, mix"),
        ("usd_per_mtok_by_class", "USD/Mtok", "per million input, cached and output tokens; weighted by the mix they add up to usd_per_mtok"),
        ("usd_per_gpu_hour", "USD/GPU-h", "price used"),
        ("price_note", "", "what the price leaves out that could not be added"),
        ("why_null", "", "why there is no price of a token"),
        ("energy_j_per_output_token", "J/token", "energy of prefill and decode of a request, over its output tokens"),
        ("tokens_per_s_per_mw", "tokens/s/MW", "output tokens per megajoule of the whole request, by boundary"),
    ),
    *_fields(
        "floor",
        ("gpus", "GPUs", "GPUs of the deployment: tp x dp"),
        ("rank", "", "whose floor it is: the hottest rank's (most rows in each layer), the mean one's, or a number"),
        ("span", "", "what the deployment covers: nvl8 or nvl72 (one NVLink domain), or nodes; null for one GPU"),
        ("fits", "", "whether the rank's weights and cache take at most 0.9 of its memory"),
        ("smallest_deployment_that_fits", "", "fewest GPUs, in powers of two, that hold weights and cache: tp, ep, dp, gpus; null: none found"),
        ("floor_s", "s", "roofline of the rank's compute: sum over operations of max(FLOP / rate, bytes / bandwidth); collectives not in it"),
        ("collective_s", "s", "links: serial is their whole time, overlapped what sticks out beyond floor_s; null for one GPU"),
        ("step_floor_s", "s", "floor_s and links: serial is their sum, overlapped the longer of both"),
        ("ceiling_output_tokens_per_s_per_gpu", "tokens/s", "decode: new tokens of the deployment over step_floor_s.serial, per GPU"),
        ("ceiling_input_tokens_per_s_per_gpu", "tokens/s", "prefill: the same of prompt tokens"),
        ("link", "", "one entry per collective of the plan: op, part, count, bytes (sent by the rank), span, s (all calls), source"),
    ),
)

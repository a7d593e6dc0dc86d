"""What every recorded and derived figure means, and its unit: `tokenmill list schema`. One literal table; None (null) in any field means not measured."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1


# Types by the words that the table uses, as JSON has them. A trailing "?" in a row says that null is allowed: not measured, not asked for, or unknown.
TYPES = {"text": "string", "number": "number", "integer": "integer", "true/false": "boolean", "object": "object", "list": "array"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field.

    `where`: run (run.json), point (recorded), serving (what a point of another tool's file has beside), derived (computed when reading a point), mix
    (computed from two points), window, series and op (rows beside a point), floor (a row of `floor --json`). `nullable`: whether null may stand in its place.
    """

    name: str
    where: str
    type: str  # a word of TYPES
    nullable: bool
    unit: str  # "" for text, counts and shares
    meaning: str


def _fields(where: str, *rows: tuple[str, str, str, str]) -> tuple[Field, ...]:
    return tuple(
        Field(name=name, where=where, type=kind.removesuffix("?"), nullable=kind.endswith("?"), unit=unit, meaning=meaning)
        for name, kind, unit, meaning in rows
    )


FIELDS: tuple[Field, ...] = (
    *_fields(
        "run",
        ("schema_version", "integer", "", "version of this table; a newer major version is refused"),
        ("run_id", "text", "", "name of the run's folder where it was written; begins with the time"),
        ("created", "text", "", "when it began, ISO 8601, UTC"),
        ("finished", "text?", "", "when it ended; absent while it goes on, and after a kill"),
        ("command", "text", "", "how it was started, secrets taken out"),
        ("argv", "list", "", "the same, word by word"),
        ("tokenmill", "text?", "", "version that wrote it"),
        ("environment", "object?", "", "machine and software: cpu, gpu, driver, CUDA, torch, triton, Python, git commit"),
        ("price", "object?", "", "price and declared watts that it was run with (a PricePick); null: none"),
        ("not_measured", "list?", "", "one line for each point that was skipped or failed, and why; null: the run did not come to its end"),
        ("status", "text", "", "running (or killed), done, interrupted or failed"),
    ),
    *_fields(
        "point",
        ("schema_version", "integer", "", "version of this table; a newer major version is refused"),
        ("run_id", "text", "", "run that the point belongs to"),
        ("point_id", "text", "", "name of the point inside the run"),
        ("kind", "text", "", "step, serving, endpoint or kernel"),
        ("status", "text", "", "ok, oom (out of memory: a result) or failed"),
        ("error", "text?", "", "why it did not run"),
        ("model", "text?", "", "catalogue name or path of the configuration"),
        ("weights", "text?", "", "random or files"),
        ("phase", "text?", "", "decode (one new token per sequence) or prefill (the whole prompt)"),
        ("precision", "text?", "", "recipe of number formats for weights and activations"),
        ("kv_cache", "text?", "", "number format of the KV cache"),
        ("batch", "integer?", "sequences", "sequences in the step, per data-parallel rank"),
        ("context", "integer?", "tokens", "decode: KV length with the new token; prefill: tokens of the prompt"),
        ("query_len", "integer?", "tokens", "new tokens of each sequence in a step"),
        ("mix", "text?", "", "input/output[/cached] tokens of the request that the point serves; k is 1024"),
        ("tp", "integer?", "GPUs", "tensor-parallel size"),
        ("ep", "integer?", "GPUs", "expert-parallel size"),
        ("dp", "integer?", "ranks", "data-parallel size; GPUs of the deployment = tp x dp"),
        ("span", "text?", "", "what the deployment covers: nvl8 or nvl72 (one NVLink domain), or nodes; null for one GPU"),
        ("routing", "text?", "", "how expert ids were drawn: uniform, balanced, zipf:S, a file, or model"),
        ("rank", "text?", "", "which rank this process played: hottest, mean, or a number"),
        ("mtp", "true/false?", "", "whether the multi-token-prediction module drafted a token behind each step"),
        ("layers_measured", "object?", "", "kind of layer -> [measured, in the model] where some were left out, and then no rates; null: all"),
        ("seed", "integer?", "", "seed of weights, inputs and routing"),
        ("gpu", "text?", "", "name that the driver gives"),
        ("gpu_key", "text?", "", "key in `tokenmill list gpus`; null for a GPU not in it"),
        ("measured_gpus", "integer?", "GPUs", "GPUs that were measured"),
        ("deployment_gpus", "integer?", "GPUs", "GPUs of the whole deployment, which rates are per"),
        ("device", "text?", "", "cuda or cpu"),
        ("kernels", "text?", "", "triton, or best (a library's where faster)"),
        (
            "kernel_ratio",
            "number?",
            "",
            "library's time over our kernels' on this GPU, of the operations compared: 0.8 takes a quarter longer; null: nobody compared half of them",
        ),
        ("step_s", "object?", "s", "one step: median, p10, p90, ci95 [low, high] of the mean over windows, n steps"),
        ("windows", "list", "", "one entry per measured window"),
        ("output_tokens", "integer?", "tokens", "tokens that the windows emitted, on this rank"),
        ("input_tokens", "integer?", "tokens", "prompt tokens that the windows computed, on this rank"),
        ("cached_tokens", "integer?", "tokens", "prompt tokens that a cache supplied"),
        ("tokens_per_step", "integer?", "tokens", "new tokens of one step"),
        ("window_s", "number?", "s", "length of all windows together"),
        ("energy_j", "number?", "J", "energy in the windows: of the measured GPUs; without a board of the node or of the CPUs (power_source)"),
        ("energy_spread_j", "number?", "J", "how far off the windows' edges can put energy_j, sensor error apart; null where the method has none"),
        ("energy_disagreement", "number?", "", "energy counter against integrated instant power, as a share of the larger"),
        ("energy_per_step_j", "object?", "J", "energy of the measured GPUs per step: mean, ci95 [low, high] over windows, n windows; sensor_accuracy is apart"),
        ("dynamic_energy_j", "number?", "J", "energy_j less idle_board_w over the windows"),
        ("board_w", "number?", "W", "mean power in the windows that a sensor saw, all measured GPUs"),
        ("board_w_p99", "number?", "W", "99th percentile of sampled power"),
        ("module_w", "number?", "W", "mean power of a superchip's whole module; holds board_w, never added to it"),
        ("memory_w", "number?", "W", "mean power of the device memory, a part of board_w"),
        ("power_scope", "text?", "", "what the energy counter counts: gpu or module; null where nothing tells"),
        ("cpu_w", "number?", "W", "mean power of all CPUs and their memory (RAPL, hwmon), the whole host's"),
        ("cpu_w_p99", "number?", "W", "its 99th percentile"),
        ("cpu_source", "text?", "", "rapl or hwmon"),
        ("host_share", "number?", "", "measured GPUs over all GPUs of the node: the share of cpu_w that is counted with them"),
        ("board_cpu_w", "number?", "W", "board_w + host_share x cpu_w"),
        ("node_w", "number?", "W", "power of the node, for the measured GPUs: a meter's where one was given, else as declared"),
        ("node_w_p99", "number?", "W", "its 99th percentile, of a meter"),
        ("idle_board_w", "number?", "W", "power with weights in place and nothing running, before the first windows on this power source"),
        (
            "event_share",
            "object?",
            "",
            "share of the windows' time that clocks were held back, by reason: sw_power_cap, sw_thermal, hw_thermal, hw_power_brake",
        ),
        (
            "gpu_states",
            "list?",
            "",
            "the GPU before and after: power_limit_w, ecc_uncorrected, compute_processes, temperature_c, uuid_hash, xids; null: no sensor",
        ),
        ("phases", "list?", "", "what ran when: name, t_start_s, t_end_s on the monotonic clock of the series"),
        ("clock", "object?", "", "one moment on both clocks: monotonic_s, unix_s, and drift_s, by how much they came apart until the point's end"),
        ("per_op", "object?", "", "operations measured alone (rows in ops/): measured, left_out (why, one line each); null: not asked for"),
        ("digests", "object?", "", "SHA-256 of the point's rows in series/ and ops/"),
        (
            "power_source",
            "text?",
            "",
            "whose joules: nvml-counter, nvml-instant, nvml-average (dcgm- likewise) of the board, declared, replay, none; without a board meter (the node), "
            "rapl or hwmon (the CPUs)",
        ),
        ("sensor_accuracy", "number?", "", "share of the reading that the sensor's class may be off by"),
        ("plan", "text?", "", "id of the recorded plan: every operation of the step with its work"),
        ("ceilings", "object?", "", "rates measured in this run: bandwidth_bytes_per_s, copy_bytes_per_s, flops_per_s by lane (bytes/s, FLOP/s)"),
        ("params", "object?", "", "parameters: total, active per token, active without the embedding"),
        ("weight_bytes", "integer?", "bytes", "weights of the rank in their formats, of the layers measured"),
        ("kv_bytes_per_token", "number?", "bytes", "KV cache of one token on the rank, all layers measured"),
        (
            "formats",
            "object?",
            "",
            "part of the model -> format of its weights, of what they are multiplied with (takes), tensor-core instruction (kind; null on a CPU)",
        ),
        (
            "numerics",
            "object?",
            "",
            "against the same weights, tokens and routing in the plain format named: logits_relative_error, kl_nats (nats per token), top1_agreement, parts "
            "(relative error of each place's output, cumulative, all layers together); null where that was not run too",
        ),
        ("valid", "true/false", "", "false: kept, and never in a headline"),
        ("invalid_reasons", "list", "", "validity gates that failed"),
        ("warnings", "list", "", "what to know before believing it; untuned_kernels: the kernels, not the GPU, may be what is slow"),
        ("provenance", "object", "", "figure -> measured, emulated, replayed, reference, modelled or assumed"),
        ("environment", "object?", "", "driver, CUDA, torch, triton and Python versions, power limit (W), clocks (Hz), temperature (deg C), git commit"),
    ),
    *_fields(
        "serving",
        ("isl", "integer?", "tokens", "input tokens of a request; the mean where the file has totals, else nominal"),
        ("osl", "integer?", "tokens", "its output tokens"),
        ("concurrency", "integer?", "requests", "requests in flight"),
        ("requests_per_s", "number?", "1/s", "requests that the whole deployment finished"),
        ("ttft_s", "object?", "s", "time to the first token: median, mean, p90, p95, p99"),
        ("tpot_s", "object?", "s", "time per output token after the first"),
        ("itl_s", "object?", "s", "time between chunks of a stream, which may hold several tokens"),
        ("e2e_s", "object?", "s", "time of a whole request"),
        ("framework", "text?", "", "the server, as the file names it"),
        ("workers", "object?", "", "where prefill and decode have GPUs of their own: role -> tp, ep, dp, gpus; null: they share them"),
        ("source_file", "text?", "", "the file that it was read from"),
        ("source_format", "text?", "", "inferencex, aiperf, vllm or aiconfigurator"),
        ("original", "object?", "", "the file's own fields, before names, units and denominators were changed; warnings say which"),
        ("floor_split", "object?", "s", "when asked for: GPU-seconds of floor of an input and of an output token; modelled"),
    ),
    *_fields(
        "window",
        ("step_s", "number?", "s", "mean step of the window"),
        ("steps", "integer?", "", "steps in the window"),
        ("t_start_s", "number", "s", "start on the monotonic clock of the series"),
        ("t_end_s", "number", "s", "end on the same clock"),
        ("energy_j", "number?", "J", "energy between start and end"),
        ("board_w", "number?", "W", "energy over length"),
        ("sm_hz", "number?", "Hz", "median clock of the multiprocessors"),
        ("temperature_c", "number?", "deg C", "at its end"),
        ("event_share", "object?", "", "share of its time that clocks were held back, by reason"),
    ),
    *_fields(
        "series",
        ("t_s", "number", "s", "monotonic clock"),
        ("counter_j", "number?", "J", "energy counter"),
        ("instant_w", "number?", "W", "instantaneous power"),
        ("average_w", "number?", "W", "power as the driver averages it"),
        ("sm_hz", "number?", "Hz", "clock of the multiprocessors"),
        ("temperature_c", "number?", "deg C", "GPU temperature"),
        ("event_reasons", "integer?", "", "bit mask of reasons why clocks were held back"),
        ("device", "text?", "", "what the sample is of: gpu0, package-0, node"),
        ("boundary", "text?", "", "board, cpu or node"),
        ("module_w", "number?", "W", "power of a superchip's whole module"),
        ("memory_w", "number?", "W", "power of the device memory"),
        ("sw_power_cap_s", "number?", "s", "time since the driver was loaded that clocks were held back at the power limit; likewise the next three"),
        ("sw_thermal_s", "number?", "s", "by the driver, for temperature"),
        ("hw_thermal_s", "number?", "s", "by the hardware, for temperature"),
        ("hw_power_brake_s", "number?", "s", "by an external power brake"),
    ),
    *_fields(
        "op",
        ("entry", "integer", "", "place of the operation in the plan's calls"),
        ("op", "text", "", "operation"),
        ("part", "text?", "", "place in the model"),
        ("count", "integer", "", "calls of it in one step"),
        ("call_s", "object?", "s", "one call alone: median, ci95 of the mean over windows, n windows; null where it was left out"),
        ("call_j", "object?", "J", "energy of one call, idle power with it: mean, ci95 over windows, n; null without a sensor"),
        ("rotated", "integer?", "", "calls of different layers that replays rotated through, so that weights come from memory"),
        ("windows", "list?", "", "t_start_s, t_end_s, calls, energy_j of each window"),
        ("why_not", "text?", "", "why it was left out"),
        ("library", "text?", "", "PyTorch's counterpart that it was compared with, in the same rounds; null: nobody compared, or there is none"),
        ("library_s", "object?", "s", "one call of the library: median, ci95 of the mean over windows, n windows"),
        ("library_note", "text?", "", "what of the operation the library does not do, or why there is no comparison"),
        ("kernel_ratio", "number?", "", "library's time over ours, the geometric mean over rounds: below 1 ours is slower"),
        ("kernel_ratio_ci95", "list?", "", "[low, high] of it over rounds"),
    ),
    *_fields(
        "derived",
        (
            "collective_s",
            "object?",
            "s",
            "emulated deployment: links beside the median step, {overlapped: what sticks out beyond the compute, serial: all}; modelled",
        ),
        (
            "output_tokens_per_s_per_gpu",
            "number?",
            "tokens/s",
            "tokens of the windows over their length, per GPU of the deployment; emulated: with collective_s.serial",
        ),
        ("input_tokens_per_s_per_gpu", "number?", "tokens/s", "the same of prompt tokens"),
        ("total_tokens_per_s_per_gpu", "number?", "tokens/s", "the same of both"),
        ("tokens_per_s_per_user", "number?", "tokens/s", "decode: 1 / median step, what one reader sees; emulated: with collective_s.serial"),
        ("energy_j_per_output_token", "number?", "J/token", "energy over emitted tokens; emulated: of the compute, without the network"),
        ("energy_j_per_total_token", "number?", "J/token", "energy over emitted and computed tokens"),
        ("floor_s", "number?", "s", "roofline: sum over operations of max(FLOP / rate, bytes / bandwidth); collectives not in it"),
        ("floor_source", "text?", "", "rates of the floor: measured (this run's ceilings), datasheet, or both"),
        ("share_of_roofline", "number?", "", "floor_s over the median step; 1 = as fast as the rates allow"),
        ("step_flops", "number?", "FLOP", "arithmetic of one step"),
        ("step_memory_bytes", "number?", "bytes", "least traffic to device memory of one step"),
        ("tokens_per_s_per_mw", "object?", "tokens/s/MW", "output tokens per megajoule at each boundary: board, board_cpu, node, facility, provisioned"),
        ("ci95", "object?", "", "figure -> [low, high]: the noise of the windows; sensor_accuracy is apart, and cancels in ratios on one board"),
    ),
    *_fields(
        "mix",
        ("points", "object?", "", "the prefill and the decode point that the mix is composed from, or the serving point"),
        ("output_tokens_per_s_per_gpu", "number?", "tokens/s", "output tokens over GPU-seconds of the whole request, prefill included"),
        ("decode_output_tokens_per_s_per_gpu", "number?", "tokens/s", "the decode point's own rate"),
        ("prefill_input_tokens_per_s_per_gpu", "number?", "tokens/s", "the prefill point's own rate"),
        (
            "usd_per_mtok",
            "object?",
            "USD/Mtok",
            "all-in per million output tokens: value, ci95 (noise), price_range (spread of prices; never merged), basis, mix",
        ),
        ("usd_per_mtok_by_class", "object?", "USD/Mtok", "per million input, cached and output tokens; weighted by the mix they add up to usd_per_mtok"),
        ("by_class_why_null", "text?", "", "serving: why its tokens have no price by class"),
        (
            "whole_hour_usd_per_mtok",
            "object?",
            "USD/Mtok",
            "for comparison: the public habit of charging the whole GPU-hour to input, and again to output; adds up to more than the bill",
        ),
        ("usd_per_gpu_hour", "number?", "USD/GPU-h", "price used, electricity in it"),
        ("equation_inputs", "object?", "", "inputs of profiler/economics/equations.py, by name, from which the mix's figures follow at any price"),
        ("equation_ci95", "object?", "", "input -> [low, high]: the noise of both phases' rates"),
        ("price_note", "text?", "", "what the price leaves out that could not be added"),
        ("why_null", "text?", "", "why there is no price of a token"),
        ("energy_j_per_output_token", "number?", "J/token", "energy of prefill and decode of a request, over its output tokens"),
        ("tokens_per_s_per_mw", "object?", "tokens/s/MW", "output tokens per megajoule of the whole request, by boundary"),
        ("ci95", "object?", "", "figure -> [low, high]: the noise of both phases' times and joules"),
    ),
    *_fields(
        "floor",
        ("gpus", "integer", "GPUs", "GPUs of the deployment: tp x dp"),
        ("rank", "text", "", "whose floor it is: the hottest rank's (most rows in each layer), the mean one's, or a number"),
        ("span", "text?", "", "what the deployment covers: nvl8 or nvl72 (one NVLink domain), or nodes; null for one GPU"),
        ("fits", "true/false", "", "whether the rank's weights and cache take at most 0.9 of its memory"),
        ("smallest_deployment_that_fits", "object?", "", "fewest GPUs, in powers of two, that hold weights and cache: tp, ep, dp, gpus; null: none found"),
        ("floor_s", "number?", "s", "roofline of the rank's compute: sum over operations of max(FLOP / rate, bytes / bandwidth); collectives not in it"),
        ("collective_s", "object?", "s", "links: serial is their whole time, overlapped what sticks out beyond floor_s; null for one GPU"),
        ("step_floor_s", "object?", "s", "floor_s and links: serial is their sum, overlapped the longer of both"),
        ("ceiling_output_tokens_per_s_per_gpu", "number?", "tokens/s", "decode: new tokens of the deployment over step_floor_s.serial, per GPU"),
        ("ceiling_input_tokens_per_s_per_gpu", "number?", "tokens/s", "prefill: the same of prompt tokens"),
        ("link", "list", "", "one entry per collective of the plan: op, part, count, bytes (sent by the rank), span, s (all calls), source"),
    ),
)

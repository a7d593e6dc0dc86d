"""Every reason why a point is not valid, and every warning it may carry: one closed list. docs/method.md prints it; importable without torch.

A point with a reason of verdict `invalid` is kept, marked, and in no headline. A warning has its name in front: `sw_power_cap: 93% of the windows' time ...`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One name. `verdict`: "invalid", "warning", or "gpu" (invalid on a GPU, a warning on a CPU). `of`: the figures that it speaks against."""

    name: str
    verdict: str
    of: str
    meaning: str
    remedy: str


def _reasons(*rows: tuple[str, str, str, str, str]) -> dict[str, Reason]:
    return {name: Reason(name=name, verdict=verdict, of=of, meaning=meaning, remedy=remedy) for name, verdict, of, meaning, remedy in rows}


# fmt: off
REASONS = _reasons(
    # Time
    ("not_settled", "gpu", "time",
     "step time, SM clock or temperature still moved when the warm-up's time was up",
     "wait until the board is as warm as in service, then run again"),
    ("noise_above_limit", "invalid", "time",
     "the 95 % interval of the step time is wider than +/- 5 % on a GPU",
     "more or longer windows (--windows, --window); nothing else on the machine"),
    ("energy_noise_above_limit", "invalid", "energy",
     "the 95 % interval of the joules per step is wider than +/- 5 % on a GPU",
     "longer windows: the energy counter has few ticks in short ones"),
    ("not_repeated", "invalid", "time",
     "there are fewer than two windows, so nothing says whether the figure repeats",
     "--windows 5"),
    ("host_late", "invalid", "time",
     "the GPU had run dry before the host gave it more work, in over 1 % of the blocks",
     "free the CPU; pin the process; a larger batch"),
    ("facts_mismatch", "invalid", "time",
     "lengths or rows per expert on the device differ from what was drawn on the host: the work is not the plan's",
     "report it: a kernel or a routing is wrong"),
    # The machine
    ("throttled_thermal", "invalid", "time and energy",
     "clocks were held back for temperature during the windows",
     "cool the node"),
    ("throttled_hw_power_brake", "invalid", "time and energy",
     "an external power brake held clocks back during the windows",
     "look at the power supplies and the rack's power limit"),
    ("power_limit_changed", "invalid", "time and energy",
     "the board's power limit was changed while the point was measured",
     "run again"),
    ("gpu_identity_changed", "invalid", "time and energy",
     "another board (UUID) answered at the end than at the beginning",
     "run again; name the GPU by its UUID"),
    ("ecc_uncorrected", "invalid", "time",
     "uncorrected memory errors happened during the point",
     "have the board checked (nvidia-smi -q -d ECC)"),
    ("xid", "invalid", "time",
     "the driver reported a critical error (Xid) on this GPU",
     "look the Xid up in NVIDIA's catalogue; restart or replace the GPU"),
    ("foreign_process_on_gpu", "invalid", "time and energy",
     "other compute processes were on this GPU",
     "end them: they share its time and its watts"),
    # Power
    ("window_too_short", "gpu", "energy",
     "a window is shorter than 2 s, twenty ticks of the energy counter",
     "--window 2 or more"),
    ("energy_power_mismatch", "invalid", "energy",
     "the energy counter and the integral of instant power differ by more than 3 %",
     "compare the board with a meter; update the driver"),
    ("counter_reset", "invalid", "energy",
     "the energy counter ran backwards",
     "nvidia-smi -pm 1 (administrator) keeps the driver loaded"),
    ("sample_gap_exceeded", "invalid", "energy",
     "no power sample for longer than the source allows, and no counter to bridge it",
     "free the CPU; run again"),
    ("window_not_bracketed", "invalid", "energy",
     "no power sample before or after a window, and no counter to stand in",
     "a meter's file should begin before the run and end after it"),
    ("scope_unknown", "invalid", "energy",
     "the energy counter agrees neither with the GPU's power nor with the module's",
     "compare the board with a meter; update the driver"),
    ("power_lost", "invalid", "energy",
     "the sensor stopped answering during the windows; times stand, joules are null",
     "dmesg tells why; reset or replace the GPU"),
    ("sampler_late", "invalid", "energy",
     "power was sampled more than half a second later than meant: the process was held back",
     "free the CPU; run again"),
    ("clock_skew", "invalid", "node energy",
     "the wall clock moved by more than 0.8 s against the monotonic one during the point, so that a meter's file cannot be joined",
     "let NTP settle before measuring"),
    ("mig_instance_unsupported", "invalid", "energy",
     "the GPU is split by MIG: every instance shows its parent's watts",
     "measure on a whole GPU"),
    ("vgpu_unsupported", "invalid", "energy",
     "a vGPU, whose sensors are the host's",
     "measure on a whole GPU"),
    # To know before believing it
    ("noise", "warning", "time",
     "the 95 % interval of the step time is wider than +/- 5 %",
     "more or longer windows (--windows, --window)"),
    ("few_windows", "warning", "time and energy",
     "fewer than five windows: Student's t is wide, and an outlier cannot be told",
     "--windows 5"),
    ("other_load", "warning", "time",
     "other processes took at least 5 % of the CPUs during the windows of a CPU's point",
     "free the machine"),
    ("clock_changed", "warning", "time and energy",
     "the windows' median SM clocks differ by more than 3 %",
     "wait until the board is as warm as in service"),
    ("sw_power_cap", "warning", "time and energy",
     "the board was at its power limit, with the share of the windows' time; at load that is where many boards honestly sit",
     "none needed; `tokenmill explain` compares points under different limits"),
    ("counter_unsupported", "warning", "energy",
     "the board has no energy counter: energy is integrated from sampled power",
     "a data-centre GPU (Volta or newer)"),
    ("counter_too_few_ticks", "warning", "energy",
     "the energy counter ticked too rarely inside a window: energy is integrated from sampled power",
     "longer windows"),
    ("counter_too_coarse", "warning", "energy",
     "the counter's edges leave more than 10 % open: energy is integrated from sampled power",
     "longer windows"),
    ("instant_w_missing", "warning", "energy",
     "no instant power was read: the energy counter was not checked against it",
     "update the driver (530 or newer)"),
    ("average_power_lags", "warning", "energy",
     "energy is from power averaged over about 1 s, which lags every change of load",
     "update the driver (530 or newer)"),
    ("counter_unchecked", "warning", "energy",
     "sampled power has a gap or does not surround a window: the energy counter was not checked against it",
     "free the CPU; run again"),
    ("no_power", "warning", "energy",
     "no source of power, and why; joules are null",
     "--watts declares the node's; a GPU's driver has a sensor"),
    ("module_counter", "warning", "energy",
     "the energy counter is the whole module's (GPU and CPU): the board's energy is from its instant power",
     "none needed"),
    ("host_share", "warning", "host energy",
     "k of n GPUs of the node were measured, and k/n of the CPUs' power is counted with them",
     "measure all of the node's GPUs"),
    ("host_unread", "warning", "host energy",
     "the CPUs' energy counters are there and may not be read",
     "chmod a+r /sys/class/powercap/*/energy_uj (administrator)"),
    ("meter", "warning", "node energy",
     "the meter's file does not cover the windows, and why",
     "a meter's file should begin before the run and end after it"),
    ("no_network", "warning", "energy",
     "joules are of one rank's compute; links, switches and waiting for them are not in them",
     "measure a whole deployment with a meter"),
    ("untuned_kernels", "warning", "time and energy",
     "nobody showed our kernels to be within 15 % of a library's on this GPU: they, not the GPU, may be slow",
     "read the share of roofline beside it"),
    ("unproven_kernels", "warning", "time",
     "the products of this recipe have no correctness row from such a GPU in docs/evidence yet",
     "scripts/gpu_evidence"),
    ("emulated_format", "warning", "time and energy",
     "the GPU has no instructions for the recipe's formats: weights are widened as they are read",
     "a GPU that multiplies them"),
    ("checkpoint", "warning", "time",
     "something to know of how the checkpoint's weights were read",
     "none needed"),
)
# fmt: on


def name_of(warning: str) -> str:
    """The name in front of a warning."""
    return warning.partition(":")[0]

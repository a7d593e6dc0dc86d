"""Real ranks: the processes that torchrun starts, joined into the groups that a deployment's collectives run over.

Without them a process is one emulated rank.
"""

from __future__ import annotations

import os

import torch

from triton_kernels.errors import TokenmillError
from triton_kernels.groups import clear, register
from workloads.deployment import Deployment, Rank


def connect(deployment: Deployment, device: torch.device) -> Rank:
    """Joins torchrun's processes (NCCL on GPUs, gloo on CPUs), one per GPU of the deployment, and says which rank this one is. Call `disconnect` at the end.

    TokenmillError unless there are as many processes as the deployment has GPUs.
    """
    distributed = torch.distributed
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != str(deployment.gpus):
        raise TokenmillError(f"{deployment.gpus} GPUs need as many processes, found {processes}: start with torchrun --nproc-per-node {deployment.gpus}")
    if deployment.gpus == 1:
        return Rank(deployment=deployment)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    index = distributed.get_rank()
    for name, size in (("tp", deployment.tp), ("ep", deployment.ep if deployment.exchanges else 1)):
        for first in range(0, deployment.gpus, size):  # every process makes every group, in the same order
            group = distributed.new_group(list(range(first, first + size))) if size > 1 else None
            if group is not None and first <= index < first + size:
                register(name, group)
    return Rank(deployment=deployment, index=index)


def disconnect() -> None:
    """Leaves the groups, all ranks together: gloo takes a peer that closes its connection early for a failure."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        clear()
        torch.distributed.destroy_process_group()

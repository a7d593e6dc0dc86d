"""What a drawn routing means for one rank: its experts' rows, and the pairs that travel.

Shapes: L layers, Y tokens of the expert-parallel group (rank after rank), T tokens of one rank, J choices per token, E experts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from triton_kernels.errors import TokenmillError
from triton_kernels.operation import StepFacts
from workloads.deployment import Deployment, Rank
from workloads.draw import Ids, draw_experts, rows_per_expert
from workloads.model_spec import ModelSpec
from workloads.routing import Routing
from workloads.shape import StepShape

RANKS = ("hottest", "mean")


def played_rank(deployment: Deployment, rank: str) -> Rank:
    """The rank that a process plays: number `rank`, or number 0 standing for the hottest or an average one (`RANKS`)."""
    if rank in RANKS:
        return Rank(deployment=deployment)
    if not (rank.isascii() and rank.isdigit() and len(rank) <= 6):
        raise TokenmillError(f"--rank {rank[:40]!r}: should be hottest, mean, or the number of a GPU")
    return Rank(deployment=deployment, index=int(rank))


@dataclass(frozen=True, kw_only=True)
class DrawnRouting:
    """Drawn experts of every token of the group, seen from the played rank, by decoder layer; dense layers repeat a drawing that nothing reads."""

    group_LYJ: Ids
    own_LTJ: Ids


def step_facts(
    spec: ModelSpec,
    deployment: Deployment,
    shape: StepShape,
    routing: Routing,
    rank: str,
    rng: np.random.Generator,
    *,
    layers_drawn: int | None = None,
) -> tuple[StepFacts, DrawnRouting | None]:
    """The facts of one step and its routing; no routing and no rows where the router decides or the model has no experts.

    `rank`: "hottest" plays, in each layer, the rank whose experts have the most rows, since a layer ends with its slowest rank; "mean" the one nearest the
    average;
    a number that rank in all. `layers_drawn`: draw so many layers and let the others repeat them; None: every layer draws alone, as a step that runs must.
    """
    played = played_rank(deployment, rank)
    lengths = StepFacts(query_len_S=(shape.query_len,) * shape.batch, context_len_S=(shape.context,) * shape.batch)
    if spec.moe is None or not routing.drawn:
        return lengths, None
    moe_layers = [i for i in range(spec.layers + shape.mtp) if min(i, spec.layers - 1) in spec.moe.layers]
    ranks, own = deployment.token_ranks, shape.tokens // (deployment.tp if deployment.exchanges else 1)
    drawn = min(layers_drawn or len(moe_layers), len(moe_layers))
    ids_LYJ = draw_experts(routing, spec.moe, layers=drawn, tokens=ranks * own, rng=rng)
    shares = [_seen_from(ids, spec.moe.experts, deployment, played, rank) for ids in ids_LYJ]
    rows: list[tuple[int, ...]] = [()] * (spec.layers + shape.mtp)
    tokens, sent, received = ([0] * len(rows) for _ in range(3))
    place = [0] * len(rows)
    for n, layer in enumerate(moe_layers):
        share = shares[n % drawn]
        rows[layer], tokens[layer], sent[layer], received[layer] = share.rows, share.tokens, share.sent, share.received
        place[layer] = n % drawn
    facts = replace(lengths, rows_per_expert_LE=tuple(rows), tokens_L=tuple(tokens), sent_rows_L=tuple(sent), received_rows_L=tuple(received))
    if layers_drawn is not None:  # for a plan alone: nothing runs
        return facts, None
    group_LYJ = np.stack([shares[p].ids for p in place])
    first = played.ep * own if deployment.exchanges else 0
    return facts, DrawnRouting(group_LYJ=group_LYJ, own_LTJ=group_LYJ[:, first : first + own])


@dataclass(frozen=True, kw_only=True)
class _Share:
    """One layer of one rank."""

    ids: Ids
    rows: tuple[int, ...]
    tokens: int
    sent: int
    received: int


def _seen_from(ids_YJ: Ids, experts: int, deployment: Deployment, played: Rank, rank: str) -> _Share:
    """A layer's routing with its ranks renumbered so that the wanted one is the played one."""
    ep, here = deployment.ep, experts // deployment.ep
    load = rows_per_expert(ids_YJ, experts).reshape(ep, here).sum(1)
    if rank in RANKS:
        wanted = int(load.argmax()) if rank == "hottest" else int(np.abs(load - load.mean()).argmin())
        turn = played.ep - wanted
        ids_YJ = ((ids_YJ + turn * here) % experts).astype(np.int32)
        if deployment.exchanges:
            ids_YJ = np.roll(ids_YJ.reshape(ep, -1, ids_YJ.shape[1]), turn, axis=0).reshape(ids_YJ.shape)
    first = played.ep * here
    mine_YJ = (ids_YJ >= first) & (ids_YJ < first + here)
    rows = rows_per_expert(ids_YJ, experts)[first : first + here]
    sent = received = 0
    if deployment.exchanges:
        own = ids_YJ.shape[0] // ep
        own_TJ = mine_YJ[played.ep * own : (played.ep + 1) * own]
        sent, received = int(own_TJ.size - own_TJ.sum()), int(mine_YJ.sum() - own_TJ.sum())
    return _Share(ids=ids_YJ, rows=tuple(rows.tolist()), tokens=int(mine_YJ.any(axis=1).sum()), sent=sent, received=received)

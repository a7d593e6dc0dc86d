"""NVIDIA machine code as cuobjdump prints it: instructions, their families, and which loops they lie in. Importable without torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Instructions that multiply tiles. Hopper: HGMMA and QGMMA are wgmma of 16-bit and 8-bit floats. Blackwell: UTCHMMA, UTCQMMA and UTCOMMA are tcgen05 of 16, 8
# (or 8 and 4, with or without block scales) and 4 bits (always with block scales). HMMA, QMMA, OMMA: mma.sync of the same.
TENSOR_CORE = ("HGMMA", "QGMMA", "IGMMA", "BGMMA", "HMMA", "QMMA", "OMMA", "IMMA", "DMMA", "UTCHMMA", "UTCQMMA", "UTCOMMA", "UTCIMMA")
# UTMALDG, UTMASTG: tensor copies (TMA) in and out. UBLKCP: bulk copies. LDGSTS: cp.async. LDG, STG: through registers. LDTM, STTM: tensor memory.
COPIES = ("UTMALDG", "UTMASTG", "UBLKCP", "LDGSTS", "LDG", "STG", "LDTM", "STTM")
SPILLS = ("STL", "LDL")  # stores to and loads from local memory, of which a Triton kernel has only what did not fit its registers
_COUNTED = frozenset((*TENSOR_CORE, *COPIES, *SPILLS))
_TENSOR_CORE = frozenset(TENSOR_CORE)

_LINE = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;/]*);", re.MULTILINE)
_GUARD = re.compile(r"\*/\s+@(?!PT\b)")
_TARGET = re.compile(r"(.*?)\b0x([0-9a-f]+)\s*$")
_ENDS = frozenset(("EXIT", "RET", "BRX", "JMX", "KILL"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    address: int
    opcode: str  # with its modifiers: HGMMA.64x128x16.F32.BF16
    goes_on: bool  # whether the next instruction may follow
    target: int | None = None  # where a branch may go

    @property
    def family(self) -> str:
        return self.opcode.partition(".")[0]


def parse(text: str) -> list[Instruction]:
    """The instructions of `cuobjdump -sass`, in order of address."""
    return [_instruction(m) for m in _LINE.finditer(text)]


def _instruction(line: re.Match[str]) -> Instruction:
    address, opcode, operands = int(line[1], 16), line[2], line[3]
    family, guarded = opcode.partition(".")[0], bool(_GUARD.search(line[0]))
    if family in ("BRA", "JMP"):
        found = _TARGET.match(operands)
        # `@P0 BRA 0x80` and `BRA.U !UP0, 0x80` may go on; `BRA 0x80` may not.
        if found is None:
            return Instruction(address=address, opcode=opcode, goes_on=guarded)
        return Instruction(address=address, opcode=opcode, goes_on=guarded or bool(found[1].strip()), target=int(found[2], 16))
    return Instruction(address=address, opcode=opcode, goes_on=guarded or family not in _ENDS)


def families(code: Iterable[Instruction]) -> dict[str, int]:
    """How many of each counted family, most telling first."""
    counts = Counter(one.family for one in code if one.family in _COUNTED)
    return {name: counts[name] for name in (*TENSOR_CORE, *COPIES, *SPILLS) if counts[name]}


def loops(code: Sequence[Instruction]) -> list[list[Instruction]]:
    """Natural loops: for each branch back to an instruction that must come before it, everything from which that branch is reached without passing there.

    Not the addresses between: compilers put the seldom parts of a loop behind the kernel's end.
    """
    blocks = _blocks(code)
    if not blocks:
        return []
    first = code[0].address
    after = {start: _successors(block, blocks) for start, block in blocks.items()}
    before: dict[int, list[int]] = {start: [] for start in blocks}
    for start, following in after.items():
        for to in following:
            before[to].append(start)
    dominators = _dominators(first, after, before)
    bodies: dict[int, set[int]] = {}
    for start, following in after.items():
        for head in following:
            if start in dominators and head in dominators[start]:
                bodies.setdefault(head, {head}).update(_reaching(start, head, before, dominators))
    return [[one for start in sorted(body) for one in blocks[start]] for body in bodies.values()]


def spills_in_main_loops(code: Sequence[Instruction]) -> int:
    """Spill instructions inside the innermost loops that hold a tensor-core instruction: what costs on every step of the product."""
    found = [frozenset(loop) for loop in loops(code) if any(one.family in _TENSOR_CORE for one in loop)]
    innermost = [loop for loop in found if not any(other < loop for other in found)]
    return len({one.address for loop in innermost for one in loop if one.family in SPILLS})


def _blocks(code: Sequence[Instruction]) -> dict[int, list[Instruction]]:
    """Straight runs of instructions by the address of the first."""
    known = {one.address for one in code}
    leaders = {one.target for one in code if one.target in known}
    blocks: dict[int, list[Instruction]] = {}
    current: list[Instruction] = []
    for one in code:
        if not current or one.address in leaders:
            current = blocks.setdefault(one.address, [])
        current.append(one)
        if one.target is not None or not one.goes_on:
            current = []
    return blocks


def _successors(block: Sequence[Instruction], blocks: dict[int, list[Instruction]]) -> list[int]:
    last = block[-1]
    following = [] if last.target is None else [last.target]
    if last.goes_on:
        following.append(last.address + 16)  # an instruction takes 16 bytes
    return [to for to in following if to in blocks]


def _dominators(first: int, after: dict[int, list[int]], before: dict[int, list[int]]) -> dict[int, set[int]]:
    """For each block that can be reached, those that every way to it passes, itself included."""
    order, seen, waiting = [], {first}, [first]
    while waiting:
        start = waiting.pop()
        order.append(start)
        fresh = [to for to in after[start] if to not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
    dominators = {start: {first} if start == first else set(seen) for start in order}
    changed = True
    while changed:
        changed = False
        for start in order[1:]:
            found = set.intersection(*(dominators[b] for b in before[start] if b in seen)) | {start}
            if found != dominators[start]:
                dominators[start], changed = found, True
    return dominators


def _reaching(start: int, head: int, before: dict[int, list[int]], reachable: dict[int, set[int]]) -> set[int]:
    """The blocks from which `start` is reached without passing `head`."""
    body, waiting = {head, start}, [start] if start != head else []
    while waiting:
        for b in before[waiting.pop()]:
            if b not in body and b in reachable:
                body.add(b)
                waiting.append(b)
    return body

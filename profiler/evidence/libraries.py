"""Part `libraries`: what the records of `operations` say -> libraries.json, explain.txt. Needs no GPU."""

from __future__ import annotations

from profiler.evidence import child
from profiler.evidence.call import Turn
from profiler.evidence.library_table import FOLDERS, rows_of, worst_of
from profiler.evidence.machine_code import why_facts
from profiler.evidence.text import first_line, place, without_paths
from profiler.record.store import Run, read_run

EXPLAINED = "operations"  # its point has joules


def libraries(turn: Turn) -> bool:
    """Whether there was a record to read, and all of it could be."""
    runs = {name: read_run(turn.call.out / name) for name in FOLDERS if (turn.call.out / name / "run.json").exists()}
    if not runs:
        turn.left_out.append("libraries (no operations are recorded here: --part operations)")
        return True
    ok = _explained(turn, runs[EXPLAINED]) if EXPLAINED in runs else True
    rows = rows_of(runs)
    places, ranked_by = worst_of(rows)
    if turn.call.rehearsal:  # compiling is what takes the time of a rehearsal, and one shows the way
        places = places[:1]
    facts = {number: why_facts(turn, rows[number]) for number in places}
    worst = [{"row": number, "ranked_by": ranked_by, "why_facts": found} for number, found in facts.items()]
    turn.call.write("libraries.json", {"rows": rows, "worst": worst})
    compared = sum(row["ratio"] is not None for row in rows)
    print(f"libraries: {compared} of {len(rows)} shapes compared{'' if compared else ': nobody compared'}", flush=True)
    for row in rows:
        if row["why_not"]:
            turn.left_out.append(f"{row['part']} of {row['run']}, {row['phase']} ({row['why_not']})")
    turn.left_out.extend(f"machine code of {rows[number]['part']} ({found['why_not']})" for number, found in facts.items() if found["why_not"])
    return ok


def _explained(turn: Turn, run: Run) -> bool:
    """The waterfall of a point measured with its operations, the first valid one where there is any, as the command prints it."""
    point = next((p for p in run.points if p.get("valid")), next((p for p in run.points if p.get("status") == "ok"), None))
    if point is None:
        turn.left_out.append("explain (no point was measured)")
        return True
    words = ("explain", EXPLAINED, "--point", str(point["point_id"]))
    ended = child.run(child.tokenmill(*words), seconds=max(1.0, turn.left_s), interrupted=turn.call.interrupted, cwd=turn.call.out,
                      variables={"COLUMNS": "100", "NO_COLOR": "1"}, quiet=True)  # fmt: skip
    if ended.code or ended.why:
        turn.left_out.append(f"explain ({ended.why or first_line(ended.err)})")
        return ended.why is not None
    typed = f"$ tokenmill explain {place(turn.call.out)}/{EXPLAINED} --point {point['point_id']}"
    lines = [typed, *(line.rstrip() for line in ended.out.splitlines())]
    (turn.call.out / "explain.txt").write_text(without_paths("\n".join(lines)) + "\n", encoding="utf-8")
    return True

import gzip
import json
from pathlib import Path

from profiler.record.packed import pack_run
from profiler.record.store import RunWriter, read_run

PLAN = {"calls": [{"op": "matmul", "part": "head.logits", "count": 1}]}


def test_a_packed_run_reads_like_the_whole_one(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "runs", subject="tiny-moe", argv=["run"], version="0.1.0")
    for i in range(2):
        point = {"point_id": f"00{i}-decode", "plan": "0123456789abcdef", "valid": True}
        writer.commit(point, series=[{"t_s": 1.0 + i, "instant_w": 300.0}], plan=PLAN)
    writer.finish("done")
    whole = read_run("last", tmp_path / "runs")
    out = tmp_path / "evidence"
    out.mkdir()
    pack_run(whole, out)
    packed = read_run(out)
    assert sorted(p.name for p in out.iterdir()) == ["plans.json", "points.jsonl", "run.json", "series.jsonl.gz"]
    assert (packed.header, packed.points, packed.plans) == (whole.header, whole.points, whole.plans)
    assert packed.plans == {"0123456789abcdef": PLAN}
    samples = [json.loads(line) for line in gzip.decompress((out / "series.jsonl.gz").read_bytes()).splitlines()]
    assert samples == [{"point_id": "000-decode", "t_s": 1.0, "instant_w": 300.0}, {"point_id": "001-decode", "t_s": 2.0, "instant_w": 300.0}]

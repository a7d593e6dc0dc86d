"use strict";
// Fronts against tokens/s per user at the reader's price: the chart, its legend and its table.
const Pareto = (() => {
  const { data, items, text, figure, value } = Model;
  const $ = (id) => document.getElementById(id);
  const hidden = new Set(); // groups that the reader switched off

  const style = (group) => ({ colour: `series-${(group % 7) + 1}`, shape: Charts.SHAPES[group % Charts.SHAPES.length] });
  const written = (n, name) => {
    const found = figure(n, name);
    return Numbers.FORMS[data.figures[name].form](found.value, found.ends);
  };

  // The lines that have both figures, of one workload.
  function placed(axis, workload) {
    return items
      .map((item, n) => ({
        n, item, x: item.x ?? null, y: value(n, axis.figure), rate: value(n, "output_tokens_per_s"), valid: Boolean(item.valid), group: item.group ?? null,
      }))
      .filter((p) => p.x > 0 && p.y > 0 && p.group !== null && (workload === null || p.item.workload === workload));
  }

  // Of points those that are valid and that no other equals or beats in both (profiler/pareto/front.py).
  function front(points, higher) {
    const sign = higher ? -1 : 1, kept = [];
    for (const p of points.filter((each) => each.valid).sort((a, b) => b.x - a.x || sign * (a.y - b.y))) {
      const last = kept[kept.length - 1];
      if (!last || sign * p.y < sign * last.y || (p.x === last.x && p.y === last.y)) kept.push(p);
    }
    return kept.reverse();
  }

  // Between two points of a front: what a batch between them delivers (profiler/pareto/interpolate.py). Modelled, so it is drawn and never quoted.
  function curve(found, name) {
    const steps = found.length > 60 ? 1 : found.length > 12 ? 6 : 16; // where points are close nothing is between them
    return found.flatMap((p, n) => {
      const next = found[n + 1], points = [[p.x, p.y]];
      for (let step = 1; next && next.x > p.x && step < steps; step += 1) {
        const share = step / steps, [a, b] = [(1 - share) * p.rate, share * next.rate];
        const usd = (a * p.y + b * next.y) / (a + b), perMw = (a + b) / (a / p.y + b / next.y);
        points.push([p.x + share * (next.x - p.x), name === "output_tokens_per_s" ? a + b : name === "usd_per_mtok" ? usd : perMw]);
      }
      return points;
    });
  }

  function show(axisName, workload) {
    const axis = data.axes.find((each) => each.figure === axisName) || data.axes[0];
    if (!axis || !$("pareto-chart")) return;
    const all = placed(axis, workload), groups = [...new Set(all.map((p) => p.group))].sort((a, b) => a - b);
    const fronts = new Map(groups.map((group) => [group, front(all.filter((p) => p.group === group), axis.better === "higher")]));
    draw(axis, all.filter((p) => !hidden.has(p.group) && (p.valid || $("pareto-invalid").checked)), fronts);
    legend(groups, () => show(axisName, workload));
    table(fronts, axis);
  }

  function draw(axis, shown, fronts) {
    const on = new Set([...fronts.values()].flat().map((p) => p.n)), dollars = axis.figure === "usd_per_mtok";
    Charts.scatter($("pareto-chart"), {
      name: `${axis.label} in ${axis.unit} against the tokens/s per user of ${shown.length} points; the table below has those on the fronts`,
      x: { label: "tokens/s per user", log: Charts.spread(shown.map((p) => p.x)) > 12, write: Numbers.tick },
      y: { label: axis.unit, log: Charts.spread(shown.map((p) => p.y)) > 8, write: dollars ? (v) => `$${Numbers.tick(v)}` : Numbers.tick },
      marks: shown.map((p) => ({
        x: p.x, y: p.y, ...style(p.group), hollow: !p.valid || data.groups[p.group].reference, faint: !on.has(p.n), large: on.has(p.n),
        lines: [
          text(p.item.name), `${written(p.n, axis.figure)} ${axis.unit.replace("$ ", "")}`, `${Numbers.count(p.x)} tokens/s per user`,
          ...(p.valid ? [] : [`not valid: ${text(p.item.invalid) ?? ""}`]),
        ],
      })),
      paths: [...fronts.entries()]
        .filter(([group, points]) => !hidden.has(group) && points.length > 1)
        .map(([group, points]) => ({
          points: curve(points, axis.figure), colour: style(group).colour, width: 1.8, dash: data.groups[group].reference ? [5, 4] : [],
        })),
    });
  }

  function legend(groups, again) {
    $("pareto-legend").replaceChildren(...groups.map((group) => {
      const button = Frame.element("button", "key", text(data.groups[group].name));
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(group)));
      button.prepend(Charts.glyph(style(group), data.groups[group].reference));
      button.onclick = () => { if (!hidden.delete(group)) hidden.add(group); again(); };
      return button;
    }));
  }

  function table(fronts, axis) {
    const dollars = axis.figure === "usd_per_mtok";
    $("front-unit").textContent = axis.unit;
    $("front-usd").hidden = dollars;
    $("front-rows").replaceChildren(...[...fronts.entries()].flatMap(([group, points]) => points.map((p) => {
      const row = Frame.element("tr");
      const cells = [[text(data.groups[group].name)], [text(p.item.size)], [Numbers.count(p.x), true], [Numbers.count(p.rate), true]];
      for (const name of dollars ? [axis.figure] : [axis.figure, "usd_per_mtok"]) cells.push([written(p.n, name), true, figure(p.n, name).changed]);
      row.append(...cells.map(([said, number, changed]) => {
        const cell = Frame.element("td", `${number ? "n" : ""}${changed ? " by-reader" : ""}`);
        Frame.writeText(cell, said);
        return cell;
      }));
      return row;
    })));
  }

  return { show, placed, front, curve };
})();

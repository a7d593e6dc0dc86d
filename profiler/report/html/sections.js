"use strict";
// Charts that no price changes: the roofline of a machine, and a point's power, clock and temperature.
const Sections = (() => {
  const { data, text, at } = Model;
  const $ = (id) => document.getElementById(id);

  function roofline(machine) {
    const roof = data.roofline;
    if (!$("roofline-chart") || !roof.many) return;
    const column = (name, n) => at(roof.points[name], n), roofs = roof.machines[machine].roofs;
    const points = Array.from({ length: roof.many }, (_, n) => n).filter((n) => column("machine", n) === machine);
    const formats = [...new Set(points.map((n) => column("precision", n)))];
    const colour = (format) => `series-${(formats.indexOf(format) % 7) + 1}`;
    const marks = points.map((n) => ({
      x: column("x", n), y: column("y", n), colour: colour(column("precision", n)), shape: column("decode", n) ? "circle" : "square",
      hollow: !column("valid", n), lines: said(column, n),
    }));
    const ridges = roofs.map((each) => each.flops_per_s / each.bandwidth_bytes_per_s), xs = marks.map((m) => m.x).concat(ridges);
    const [low, high] = [Charts.whole(Math.min(...xs) / 2), Math.max(...xs) * 3], ys = marks.map((m) => m.y).concat(roofs.map((each) => each.flops_per_s));
    const measured = (each) => each.source === "measured";
    Charts.scatter($("roofline-chart"), {
      name: `Roofline of ${text(roof.machines[machine].name)}: arithmetic per second against FLOP per byte; the table of all points has each one's share`,
      x: { label: roof.x.unit, log: true, range: [low, high], write: Numbers.tick },
      y: { label: "FLOP/s", log: true, range: [Charts.whole(Math.min(...ys) / 2), Math.max(...ys) * 2], write: Numbers.tick },
      marks,
      paths: roofs.map((each, n) => ({
        colour: measured(each) ? "text" : "muted", width: 1.5, dash: measured(each) ? [] : [5, 4], free: true,
        points: [[low, low * each.bandwidth_bytes_per_s], [ridges[n], each.flops_per_s], [high, each.flops_per_s]],
      })),
    });
    $("roofline-legend").replaceChildren(...roofs.map((each) => rule(each, measured(each))), ...formats.flatMap((format) => phases(format, colour(format))));
  }

  function said(column, n) {
    const share = column("share", n);
    return [
      `${column("decode", n) ? "decode" : "prefill"}, ${text(column("precision", n))}, batch ${column("batch", n)}`,
      `${Numbers.fixed(column("x", n))} FLOP per byte`, Numbers.si(column("y", n), "FLOP/s"),
      ...(share === null ? [] : [`${Numbers.percent(share)} of the sum of its operations' rooflines`]), ...(column("valid", n) ? [] : ["not valid"]),
    ];
  }

  function rule(roof, measured) {
    const rates = `${Numbers.si(roof.flops_per_s, "FLOP/s")}, ${Numbers.si(roof.bandwidth_bytes_per_s, "B/s")}`;
    const key = Frame.element("span", "key", `${text(roof.lane)} ${roof.source}: ${rates}`);
    key.prepend(Frame.element("i", measured ? "rule" : "rule dashed"));
    return key;
  }

  function phases(format, colour) {
    return [["decode", "circle"], ["prefill", "square"]].map(([phase, shape]) => {
      const key = Frame.element("span", "key", `${text(format)} ${phase}`);
      key.prepend(Charts.glyph({ colour, shape }, false));
      return key;
    });
  }

  function timeline(n) {
    const trace = data.traces[n], place = $("trace-charts");
    if (!trace) return;
    $("trace-answer").textContent = text(trace.answer);
    while (place.children.length < trace.panels.length) place.append(Frame.element("div", "chart"));
    [...place.children].forEach((holder, k) => { holder.hidden = k >= trace.panels.length; });
    const times = trace.panels.flatMap((panel) => panel.lines.flatMap((line) => line.t)).sort((a, b) => a - b);
    trace.panels.forEach((panel, k) => {
      const last = k === trace.panels.length - 1;
      Charts.timeline(place.children[k], {
        height: last ? 190 : 165, last, from: times[0], to: times[times.length - 1], windows: trace.windows, zero: panel.unit === "W", unit: panel.unit,
        name: `${panel.label} in ${panel.unit} over time, windows shaded: ${text(trace.answer)}`, write: Numbers.count,
        lines: panel.lines.map((line, m) => ({ t: line.t, v: line.v, name: text(line.name), colour: `series-${((k + m) % 7) + 1}` })),
      });
    });
    const sources = [...new Set(trace.panels.flatMap((panel) => panel.lines.map((line) => text(line.name))))];
    $("trace-sources").textContent =
      `Shaded: the windows that figures are of. Sampled: ${sources.join(", ")}. Of each stretch the least and the greatest sample are kept.`;
  }

  return { roofline, timeline };
})();

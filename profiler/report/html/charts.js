"use strict";
// Charts on uPlot: it has the axes, scales, ticks and cursors; marks, lines and bands are drawn here. Colours are the page's, and follow its theme.
const Charts = (() => {
  const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "plus"];
  const made = new Map(); // holder -> {chart, rebuild}
  const probe = document.createElement("span");

  function colour(name) {
    if (!probe.isConnected) document.body.append(probe);
    probe.hidden = true;
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  // A range with room at its ends: by a factor on a logarithmic axis, from 0 on a linear one.
  function range(values, log) {
    const known = values.filter((value) => value !== null && (!log || value > 0));
    if (!known.length) return log ? [1, 10] : [0, 1];
    const [low, high] = known.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    if (!log) return [Math.min(0, low), high === 0 ? 1 : high * 1.08];
    const room = Math.max(1.12, (high / low) ** 0.06);
    return [whole(low / room), high * room];
  }

  // uPlot counts a logarithmic axis's ticks from its least value: a round one gives round ticks.
  function whole(value) {
    const magnitude = 10 ** Math.floor(Math.log10(value));
    return Math.floor(value / magnitude) * magnitude;
  }

  // Which ticks of a logarithmic axis are named: as many of 1, 2, 3, 5, 7 as there is room for.
  function named(u, splits, axisIndex) {
    const scale = u.axes[axisIndex].scale, space = axisIndex ? 26 : 62, decade = Math.abs(u.valToPos(10, scale) - u.valToPos(1, scale));
    const digits = decade * Math.log10(10 / 7) > space ? "12357" : decade * Math.log10(2) > space ? "125" : decade * Math.log10(3) > space ? "13" : "1";
    return splits.map((value) => (digits.includes(value.toExponential()[0]) && Math.abs(Number(value.toPrecision(1)) / value - 1) < 1e-6 ? value : null));
  }

  const spread = (values) => {
    const known = values.filter((value) => value > 0);
    return known.length ? Math.max(...known) / Math.min(...known) : 1;
  };

  function axis(spec, side) {
    const write = spec.write || ((value) => Numbers.count(value));
    return {
      side, label: spec.label, labelFont: FONT, font: FONT, stroke: () => colour("muted"), labelSize: 20, gap: 6, size: side === 3 ? 58 : 34,
      space: side === 3 ? 34 : 56, labelGap: 4, ...(spec.log ? { filter: named } : {}),
      values: (u, splits) => splits.map((value) => (value === null ? "" : write(value))),
      grid: { stroke: () => colour("grid"), width: 1 }, ticks: { stroke: () => colour("grid"), width: 1, size: 5 },
    };
  }

  // Shapes as strokes between corners, in units of the mark's size.
  const CORNERS = {
    square: [[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]], triangle: [[[0, -1.2], [1.1, 0.8], [-1.1, 0.8]]],
    diamond: [[[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]]], cross: [[[-0.9, -0.9], [0.9, 0.9]], [[-0.9, 0.9], [0.9, -0.9]]],
    plus: [[[-1.2, 0], [1.2, 0]], [[0, -1.2], [0, 1.2]]],
  };

  function shape(ctx, kind, x, y, r) {
    ctx.beginPath();
    if (kind === "circle") { ctx.arc(x, y, r, 0, 2 * Math.PI); return; }
    for (const stroke of CORNERS[kind]) {
      stroke.forEach(([dx, dy], n) => ctx[n ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
      if (stroke.length > 2) ctx.closePath();
    }
  }

  // A mark: filled where it is valid, hollow where it is not, ringed where it is looked at.
  function mark(ctx, ratio, m, at, picked) {
    const r = (m.large ? 5 : 3.6) * ratio, open = m.hollow || m.shape === "cross" || m.shape === "plus";
    ctx.globalAlpha = m.faint ? 0.45 : 1;
    shape(ctx, m.shape, at[0], at[1], r);
    ctx.lineWidth = 1.6 * ratio;
    ctx.strokeStyle = ctx.fillStyle = colour(m.colour);
    if (open) { if (m.hollow) { ctx.fillStyle = colour("page"); ctx.fill(); } ctx.stroke(); } else ctx.fill();
    if (picked) { ctx.globalAlpha = 1; ctx.beginPath(); ctx.arc(at[0], at[1], r + 4 * ratio, 0, 2 * Math.PI); ctx.strokeStyle = colour("text"); ctx.stroke(); }
    ctx.globalAlpha = 1;
  }

  function line(ctx, ratio, u, path) {
    ctx.beginPath();
    ctx.setLineDash((path.dash || []).map((length) => length * ratio));
    ctx.lineWidth = (path.width || 1.5) * ratio;
    ctx.strokeStyle = colour(path.colour);
    path.points.forEach(([x, y], n) => ctx[n ? "lineTo" : "moveTo"](u.valToPos(x, "x", true), u.valToPos(y, "y", true)));
    ctx.stroke();
    ctx.setLineDash([]);
  }

  // What a mark is, beside it; text alone, whatever it holds.
  function hint(holder) {
    const box = holder.appendChild(document.createElement("div"));
    box.className = "hint";
    box.hidden = true;
    return (lines, left, top) => {
      box.hidden = !lines;
      if (!lines) return;
      box.replaceChildren(...lines.map((text, n) => Object.assign(document.createElement(n ? "span" : "b"), { textContent: text })));
      const room = holder.clientWidth - box.offsetWidth - 4;
      box.style.left = `${Math.max(0, Math.min(left + 14, room))}px`;
      box.style.top = `${Math.max(0, top - box.offsetHeight - 10)}px`;
    };
  }

  function build(holder, spec, options, data) {
    made.get(holder)?.chart.destroy();
    holder.querySelectorAll(".hint").forEach((old) => old.remove());
    const chart = new uPlot({ ...size(holder, spec), legend: { show: false }, ...options }, data, holder);
    made.set(holder, { chart, spec });
    return chart;
  }

  // spec: {x: {label, log, write, values}, y, marks: [{x, y, shape, colour, hollow, faint, large, lines}], paths: [{points, colour, dash, width, label}], name}
  function scatter(holder, spec) {
    const { marks, paths } = spec;
    const xs = marks.map((m) => m.x).concat(paths.flatMap((p) => (p.free ? [] : p.points.map((at) => at[0]))));
    const ys = marks.map((m) => m.y).concat(paths.flatMap((p) => (p.free ? [] : p.points.map((at) => at[1]))));
    const [xRange, yRange] = [spec.x.range || range(xs, spec.x.log), spec.y.range || range(ys, spec.y.log)];
    let picked = -1;
    const draw = (u) => {
      const { ctx, bbox } = u, ratio = uPlot.pxRatio;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top - 6 * ratio, bbox.width + 6 * ratio, bbox.height + 12 * ratio);
      ctx.clip();
      paths.forEach((path) => line(ctx, ratio, u, path));
      marks.forEach((m, n) => mark(ctx, ratio, m, [u.valToPos(m.x, "x", true), u.valToPos(m.y, "y", true)], n === picked));
      ctx.restore();
    };
    const chart = build(holder, spec, {
      cursor: { drag: { x: false, y: false }, points: { show: false }, x: false, y: false },
      scales: { x: { time: false, distr: spec.x.log ? 3 : 1, range: () => xRange }, y: { distr: spec.y.log ? 3 : 1, range: () => yRange } },
      axes: [axis(spec.x, 2), axis(spec.y, 3)],
      series: [{}, { stroke: "transparent", points: { show: false } }],
      hooks: { draw: [draw], setCursor: [(u) => pick(nearest(u))] },
    }, [xRange, yRange]);
    const say = hint(holder);

    function nearest(u) {
      const { left, top } = u.cursor;
      if (left === undefined || left < 0) return -1;
      let [best, least] = [-1, 24 ** 2];
      marks.forEach((m, n) => {
        const d = (u.valToPos(m.x, "x") - left) ** 2 + (u.valToPos(m.y, "y") - top) ** 2;
        if (d < least) [best, least] = [n, d];
      });
      return best;
    }

    function pick(n) {
      if (n === picked) return;
      picked = n;
      chart.redraw(false);
      if (n < 0) { say(null); return; }
      const { bbox } = chart, ratio = uPlot.pxRatio;
      say(marks[n].lines, bbox.left / ratio + chart.valToPos(marks[n].x, "x"), bbox.top / ratio + chart.valToPos(marks[n].y, "y"));
    }

    describe(holder, spec.name);
    const order = marks.map((_, n) => n).sort((a, b) => marks[a].x - marks[b].x);
    holder.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") pick(-1);
      if (!step || !order.length) return;
      event.preventDefault();
      const at = order.indexOf(picked);
      pick(order[at < 0 ? (step > 0 ? 0 : order.length - 1) : Math.min(Math.max(at + step, 0), order.length - 1)]);
      holder.setAttribute("aria-label", `${spec.name}: ${marks[picked].lines.join(", ")}`);
    };
    holder.onblur = () => { pick(-1); describe(holder, spec.name); };
  }

  function describe(holder, name) {
    holder.tabIndex = 0;
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", name);
  }

  // The range of a trace, with room at its ends: from 0, or as near as its values lie.
  function around(low, high, zero) {
    if (low === null) return [0, 1];
    const room = high - low || Math.abs(high) || 1;
    return [zero ? 0 : low - room * 0.15, high + room * 0.12];
  }

  // Lines over time. spec: {lines: [{t, v, colour, name}], windows: [[start, end]], unit, write, name, from, to, sync}
  function timeline(holder, spec) {
    const times = [...new Set(spec.lines.flatMap((each) => each.t))].sort((a, b) => a - b);
    const columns = spec.lines.map((each) => {
      const at = new Map(each.t.map((t, n) => [t, each.v[n]]));
      return times.map((t) => (at.has(t) ? at.get(t) : undefined)); // undefined joins, null breaks the line
    });
    const shade = (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.fillStyle = colour("shade");
      for (const [start, end] of spec.windows) {
        const [from, to] = [start, end].map((t) => Math.min(Math.max(u.valToPos(t, "x", true), bbox.left), bbox.left + bbox.width));
        ctx.fillRect(from, bbox.top, to - from, bbox.height);
      }
      ctx.restore();
    };
    const chart = build(holder, spec, {
      cursor: { sync: { key: "timeline" }, points: { size: 6 }, y: false, drag: { x: false, y: false } },
      scales: { x: { time: false, range: () => [spec.from, spec.to] }, y: { range: (u, low, high) => around(low, high, spec.zero) } },
      axes: [
        axis({ label: spec.last ? "seconds from the first window" : "", write: (t) => `${Number(t.toFixed(1))}` }, 2),
        axis({ label: spec.unit, write: spec.write }, 3),
      ],
      series: [{}, ...spec.lines.map((each) => ({ stroke: () => colour(each.colour), width: 1.5, points: { show: false }, label: each.name }))],
      hooks: { drawClear: [shade], setCursor: [(u) => look(u)] },
    }, [times, ...columns]);
    const say = hint(holder);
    function look(u) {
      const n = u.cursor.idx;
      if (n === null || n === undefined || u.cursor.left < 0) { say(null); return; }
      const at = spec.lines.map((each, k) => [each.name, columns[k][n]]).filter(([, value]) => value !== undefined && value !== null);
      const lines = at.map(([name, value]) => `${name}: ${spec.write(value)} ${spec.unit}`);
      say([`${times[n].toFixed(2)} s`, ...lines], u.bbox.left / uPlot.pxRatio + u.cursor.left, 40);
    }
    describe(holder, spec.name);
  }

  // A mark as it stands in a legend.
  function glyph({ colour: name, shape: kind }, hollow) {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const PATHS = {
      circle: "M2 7a5 5 0 1 0 10 0a5 5 0 1 0-10 0", square: "M2.5 2.5h9v9h-9z", triangle: "M7 1.5l5.5 10h-11z", diamond: "M7 .8L13.2 7L7 13.2L.8 7z",
      cross: "M2.5 2.5l9 9M2.5 11.5l9-9", plus: "M7 1v12M1 7h12",
    };
    box.setAttribute("viewBox", "0 0 14 14");
    box.setAttribute("class", `glyph ${name}${hollow || kind === "cross" || kind === "plus" ? " hollow" : ""}`);
    box.setAttribute("aria-hidden", "true");
    box.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path")).setAttribute("d", PATHS[kind]);
    return box;
  }

  const redraw = () => made.forEach(({ chart }) => chart.redraw(false, true));
  const size = (holder, spec, width) => ({ width: width || Math.max(240, holder.clientWidth), height: spec.height || 340 });
  const resize = (width) => made.forEach(({ chart, spec }, holder) => chart.setSize(size(holder, spec, width)));

  return { scatter, timeline, glyph, redraw, resize, spread, whole, SHAPES };
})();

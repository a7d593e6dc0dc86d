"use strict";
// The iceberg at the reader's price: idle hours follow the busy share, the site the PUE, dollars the hours and, where electricity is apart, the joules.
const Waterfall = (() => {
  const { data, text } = Model;
  const $ = (id) => document.getElementById(id);
  const site = (bar) => bar.name === "host" || bar.name === "facility";
  const summed = (bars, name) => (bars.some((bar) => bar[name] !== null) ? bars.reduce((total, bar) => total + (bar[name] ?? 0), 0) : null);
  // A part of the joules is not the whole: links alone may lack theirs (profiler/explain/bar.py).
  const joules = (bars) => (bars.some((bar) => bar.s && bar.j === null && bar.name !== "collectives") ? null : summed(bars, "j"));
  const total = (bars) => ({ s: summed(bars, "s"), j: joules(bars), usd: summed(bars, "usd") });

  function bars(n) {
    const shown = data.waterfalls[n], solve = Model.solver(shown.item), before = Model.solver(shown.item, {});
    const changed = (name) => solve(name) !== before(name);
    const found = shown.bars.map(([name, label, s, j, kind, energyKind, note, why]) => ({
      name: text(name), label: text(label), s, j, kind: text(kind), energyKind: text(energyKind), note: text(note), why: text(why),
      layer: data.layers[text(name)],
    }));
    const busy = found.filter((bar) => bar.name !== "idle" && !site(bar));
    if (changed("utilisation")) idle(found.find((bar) => bar.name === "idle"), summed(busy, "s"), solve("utilisation"), shown.idle_w);
    if (changed("pue") && shown.node) facility(found.find((bar) => bar.name === "facility"), found, solve("pue"));
    dollars(found, solve);
    return { shown, bars: found, busy: total(busy), delivered: total(found), changed: ["usd_per_gpu_hour", "utilisation", "pue"].some(changed) };
  }

  function idle(bar, busy, share, watts) {
    if (!bar) return;
    bar.s = share === null ? null : busy * (1 / share - 1);
    bar.j = share === 1 ? 0 : watts === null || bar.s === null ? null : watts * bar.s;
    const why = bar.j === null ? "joules: idle power was not measured" : null;
    Object.assign(bar, { label: `idle, ${Numbers.percent(share)} busy`, kind: "assumed", energyKind: "assumed", note: null, why });
  }

  function facility(bar, found, pue) {
    if (!bar) return;
    const node = found.filter((other) => other.name !== "idle" && other !== bar).reduce((sum, other) => sum + (other.j ?? 0), 0);
    Object.assign(bar, { j: pue === null ? null : node * (pue - 1), kind: "assumed", energyKind: "assumed", note: `PUE ${pue}`, why: null });
  }

  // Collectives and idle hours are charged the node's watts like every other hour: the price knows no others (profiler/explain/money.py).
  function dollars(found, solve) {
    const hour = solve("usd_per_gpu_hour"), electricity = solve("energy_in_usd_per_gpu_hour") ?? 0, perKwh = solve("usd_per_kwh") ?? 0;
    const rides = electricity > 0 && (found.find((bar) => bar.name === "facility")?.j ?? null) !== null;
    for (const bar of found) {
      const byJoules = rides && bar.name !== "idle" && bar.name !== "collectives";
      const hours = byJoules ? hour - electricity : hour;
      bar.usd = hour === null || bar.s === null ? null : ((bar.s * hours) / 3600 + (byJoules ? ((bar.j ?? 0) / 3.6e6) * perKwh : 0)) * 1e6;
    }
  }

  const small = (v) => {
    if (v !== null && v !== 0 && Math.abs(v) < 0.1) return Math.abs(v) < 0.0005 ? (v > 0 ? "<0.001" : ">-0.001") : v.toFixed(3);
    return v === null ? Numbers.NONE : Numbers.fixed(v);
  };
  const tone = (bar) => ((bar.s ?? 0) < 0 ? "saved" : bar.layer);
  // Bars that add nothing, or of which nothing is known, are said below the table.
  const empty = (bar) => !bar.s && !bar.j;
  const remark = (bar) => {
    const why = bar.why || bar.note;
    return `${bar.label} ${bar.s === null || bar.j === null ? Numbers.NONE : "0"}${why ? ` (${why})` : ""}`;
  };

  function show(n, measure) {
    if (!data.waterfalls.length) return;
    const { shown, bars: found, busy, delivered, changed } = bars(n), known = found.filter((bar) => !empty(bar));
    const [unit, scale] = delivered.j !== null && delivered.j >= 1 ? ["J", 1] : ["mJ", 1e3];
    const key = { seconds: "s", joules: "j", dollars: "usd" }[measure], spans = [];
    known.reduce((at, bar) => { spans.push([at, at + (bar[key] ?? 0)]); return spans[spans.length - 1][1]; }, 0);
    const reached = Math.max(...spans.flat()) || 1;
    const rows = known.flatMap((bar, k) => [
      ...(bar.name === "idle" ? [totalRow(`busy ${data.device}`, busy, scale, changed)] : []), barRow(bar, spans[k], { reached, scale, changed, measure }),
    ]);
    $("waterfall-rows").replaceChildren(...rows, totalRow(`delivered ${shown.unit}`, delivered, scale, changed));
    $("waterfall-joule").textContent = `${unit} (${shown.boundary})`;
    $("waterfall-unit").textContent = `per ${shown.unit}`;
    $("waterfall-nothing").textContent = found.filter(empty).map(remark).join("; ");
    $("waterfall-answer").textContent = text(shown.answer) + (shown.invalid === null ? "" : ` Not valid: ${text(shown.invalid)}.`);
    $("waterfall").dataset.measure = measure;
    const tones = new Set(known.map(tone));
    document.querySelectorAll("[data-tone]").forEach((each) => { each.hidden = !tones.has(each.dataset.tone); });
  }

  function barRow(bar, span, { reached, scale, changed, measure }) {
    const row = Frame.element("tr"), label = Frame.element("th", "", bar.label), cell = Frame.element("td", "bar");
    label.scope = "row";
    const said = [bar.note, bar.why].filter(Boolean).join("; ");
    if (said) label.append(Frame.element("small", "", said));
    cell.append(block(bar, span, reached));
    const dots = ["idle", "host", "facility", "collectives"].includes(bar.name);
    row.append(label, cell, ...numbers(bar, scale, changed, dots), Frame.element("td", "kind", (measure === "joules" ? bar.energyKind : bar.kind) ?? ""));
    return row;
  }

  function block(bar, [begin, end], reached) {
    const [box, rect] = ["svg", "rect"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
    const width = begin === end ? 0 : Math.max((Math.abs(end - begin) / reached) * 1000, 1.5);
    const places = { x: (Math.min(begin, end) / reached) * 1000, y: 0, width, height: 10 };
    Object.entries(places).forEach(([name, number]) => rect.setAttribute(name, number.toFixed(2)));
    rect.setAttribute("class", tone(bar));
    box.setAttribute("viewBox", "0 0 1000 10");
    box.setAttribute("preserveAspectRatio", "none");
    box.setAttribute("aria-hidden", "true");
    box.append(rect);
    return box;
  }

  // Cells of GPU time, joules and dollars; a dot where a bar adds nothing by its nature.
  function numbers(sums, scale, changed, dots = false) {
    const figures = [["seconds", sums.s, 1e6], ["joules", sums.j, scale], ["dollars", sums.usd, 1]];
    return figures.map(([name, number, times]) => {
      const cell = Frame.element("td", `n m-${name}`, dots && number === 0 ? "·" : small(number === null ? null : number * times));
      cell.classList.toggle("by-reader", name === "dollars" && changed && Boolean(number));
      cell.dataset.value = number ?? "";
      return cell;
    });
  }

  function totalRow(label, sums, scale, changed) {
    const row = Frame.element("tr", "total"), head = Frame.element("th", "", label);
    head.scope = "row";
    row.append(head, Frame.element("td", "bar"), ...numbers(sums, scale, changed), Frame.element("td", "kind", ""));
    return row;
  }

  return { show, bars };
})();

"use strict";
// The page's figures: each run's recorded inputs, what the reader changed of them, and what the table of formulas makes of both.
const Model = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PRICE = "price_usd_per_gpu_hour";
  const PAID = [PRICE, "way", "hosting"]; // how an hour is paid: a price typed, a kind of price in the book, a purchase; each in the place of the others
  const at = (column, n) => (Array.isArray(column) ? column[n] : column) ?? null;
  const text = (place) => (place === null || place === undefined ? null : data.texts[place]);
  const runs = data.runs.id.map((id, n) => {
    const [apart, hosting, way] = ["apart", "hosting", "way"].map((name) => at(data.runs[name], n));
    return { id, apart, hosting, way, own: data.runs.own[n], ways: data.runs.ways[n] };
  });
  const items = Array.from({ length: data.lines }, (_, n) => Object.fromEntries(Object.keys(data.items).map((name) => [name, at(data.items[name], n)])));
  const names = Object.keys(data.inputs);
  let changes = runs.map(() => ({})); // by run: input -> value; "hosting" -> rented or owned; "way" -> place of a kind of price in the book
  let solved = new Map();

  const recorded = (n) => Object.fromEntries(names.map((name) => [name, at(data.inputs[name], n)]));
  const control = (name, run) => at(data.controls[name], run);

  // The inputs as profiler/economics/hour.py prepares them from a price: a price that is typed in is all-in, an owned hour leaves electricity out, and of a kind
  // of price the book says whether it does.
  function given(inputs, run, change) {
    if (!Object.keys(change).length) return inputs;
    const { hosting, way, ...values } = change, found = { ...inputs }, paid = way === undefined ? null : runs[run].ways[way];
    const mode = hosting ?? runs[run].hosting ?? "priced";
    const owned = mode !== "priced" && !(PRICE in values) && !paid && runs[run].own;
    if (owned) Object.assign(found, runs[run].own, { owned: 1, colocated: +(mode === "colocation") });
    else {
      found.owned = 0;
      for (const name of Object.keys(runs[run].own ?? {})) delete values[name]; // figures of a purchase, which a rented hour has none of
    }
    Object.assign(found, values, paid && { [PRICE]: paid.usd });
    const drawn = values.pue === null ? !inputs.billed_by_plan : found.node_w != null && found.pue != null; // a PUE out of range leaves the bill unknown
    const leaves = owned ? true : paid ? paid.apart : !(PRICE in values) && (runs[run].hosting ? false : runs[run].apart);
    const apart = leaves && found.usd_per_kwh != null && (drawn || found.provisioned_kw != null);
    const joules = found.prefill_j_per_token != null && found.decode_j_per_token != null;
    return { ...found, energy_apart: +apart, billed_by_plan: +!drawn, by_joules: +(apart && joules) };
  }

  function solver(n, change = changes[items[n].run]) {
    const key = Object.keys(change).length ? n : -1 - n;
    if (!solved.has(key)) solved.set(key, Equations.solver(data.equations, given(recorded(n), items[n].run, change)));
    return solved.get(key);
  }

  // A figure of a line: {value, ends, changed}. Dollars are of whole requests alone.
  function figure(n, name) {
    if (n === null || (data.figures[name]?.whole && !items[n].whole)) return { value: null, ends: null, changed: false };
    const value = solver(n)(name), before = solver(n, {})(name), edges = data.intervals[name];
    const [low, high] = edges ? [at(edges.low, n), at(edges.high, n)] : [null, null];
    const divided = solver(n)("by_joules") !== solver(n, {})("by_joules"); // of dollars by class, whose noise is then another
    const known = value !== null && low !== null && !(divided && name.startsWith("usd_per_mtok_by_class"));
    const typed = data.figures[name].money && PRICE in changes[items[n].run];
    return { value, ends: known ? [value * low, value * high] : null, changed: value !== before || typed };
  }

  const value = (n, name) => figure(n, name).value;

  // The kind of a figure: its physical inputs', and of money the price's beside it. What a reader changed is assumed, a price in the book is cited; electricity
  // that comes to be paid apart is for watts that nobody measured. A figure that is not known is of no kind.
  function kind(n, name) {
    const own = n === null ? null : text(at(data.kinds[name], n));
    if (n === null || figure(n, name).value === null) return null;
    if (!figure(n, name).changed) return own;
    if (!data.figures[name].money) return "assumed";
    const change = changes[items[n].run], cited = "way" in change && Object.keys(change).length === 1;
    const added = solver(n)("energy_apart") === 1 && solver(n, {})("energy_apart") !== 1;
    return `${(!added && (own ?? "").split(" × ")[0]) || "assumed"} × ${cited ? "reference" : "assumed"}`;
  }

  // The cheapest valid mix of a workload; without a price the one with most tokens per GPU, which is the cheapest at any price of that GPU.
  function cheapest(workload, least = 0) {
    const fits = (item) => item.fit && (workload === null || item.workload === workload) && (item.x ?? 0) >= least;
    const fit = items.map((item, n) => ({ n, item })).filter(({ item }) => fits(item));
    const costs = fit.map(({ n }) => ({ n, usd: value(n, "usd_per_mtok"), rate: value(n, "output_tokens_per_s") ?? 0 }));
    const priced = costs.filter(({ usd }) => usd !== null);
    if (priced.length) return priced.reduce((a, b) => (b.usd < a.usd ? b : a)).n;
    return costs.length ? costs.reduce((a, b) => (b.rate > a.rate ? b : a)).n : null;
  }

  function ratio(n, base) {
    const [a, b] = [figure(n, "usd_per_mtok"), figure(base, "usd_per_mtok")];
    const value = a.value !== null && b.value ? a.value / b.value : null;
    const before = solver(n, {})("usd_per_mtok") / solver(base, {})("usd_per_mtok");
    return { value, ends: null, changed: a.changed && !(Math.abs(value / before - 1) < 1e-12) }; // both at one other price: the same ratio, but for rounding
  }

  // What a run says of itself: how it was paid, or the value of an input.
  const own = (name, run) => (name === "hosting" ? runs[run].hosting ?? "priced" : name === "way" ? runs[run].way : control(name, run));

  // What stands now: the reader's, else the run's own. A price that was typed is of no kind in the book.
  function stands(name, run) {
    const change = changes[run];
    if (name in change) return change[name];
    if (name === PRICE && "way" in change) return runs[run].ways[change.way].usd;
    return name === "way" && PRICE in change ? null : own(name, run);
  }

  // A change for some runs; a value that is the run's own is none, but for a price, which is taken as all-in when it is typed and may not have been before.
  // null: not known, and so nothing that needs it; undefined takes the change back.
  function change(targets, name, value) {
    for (const run of targets) {
      const rest = Object.fromEntries(Object.entries(changes[run]).filter(([other]) => other !== name && !(PAID.includes(name) && PAID.includes(other))));
      changes[run] = value === undefined || (name !== PRICE && value === own(name, run)) ? rest : { ...rest, [name]: value };
    }
    solved = new Map([...solved].filter(([key]) => key < 0));
  }

  function reset() {
    changes = runs.map(() => ({}));
    solved = new Map();
  }

  return {
    data, items, runs, text, at, figure, value, kind, cheapest, ratio, change, reset, solver, stands,
    changes: () => changes, changed: () => changes.some((each) => Object.keys(each).length > 0),
  };
})();

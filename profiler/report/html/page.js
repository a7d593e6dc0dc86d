"use strict";
// What the reader does: prices, choices, sorting, filtering, theme, print. Every figure on the page is written again after a change.
(() => {
  const { data, items, runs, text, figure } = Model;
  const $ = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const workload = items[Model.cheapest(null)]?.workload ?? (data.workloads.length ? 0 : null);
  const state = { workload, fall: 0, measure: "seconds", axis: data.axes[0]?.figure };

  const PRICE = "price_usd_per_gpu_hour";
  const table = $("points-table"), rows = table ? [...table.tBodies[0].rows] : [];
  const columns = table ? all("#points-table thead th").flatMap((head, n) => (head.dataset.column ? [[head.dataset.column, n]] : [])) : [];

  const targets = () => {
    const chosen = $("price-run")?.value ?? "all";
    return chosen === "all" ? runs.map((_, n) => n) : [Number(chosen)];
  };

  // Figures that stand in the text: of one line, or of the cheapest.
  function writeFigures() {
    const best = Model.cheapest(state.workload);
    for (const place of all("[data-figure]")) {
      const { figure: name, item } = place.dataset;
      const n = item === "best" ? best : Number(item);
      write(place, data.figures[name].form, figure(n, name));
      const badge = place.parentElement.querySelector("[data-kind]");
      if (badge && item === "best") {
        const kinds = Model.kind(n, name) ?? "";
        badge.textContent = kinds;
        badge.className = `badge ${kinds.split(" × ")[0] || "none"}`;
      }
    }
    rows.forEach((row) => row.classList.toggle("best", Number(row.dataset.item) === best));
    for (const [name, column] of columns) {
      for (const row of rows) write(row.cells[column], data.figures[name].form, figure(Number(row.dataset.item), name));
    }
    for (const place of all("[data-ratio]")) write(place, "times", Model.ratio(Number(place.dataset.item), Number(place.dataset.ratio)));
    for (const place of all("[data-best-name]")) place.textContent = best === null ? Numbers.NONE : text(items[best].name);
    for (const place of all("[data-best-of]")) place.textContent = best === null ? Numbers.NONE : text(items[best].of);
    for (const place of all(".top-answer")) place.hidden = best === null;
  }

  function write(place, form, found) {
    Frame.writeText(place, Numbers.FORMS[form](found.value, found.ends));
    place.dataset.value = found.value ?? "";
    place.classList.toggle("by-reader", found.changed && found.value !== null);
  }

  // The planner's question: the cheapest at a least speed.
  function answer() {
    const least = Number($("at-least").value) || 0, n = Model.cheapest(state.workload, least), out = $("pareto-answer");
    if (n === null) { out.textContent = `Nothing valid reaches ${least} tokens/s per user.`; return; }
    const usd = figure(n, "usd_per_mtok"), name = text(items[n].name), speed = Numbers.count(items[n].x ?? null);
    const paid = Numbers.FORMS.dollars(usd.value, usd.ends);
    const rate = Numbers.count(Model.value(n, "output_tokens_per_s"));
    out.textContent = usd.value === null
      ? `At ≥ ${least} tokens/s per user: ${name}, ${rate} output tokens/s per ${data.device}, the cheapest at any price.`
      : `Cheapest at ≥ ${least} tokens/s per user: ${name} at ${paid} per million output tokens (${speed} tokens/s per user).`;
    out.classList.toggle("by-reader", usd.changed);
  }

  function update() {
    document.documentElement.classList.toggle("changed", Model.changed());
    all(".when-changed").forEach((place) => { place.hidden = !Model.changed(); });
    writeFigures();
    if ($("at-least")) answer();
    Pareto.show(state.axis, state.workload);
    Waterfall.show(state.fall, state.measure);
    showWays();
  }

  // Inputs. Out of its range nothing is computed from one: its message says so, and figures that need it are dashes.
  function bindControls() {
    for (const input of all("[data-control]")) {
      input.disabled = false;
      input.addEventListener("input", () => read(input));
    }
    all("[data-way]").forEach((button) => button.addEventListener("click", () => {
      Model.change(targets(), "way", Number(button.dataset.way));
      show();
      update();
    }));
    all("[data-reset]").forEach((button) => button.addEventListener("click", () => { Model.reset(); show(); update(); }));
    $("price-run")?.addEventListener("change", show);
    for (const radio of all("[name=hosting]")) {
      radio.disabled = false;
      radio.addEventListener("change", () => {
        Model.change(targets(), "hosting", radio.value);
        show();
        update();
      });
    }
  }

  function read(input) {
    const name = input.dataset.control, [least, most, unit] = data.limits[name], number = input.valueAsNumber;
    const empty = input.value.trim() === "" && !input.validity.badInput, good = empty || (Number.isFinite(number) && number >= least && number <= most);
    input.setAttribute("aria-invalid", String(!good));
    $(`${name}-error`).textContent = good ? "" : `Should be from ${least} to ${most}${unit && ` ${unit}`}: not computed.`;
    Model.change(targets(), name, empty ? undefined : good ? number : null);
    update();
  }

  // The inputs as they stand: the runs' own, or what the reader made of them.
  function show() {
    const chosen = targets();
    for (const input of all("[data-control]")) {
      const name = input.dataset.control;
      const values = [...new Set(chosen.map((run) => Model.stands(name, run)))];
      input.value = values.length === 1 && values[0] !== null ? values[0] : "";
      input.placeholder = values.length > 1 ? "differs by run" : "not known";
      input.setAttribute("aria-invalid", "false");
      $(`${name}-error`).textContent = "";
    }
    const hostings = new Set(chosen.map((run) => Model.stands("hosting", run)));
    all("[name=hosting]").forEach((radio) => { radio.checked = hostings.size === 1 && hostings.has(radio.value); });
    const owned = hostings.has("colocation") || hostings.has("own_site"), typed = chosen.some((run) => PRICE in Model.changes()[run]);
    showWays();
    all(".owning").forEach((place) => { place.hidden = !owned; });
    $(PRICE).closest(".input").hidden = owned && !typed; // an owned hour is worked out
  }

  // The book's kinds of price: which one the chosen runs are paid by, and which ones all of them have.
  function showWays() {
    const chosen = targets();
    for (const button of all("[data-way]")) {
      const way = Number(button.dataset.way);
      button.disabled = !chosen.every((run) => runs[run].ways[way]);
      button.setAttribute("aria-pressed", String(chosen.every((run) => Model.stands("way", run) === way)));
    }
  }

  function choose(id, then) {
    const select = $(id);
    if (!select) return;
    select.disabled = false;
    select.addEventListener("change", () => then(select.value));
  }

  function bindChoices() {
    choose("workload", (value) => { state.workload = Number(value); update(); });
    choose("waterfall-of", (value) => { state.fall = Number(value); update(); });
    choose("trace-of", (value) => Sections.timeline(Number(value)));
    choose("roofline-of", (value) => Sections.roofline(Number(value)));
    all("[name=measure]").forEach((radio) => { radio.disabled = false; radio.addEventListener("change", () => { state.measure = radio.value; update(); }); });
    all("[name=axis]").forEach((radio) => { radio.disabled = false; radio.addEventListener("change", () => { state.axis = radio.value; update(); }); });
    $("pareto-invalid")?.addEventListener("change", update);
    if ($("at-least")) { $("at-least").disabled = false; $("at-least").addEventListener("input", answer); }
    if (state.workload !== null && $("workload")) $("workload").value = String(state.workload);
  }

  Frame.onPaint((width) => { if (width !== undefined) Charts.resize(width); Charts.redraw(); });
  bindControls();
  bindChoices();
  show();
  update();
  Sections.roofline(0);
  Sections.timeline(0);
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => Charts.resize(), 80); });
})();

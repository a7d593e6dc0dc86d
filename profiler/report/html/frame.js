"use strict";
// What every page has: light and dark, paper, tables that sort and filter, a command to copy.
const Frame = (() => {
  const root = document.documentElement, painters = [];
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  // A chart is drawn again when colours change, and at another width on paper: `width` 0 is as wide as its place.
  const paint = (width) => painters.forEach((painter) => painter(width));

  function element(tag, className, said) {
    const found = document.createElement(tag);
    if (className) found.className = className.trim();
    if (said !== undefined && said !== null) found.textContent = said;
    return found;
  }

  // A figure with its interval a little quieter.
  function writeText(place, said) {
    const [value, half] = said.split("±");
    place.replaceChildren(value, ...(half === undefined ? [] : [element("i", "", `±${half}`)]));
  }

  function bindTheme() {
    const button = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
    const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
    const say = () => { button.textContent = now() === "dark" ? "Light" : "Dark"; };
    button.hidden = false;
    button.addEventListener("click", () => { root.dataset.theme = now() === "dark" ? "light" : "dark"; say(); paint(); });
    dark.addEventListener("change", () => { say(); paint(); });
    say();
  }

  // On paper everything is open, light, and as wide as the paper.
  function bindPrint() {
    let closed = [];
    addEventListener("beforeprint", () => {
      closed = all("details:not([open])");
      closed.forEach((each) => { each.open = true; });
      root.dataset.print = "";
      paint(680);
    });
    addEventListener("afterprint", () => {
      closed.forEach((each) => { each.open = false; });
      delete root.dataset.print;
      paint(0);
    });
  }

  // A heading's button sorts by its column, once more the other way; what is missing is last either way.
  function bindSort(table, rows) {
    const body = table.tBodies[0], heads = all("thead th", table);
    const key = (row, column) => {
      const cell = row.cells[column], value = cell.dataset.value ?? cell.dataset.sort;
      return value === undefined ? cell.textContent : value === "" ? null : Number(value);
    };
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows.sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (x === null || y === null) return (x === null) - (y === null);
        const found = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return down ? -found : found;
      }));
    }));
  }

  // Rows that hold every word that is typed, in any order.
  function bindFilter(filter, rows) {
    const texts = rows.map((row) => row.textContent.toLowerCase()), out = document.getElementById(filter.dataset.out);
    filter.disabled = false;
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, n) => {
        row.hidden = !words.every((word) => texts[n].includes(word));
        shown += !row.hidden;
      });
      out.textContent = words.length ? `${shown} of ${rows.length} shown` : "";
    });
  }

  function bindTables() {
    for (const table of all("table.sortable")) {
      const rows = [...table.tBodies[0].rows], filter = document.querySelector(`[data-filters="${table.id}"]`);
      if (filter) bindFilter(filter, [...rows]);
      bindSort(table, rows);
    }
  }

  function bindCopy() {
    const button = document.getElementById("copy"), command = document.getElementById("command");
    button?.addEventListener("click", async () => {
      getSelection().selectAllChildren(command);
      try { await navigator.clipboard.writeText(command.textContent); button.textContent = "Copied"; } catch { button.textContent = "Selected"; }
    });
  }

  bindTheme();
  bindPrint();
  bindTables();
  bindCopy();
  return { element, writeText, onPaint: (painter) => painters.push(painter) };
})();

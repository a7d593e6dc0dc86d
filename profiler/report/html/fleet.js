"use strict";
// A fleet's chart: a mark per configuration at the medians of its valid points.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent), holder = document.getElementById("fleet-chart");
  const at = (name, n) => { const column = data.points[name]; return (Array.isArray(column) ? column[n] : column) ?? null; };
  const priced = Array.from({ length: data.lines }, (_, n) => n).some((n) => at("usd", n) !== null), y = priced ? "usd" : "rate";
  const shown = Array.from({ length: data.lines }, (_, n) => n).filter((n) => at("x", n) > 0 && at(y, n) > 0);
  if (!shown.length) { holder.hidden = true; return; }
  const series = [...new Set(shown.map((n) => at("series", n)))];
  const style = (n) => {
    const place = series.indexOf(at("series", n));
    return { colour: `series-${(place % 7) + 1}`, shape: Charts.SHAPES[place % Charts.SHAPES.length] };
  };
  const unit = priced ? "$ per million output tokens" : "output tokens/s per GPU";
  Charts.scatter(holder, {
    name: `${unit} of each configuration against tokens/s per user; the table below has all`,
    x: { label: "tokens/s per user", log: Charts.spread(shown.map((n) => at("x", n))) > 12, write: Numbers.tick },
    y: { label: unit, log: Charts.spread(shown.map((n) => at(y, n))) > 8, write: priced ? (v) => `$${Numbers.tick(v)}` : Numbers.tick },
    marks: shown.map((n) => ({
      x: at("x", n), y: at(y, n), ...style(n), faint: shown.length > 300,
      lines: [
        data.texts[at("name", n)], `${priced ? "$" : ""}${Numbers.fixed(at(y, n))} ${unit.replace("$ ", "")}`, `${Numbers.count(at("x", n))} tokens/s per user`,
      ],
    })),
    paths: [],
  });
  document.getElementById("fleet-legend").replaceChildren(...series.slice(0, 12).map((place) => {
    const key = document.createElement("span");
    key.className = "key";
    key.append(Charts.glyph(style(shown.find((n) => at("series", n) === place))), data.texts[place]);
    return key;
  }));
  Frame.onPaint((width) => { if (width !== undefined) Charts.resize(width); Charts.redraw(); });
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => Charts.resize(), 80); });
})();

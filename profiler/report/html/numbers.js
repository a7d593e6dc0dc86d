"use strict";
// Numbers as people read them: profiler/report/numbers.py in JavaScript, form by form. null is a dash, never 0.
const Numbers = (() => {
  const NONE = "–";
  const COUNTS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "K"]];
  const SI = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];

  const commas = (text) => text.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
  const places = (value, digits) => commas(value.toFixed(digits));

  function fixed(value, digits = 3) {
    if (value === 0) return "0";
    const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
    return places(value, Math.max(0, digits - 1 - exponent));
  }

  function count(value) {
    if (value === null) return NONE;
    if (Math.abs(value) < 9999.5) return fixed(value);
    const [scale, prefix] = COUNTS.find(([least]) => Math.abs(value) >= least * 0.9995);
    return `${fixed(value / scale)} ${prefix}`;
  }

  function si(value, unit, digits = 3) {
    if (value === null) return NONE;
    const found = SI.find(([scale]) => Math.abs(value) >= scale * (1 - 0.5 * 10 ** -digits));
    return found ? `${fixed(value / found[0], digits)} ${found[1]}${unit}` : `${Number(value.toPrecision(digits))} ${unit}`;
  }

  function percent(share) {
    if (share === null) return NONE;
    if (share === 0 || Math.abs(share) >= 0.0995) return `${(share * 100).toFixed(0)}%`;
    return Math.abs(share) >= 0.00995 ? `${(share * 100).toFixed(1)}%` : `${Number((share * 100).toPrecision(2))}%`;
  }

  function interval(value, ends) {
    if (value === null) return NONE;
    const half = ends ? (ends[1] - ends[0]) / 2 : 0;
    if (!(half > 0)) return fixed(value);
    if (half > Math.abs(value) / 4) return `${fixed(ends[0], 2)}–${fixed(ends[1], 2)}`;
    const exponent = Math.floor(Math.log10(half));
    const digits = Math.min(Math.max((half / 10 ** exponent < 3.55 ? 1 : 0) - exponent, 0), 9);
    return `${places(value, digits)}±${places(half, digits)}`;
  }

  // A round number at an axis, with its prefix: 0.5, 20, 5 K, 1 P.
  function tick(value) {
    const [scale, prefix] = [...SI.slice(0, 4), [1e3, "K"]].find(([least]) => Math.abs(value) >= Math.max(least, 1e4) * 0.9995) || [1, ""];
    return `${commas(String(Number((value / scale).toPrecision(3))))}${prefix && ` ${prefix}`}`;
  }

  // The forms of profiler/report/html/figures.py.
  const FORMS = {
    dollars: (value, ends) => (value === null ? NONE : `$${interval(value, ends)}`),
    interval,
    count: (value) => count(value),
    fixed: (value) => (value === null ? NONE : fixed(value)),
    times: (value) => (value === null ? NONE : `${fixed(value)}×`),
  };

  return { NONE, FORMS, fixed, count, si, percent, tick };
})();

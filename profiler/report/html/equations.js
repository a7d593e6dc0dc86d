"use strict";
// The evaluator of the table of formulas: profiler/economics/expression.py says what a tree means. null is "not known", and what needs it is not known either.
const Equations = (() => {
  const OPERATORS = {
    "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b, "**": Math.pow, neg: (a) => -a,
    min: Math.min, max: Math.max, expm1: Math.expm1, log1p: Math.log1p,
    ">": (a, b) => +(a > b), ">=": (a, b) => +(a >= b), "<": (a, b) => +(a < b), "<=": (a, b) => +(a <= b),
  };

  function evaluate(tree, valueOf) {
    if (typeof tree === "number") return tree;
    if (typeof tree === "string") return valueOf(tree);
    if (tree[0] === "if") {
      const test = evaluate(tree[1], valueOf);
      return test === null ? null : evaluate(tree[test ? 2 : 3], valueOf);
    }
    const operands = [];
    for (const part of tree.slice(1)) {
      const value = evaluate(part, valueOf);
      if (value === null) return null;
      operands.push(value);
    }
    const found = OPERATORS[tree[0]](...operands);
    return Number.isFinite(found) ? found : null;
  }

  // A function from a name to its value: as given, else as computed, else null. What several figures share is computed once.
  function solver(equations, given) {
    const found = new Map(Object.entries(given).filter(([, value]) => value !== null && value !== undefined));
    const valueOf = (name) => {
      if (!found.has(name)) found.set(name, Object.hasOwn(equations, name) ? evaluate(equations[name].tree, valueOf) : null);
      return found.get(name);
    };
    return valueOf;
  }

  return { solver };
})();

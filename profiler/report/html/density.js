"use strict";
// uPlot draws as many pixels as the screen has: two for each of the page's at least, so that a chart is sharp on paper too.
(() => {
  const screen = Object.getOwnPropertyDescriptor(window, "devicePixelRatio");
  if (screen?.get && screen.configurable) Object.defineProperty(window, "devicePixelRatio", { ...screen, get: () => Math.max(2, screen.get.call(window)) });
})();

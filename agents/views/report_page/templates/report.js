"use strict";
(() => {
  const { charts, dark } = JSON.parse(document.getElementById("charts").textContent);
  const night = window.matchMedia("(prefers-color-scheme: dark)");
  const onPaper = { now: false };
  const PAPER_WIDTH = 660;

  // A figure is made in light colours; at night each is swapped for its dark form.
  const coloured = (value) => {
    if (typeof value === "string") return Object.hasOwn(dark, value) ? dark[value] : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item)]));
    return value;
  };
  const figure = (chart) =>
    night.matches && !onPaper.now ? coloured(chart) : structuredClone(chart);

  const drawn = new Set();
  const draw = (div) => {
    const { data, layout } = figure(charts[div.id]);
    layout.autosize = false;
    layout.height = div.clientHeight;
    layout.width = onPaper.now ? PAPER_WIDTH : div.clientWidth;
    layout.hoverlabel = { font: { size: 12.5, family: layout.font.family }, align: "left" };
    Plotly.react(div, data, layout, { displayModeBar: false, scrollZoom: false, doubleClick: false });
    drawn.add(div);
    document.documentElement.dataset.drawn = drawn.size;
  };
  // In a closed section a chart may have a size, and is not seen all the same.
  const isShown = (div) =>
    div.clientWidth > 0 && (!div.checkVisibility || div.checkVisibility());
  const plots = [...document.querySelectorAll(".plot")];

  // Charts near the screen first; the others when there is time. Those in closed sections wait.
  const waiting = new Set(plots);
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries)
        if (isIntersecting && waiting.delete(target)) draw(target);
    },
    { rootMargin: "600px" },
  );
  plots.forEach((div) => near.observe(div));
  const later = window.requestIdleCallback || ((work) => setTimeout(work, 30));
  const drawNext = () => {
    const next = [...waiting].find(isShown);
    if (!next) {
      document.documentElement.dataset.state = "done";
      return;
    }
    waiting.delete(next);
    draw(next);
    later(drawNext);
  };
  later(drawNext);
  document.querySelectorAll("details").forEach((each) =>
    each.addEventListener("toggle", () => later(drawNext)),
  );

  const redraw = () => drawn.forEach((div) => isShown(div) && draw(div));
  night.addEventListener("change", redraw);
  let width = window.innerWidth;
  let soon = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width || onPaper.now) return; // a phone's address bar comes and goes
    width = window.innerWidth;
    cancelAnimationFrame(soon);
    soon = requestAnimationFrame(redraw);
  });

  let opened = [];
  window.addEventListener("beforeprint", () => {
    onPaper.now = true;
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((each) => (each.open = true));
    waiting.clear();
    plots.forEach(draw);
  });
  window.addEventListener("afterprint", () => {
    onPaper.now = false;
    opened.forEach((each) => (each.open = false));
    redraw();
  });

  // A link into a closed section opens it.
  const openTarget = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const target = id && document.getElementById(id);
    const section = target && target.closest("section");
    const details = section && section.querySelector("details");
    if (section && section.classList.contains("family") && details) details.open = true;
  };
  window.addEventListener("hashchange", openTarget);
  openTarget();

  document.querySelectorAll(".copy").forEach((button) =>
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // not allowed here: one key is left to press
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    }),
  );
})();

// The loop microscope: four panels of one run, and what a click on them means.
(() => {
  const { clamp, drawAnswers, drawAttention, drawCycle, drawForest, drawLines } = looplab;
  const { drawNoAnswers, microscopeAnswer, microscopeRun, microscopeWords, range } = looplab;

  looplab.painters.microscope = (meta, data) => {
    const run = microscopeRun(meta, data), { loops, tokens } = run;
    const drawTold = meta.forest ? drawForest : drawAnswers;

    // Two by two, or one below the other on a narrow page.
    function layout(width) {
      const columns = width >= 600 ? 2 : 1, gap = 28;
      const w = Math.min(470, (width - gap * (columns - 1)) / columns);
      const h = clamp(w * 0.78, 270, 345);
      const left = (width - columns * w - gap * (columns - 1)) / 2;
      const place = i => ({
        x: left + (i % columns) * (w + gap), y: 4 + Math.floor(i / columns) * (h + 22), w, h,
      });
      return { height: (4 / columns) * (h + 22) - 12, panels: range(4).map(place) };
    }

    function paint(pen, place, state) {
      const [first, second, third, fourth] = place.panels, ghost = run.ghostOf(state);
      const lines = (panel, ...what) => drawLines(pen, panel, run, state, ghost, ...what);
      drawCycle(pen, first, run, state, ghost);
      place.zones = [
        lines(second, "distance", "Distance to the fixed point", meta.unit),
        run.hasAnswers("main") ? drawTold(pen, third, run, state, ghost)
          : drawNoAnswers(pen, third),
        run.has("main.attention") ? drawAttention(pen, fourth, run, state, ghost)
          : lines(fourth, "step", "Size of each step", "length of the step ÷ length of the state"),
      ].filter(Boolean);
    }

    function hit(place, x, y) {
      const inside = zone => x >= zone.x - 60 * (zone.kind === "tokens") && x <= zone.x + zone.w
        && y >= zone.y && y <= zone.y + zone.h;
      const zone = (place.zones || []).find(inside);
      if (!zone) return null;
      if (zone.kind === "loops") {
        return { loop: clamp(Math.round(((x - zone.x) / zone.w) * loops), 0, loops) };
      }
      if (zone.kind === "nodes") {
        const token = nodeAt(zone, x, y);
        return token < 0 ? null : { token };
      }
      return { token: clamp(Math.floor(((y - zone.y) / zone.h) * tokens), 0, tokens - 1) };
    }

    const nodeAt = (zone, x, y) =>
      zone.nodes.findIndex(([across, down]) => Math.hypot(x - across, y - down) < zone.reach);

    // What the node under the pointer answers.
    function tip(place, x, y, state) {
      const zone = (place.zones || []).find(one => one.kind === "nodes");
      const token = zone ? nodeAt(zone, x, y) : -1;
      return token < 0 ? "" : microscopeAnswer(run, state.loop, token);
    }

    const words = state => microscopeWords(run, state), order = meta.forest?.order;
    return { layout, paint, words, hit, tip, tokens, order };
  };
})();

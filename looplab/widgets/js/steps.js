// A panel of lines over all steps of a run, layers or loops, on a scale from 0 to 1.
(() => {
  const { GHOST, RULE, SOFT, clamp, range, style } = looplab;

  // lines: [name, style, n => height from 0 to 1]; ticks: [height, text]. Returns the zone in which
  // a click chooses a step.
  function drawSteps(pen, panel, meta, state, head, below, lines, ticks) {
    const { first, last, slider } = meta;
    pen.title(panel, head, below);
    const area = { x: panel.x + 46, y: panel.y + 42, w: panel.w - 52, h: panel.h - 92 };
    const toX = n => area.x + (n / (last - first || 1)) * area.w, now = state.loop - first;
    const toY = height => area.y + (1 - height) * area.h, bottom = area.y + area.h;
    for (const [height, text] of ticks) {
      pen.line([[area.x, toY(height)], [area.x + area.w, toY(height)]], { colour: RULE });
      pen.text(text, area.x - 5, toY(height), { size: 11, colour: SOFT, align: "right" });
    }
    pen.box(area.x, area.y, area.w, area.h);
    for (const n of range(last - first + 1)) if (n === 0 || (first + n) % meta.every === 0) {
      pen.text(String(first + n), toX(n), bottom + 10,
        { size: 11, colour: SOFT, align: "center" });
    }
    const end = area.x + area.w - 34;                  // where the slider's name begins
    let x = area.x, key = bottom + 28;
    for (const [name, look, height] of lines) {
      const [colour, , dash] = style(look);
      const path = range(last - first + 1).map(n => [toX(n), toY(height(n))]);
      pen.line(path, { colour, width: 2, dash });
      pen.marker(look, toX(now), toY(height(now)), 5, { fill: colour, stroke: "#fff" });
      if (x > area.x && x + 26 + Math.min(6.2 * name.length, 130) > end) {
        [x, key] = [area.x, key + 16];                 // no room: a second line
      }
      pen.line([[x, key], [x + 20, key]], { colour, width: 2, dash });
      pen.marker(look, x + 10, key, 4, { fill: colour });
      x += 26 + pen.text(name, x + 26, key, { size: 12, max: 130 }) + 16;
    }
    if (state.held) {
      const at = toX(state.held_loop - first);
      pen.line([[at, area.y], [at, bottom]], { colour: GHOST, width: 2, dash: [5, 4] });
    }
    pen.line([[toX(now), area.y], [toX(now), bottom]], { width: 1.25 });
    pen.text(slider, area.x + area.w, bottom + 28, { size: 11, colour: SOFT, align: "right" });
    return { ...area, kind: "steps" };
  }

  // The step at which a click in such a zone points.
  function stepAt(zone, { first, last }, x) {
    return clamp(first + Math.round(((x - zone.x) / zone.w) * (last - first)), first, last);
  }

  Object.assign(looplab, { drawSteps, stepAt });
})();

// Panels 2 and 4: a number of every loop on a log scale, one line per layer.
(() => {
  const { INK, SOFT, RULE, GHOST, clamp, drawLegend, range, style } = looplab;

  // channel: "distance" or "step". Returns the zone in which a click chooses a loop.
  function drawLines(pen, panel, run, state, ghost, channel, head, below) {
    const { meta, loops, layers } = run, { token } = state;
    const series = run.channel("main", channel);
    pen.title(panel, head, below);
    const area = { x: panel.x + 42, y: panel.y + 42, w: panel.w - 46, h: panel.h - 92 };
    const [low, high] = meta.ranges[channel], bottom = area.y + area.h, right = area.x + area.w;
    const toX = loop => area.x + (loop / loops) * area.w;
    const toY = decade => area.y + ((high - decade) / (high - low)) * area.h;

    drawDecades(pen, area, low, high, toY);
    if (channel === "distance" && meta.noise > low) {
      const y = toY(meta.noise);
      pen.line([[area.x, y], [right, y]], { colour: SOFT, dash: [1, 3] });
      pen.text(meta.noise_name, right - 4, y + (bottom - y < 16 ? -8 : 8), { size: 10.5, colour: SOFT, align: "right" });
    }
    pen.box(area.x, area.y, area.w, area.h);
    drawLoops(pen, area, loops, toX);

    pen.clip(area.x - 1, area.y - 1, area.w + 2, area.h + 2);
    if (run.other) for (const layer of range(layers)) {
      const beside = run.channel("other", channel), last = Math.min(loops, meta.other_loops);
      pen.line(range(last + 1).map(t => [toX(t), toY(beside.at(t, layer, token))]),
        { colour: GHOST, width: 1.25, dash: style(layer)[2], alpha: 0.7 });
    }
    for (const layer of range(layers)) {
      const [colour, , dash] = style(layer);
      const line = range(loops + 1).map(t => [toX(t), toY(series.at(t, layer, token))]);
      pen.line(line, { colour, width: 1.5, dash, alpha: 0.35 });
      pen.line(line.slice(0, state.loop + 1), { colour, width: 2.25, dash });
    }
    pen.unclip();

    if (state.held) {
      const x = toX(state.held_loop);
      pen.line([[x, area.y], [x, bottom]], { colour: GHOST, width: 2, dash: [5, 4] });
    }
    const x = toX(state.loop);
    pen.line([[x, area.y], [x, bottom]], { width: 1.25 });
    pen.trace("down", x, area.y - 2, 6); pen.ctx.fillStyle = INK; pen.ctx.fill();
    for (const layer of range(layers)) {
      const value = series.at(state.loop, layer, token);
      if (Number.isFinite(value)) pen.marker(layer, x, clamp(toY(value), area.y, bottom), 6,
        { fill: style(layer)[0], stroke: "#fff" });
    }
    drawLegend(pen, panel, run, ghost, false);
    return { ...area, kind: "loops" };
  }

  // The scale at the left: powers of ten.
  function drawDecades(pen, area, low, high, toY) {
    const every = Math.ceil((high - low) / 6);
    for (let decade = Math.ceil(low); decade <= high; decade += every) {
      const y = toY(decade), exponent = { size: 9, colour: SOFT, align: "right" };
      pen.line([[area.x, y], [area.x + area.w, y]], { colour: RULE, width: 0.75 });
      const w = pen.text(String(decade), area.x - 5, y - 4, exponent);
      pen.text("10", area.x - 6 - w, y, { size: 11, colour: SOFT, align: "right" });
    }
  }

  // The scale below: loops, at most nine of them named.
  function drawLoops(pen, area, loops, toX) {
    const bottom = area.y + area.h;
    const tick = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find(n => loops / n <= 8.5) || loops;
    for (let t = 0; t <= loops; t += tick) {
      pen.line([[toX(t), bottom], [toX(t), bottom + 4]], { colour: SOFT });
      pen.text(String(t), toX(t), bottom + 12, { size: 11, colour: SOFT, align: "center" });
    }
    pen.text("loop", area.x + area.w, bottom + 26, { size: 11, colour: SOFT, align: "right" });
  }

  Object.assign(looplab, { drawLines });
})();

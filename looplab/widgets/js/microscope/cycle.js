// Panel 1: where each layer's state is, in the plane of this token's path; the cycle closing.
(() => {
  const { INK, SOFT, PATH, GHOST, drawLegend, percent, range, style } = looplab;

  function drawCycle(pen, panel, run, state, ghost) {
    const { meta, loops, layers, labels } = run, { token } = state;
    const area = { x: panel.x, y: panel.y + 42, w: panel.w, h: panel.h - 66 };
    const [share1, share2] = meta.explained[token];
    pen.title(panel, "Where each layer's state is",
      `token ${labels[token]}: plane with ${percent(share1 + share2)} of the movement`);
    pen.box(area.x, area.y, area.w, area.h);

    const [x0, x1, y0, y1] = meta.extent[token], pad = 26;
    const scale = Math.min((area.w - 2 * pad) / (x1 - x0), (area.h - 2 * pad) / (y1 - y0));
    const toPixels = (x, y) => [
      area.x + area.w / 2 + (x - (x0 + x1) / 2) * scale,
      area.y + area.h / 2 - (y - (y0 + y1) / 2) * scale,
    ];
    const spot = (who, loop, layer) => {
      const points = run.channel(who, "points");
      return toPixels(...[0, 1].map(axis => points.at(loop - 1, layer, token, axis)));
    };
    const from = who => {
      const start = run.channel(who, "start");
      return toPixels(start.at(token, 0), start.at(token, 1));
    };
    // One pass: from where the last one ended, through every layer.
    const pass = (who, loop) => [
      loop > 1 ? spot(who, loop - 1, layers - 1) : from(who),
      ...range(layers).map(layer => spot(who, loop, layer)),
    ];

    for (const layer of range(layers)) {         // where it all ends
      const [x, y] = spot("main", loops, layer);
      pen.marker(layer, x, y, 11, { stroke: SOFT, width: 1, dash: [2, 2] });
    }
    for (let loop = 1; loop < state.loop; loop++) {
      const age = state.loop - loop, alpha = Math.max(0.18, 0.85 - 0.12 * age);
      pen.line(pass("main", loop), { colour: PATH, width: 1, alpha });
    }
    for (let loop = 1; loop < state.loop; loop++) for (const layer of range(layers)) {
      const [x, y] = spot("main", loop, layer);
      pen.marker(layer, x, y, 3, { fill: style(layer)[0], alpha: 0.55 });
    }
    drawStart(pen, area, ...from("main"));
    if (ghost && ghost.loop > 0) {
      const path = pass(ghost.who, ghost.loop);
      pen.line(path, { colour: GHOST, width: 1.75, dash: [5, 4] });
      path.slice(1).forEach(([x, y], layer) =>
        pen.marker(layer, x, y, 8, { fill: "#fff", stroke: GHOST, width: 2 }));
    }
    if (state.loop > 0) {
      const path = pass("main", state.loop);
      pen.line(path, { colour: INK, width: 2 });
      path.slice(1).forEach(([x, y], layer) => {
        pen.marker(layer, x, y, 8, { fill: style(layer)[0], stroke: "#fff", width: 1.5 });
        pen.text(String(layer + 1), x, y + 0.5,
          { size: 10.5, bold: true, colour: "#fff", align: "center" });
      });
    }
    drawLegend(pen, panel, run, ghost, true);
  }

  // A cross, named on the side where there is room.
  function drawStart(pen, area, x, y) {
    pen.line([[x - 4, y - 4], [x + 4, y + 4]], { width: 2 });
    pen.line([[x - 4, y + 4], [x + 4, y - 4]], { width: 2 });
    const flip = x > area.x + area.w - 52;
    pen.text("start", x + (flip ? -8 : 8), y,
      { size: 11, colour: SOFT, align: flip ? "right" : "left" });
  }

  Object.assign(looplab, { drawCycle });
})();

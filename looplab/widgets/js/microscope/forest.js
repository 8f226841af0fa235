// Panel 3, when the tokens are nodes of trees: every node with the answer it would give now.
(() => {
  const { INK, SOFT, PATH, GHOST, inkOn, range } = looplab;

  // Returns the zone in which a click on a node chooses it.
  function drawForest(pen, panel, run, state, ghost) {
    const { labels, tokens, targets } = run, { forest } = run.meta;
    pen.title(panel, "What each node would answer now", ghost
      ? `small disc: the answer of ${ghost.name}, where it is another`
      : targets ? "circle: right; square: wrong; outside: the node's own label"
        : "in the node its answer, outside its own label");
    const area = { x: panel.x, y: panel.y + 42, w: panel.w, h: panel.h - 66 };
    const columns = 1.5 + Math.max(...forest.spots.map(([across]) => across));
    const levels = 1.1 + Math.max(...forest.spots.map(([, depth]) => depth));
    const step = Math.min(area.w / columns, area.h / levels, 48), r = 0.38 * step;
    const left = area.x + (area.w - columns * step) / 2 + 0.9 * step;
    const nodes = forest.spots.map(([across, depth]) =>
      [left + across * step, area.y + (0.55 + depth) * step]);
    const colours = new Map(forest.colours);
    const colourOf = answer => colours.get(answer.name) ?? forest.other;

    for (const t of range(tokens)) {
      pen.line([nodes[t], nodes[forest.parents[t]]], { colour: PATH, width: 1.5 });
    }
    for (const t of range(tokens)) {
      const [x, y] = nodes[t], now = run.answer("main", state.loop, t);
      drawNode(pen, x, y, r, now.name, colourOf(now),
        !targets || run.isRight("main", state.loop, t));
      if (t === state.token) {
        pen.trace("circle", x, y, r + 5);
        stroke(pen.ctx, { colour: INK, width: 2 });
      }
      const size = Math.min(12, 0.3 * step);
      pen.text(labels[t], x - r - 8, y, { size, colour: SOFT, align: "right" });
      const before = ghost && run.hasAnswers(ghost.who) && run.answer(ghost.who, ghost.loop, t);
      if (before && before.id !== now.id) drawGhost(pen, x, y, r, before.name, colourOf(before));
    }
    drawKey(pen, panel, forest);
    return { ...area, kind: "nodes", nodes, reach: 0.5 * step };
  }

  function drawNode(pen, x, y, r, name, colour, right) {
    right ? pen.trace("circle", x, y, r) : pen.trace("square", x, y, 1.25 * r);
    pen.ctx.fillStyle = colour; pen.ctx.fill();
    stroke(pen.ctx, right ? { colour: INK, width: 2 } : { colour: SOFT, width: 1.5, dash: [3, 2] });
    const size = Math.min(14, r), look = { bold: true, align: "center", max: 2 * r };
    if (size >= 6) pen.text(name, x, y + 0.5, { size, colour: inkOn(colour), ...look });
  }

  function drawGhost(pen, x, y, r, name, colour) {
    const [gx, gy, small] = [x + 1.5 * r, y + 0.45 * r, 0.65 * r];
    pen.trace("circle", gx, gy, small);
    pen.ctx.fillStyle = colour; pen.ctx.fill();
    stroke(pen.ctx, { colour: GHOST, width: 2 });
    if (small < 7) return;
    pen.text(name, gx, gy + 0.5, { size: 0.9 * small, align: "center", colour: inkOn(colour) });
  }

  // Which colour is the answer of which root.
  function drawKey(pen, panel, { colours, other }) {
    const y = panel.y + panel.h - 9, right = panel.x + panel.w;
    let x = panel.x + 7;
    const every = colours.map(([root, colour]) => [`root ${root}`, colour]);
    for (const [name, colour] of [...every, ["no root", other]]) {
      if (x + 90 > right) break;
      pen.trace("circle", x, y, 6);
      pen.ctx.fillStyle = colour; pen.ctx.fill(); stroke(pen.ctx, { colour: SOFT, width: 1 });
      x += 11 + pen.text(`names ${name}`, x + 11, y, { size: 12, max: right - x - 11 }) + 18;
    }
  }

  function stroke(ctx, { colour, width, dash = [] }) {
    ctx.save();
    ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.setLineDash(dash); ctx.stroke();
    ctx.restore();
  }

  Object.assign(looplab, { drawForest });
})();

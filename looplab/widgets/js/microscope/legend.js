// The line below a panel of layers: which marker and dash is which layer, and what the ghost is.
(() => {
  const { SOFT, GHOST, range, style } = looplab;

  // dots: the layers are points in a plane; otherwise they are lines.
  function drawLegend(pen, panel, run, ghost, dots) {
    let x = panel.x + 7;
    const y = panel.y + panel.h - 9, right = panel.x + panel.w;
    if (run.layers <= 6) for (const layer of range(run.layers)) {
      const [colour, , dash] = style(layer);
      if (!dots) pen.line([[x - 6, y], [x + 16, y]], { colour, width: 2, dash });
      pen.marker(layer, x + (dots ? 0 : 5), y, 5, { fill: colour });
      x += dots ? 10 : 22;
      x += pen.text(`layer ${layer + 1}`, x, y, { size: 12 }) + 18;
    }
    if (dots && x + 100 < right) {
      pen.marker(0, x, y, 6, { stroke: SOFT, width: 1, dash: [2, 2] });
      x += 11 + pen.text("fixed point", x + 11, y, { size: 12, colour: SOFT }) + 18;
    }
    if (ghost && x + 70 < right) {
      pen.line([[x - 6, y], [x + 12, y]], { colour: GHOST, width: 2, dash: [5, 4] });
      pen.text(ghost.name, x + 17, y, { size: 12, colour: GHOST, max: right - x - 17 });
    }
  }

  Object.assign(looplab, { drawLegend });
})();

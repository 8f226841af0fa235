// A slider over points in a plane: multipliers in the unit disc, a path as the gain grows.
(() => {
  const { SOFT, RULE, GHOST, PATH, clamp, number, range, style } = looplab;

  // meta: meta.py says what is in it. data.points: [menu, menu, menu, frame, point, 2].
  looplab.painters.plane = (meta, data) => {
    const { names, kinds, captions, circle, path, closed, extent: [x0, x1, y0, y1] } = meta;
    const cloud = data.points, points = cloud.shape[4];
    const chosen = state => [state.token, state.layer, state.head];

    function words(state) {
      const [a, b, c] = chosen(state), caption = n => captions[a][b][c][n - meta.first];
      const said = [caption(state.loop)], { held_loop: held } = state;
      if (state.held) said.push(`Held beside it, ${meta.slider} ${held}: ${caption(held)}`);
      return said.join(" ");
    }

    // The legend stands beside the plane, or below it on a narrow page.
    function layout(width) {
      const besides = width >= 620 && names.length > 0, legendW = besides ? 200 : 0;
      const w = Math.min(width - legendW - 60, 560);
      const h = clamp((w * (y1 - y0)) / (x1 - x0), 160, 430);
      const scale = Math.min(w / (x1 - x0), h / (y1 - y0));
      return {
        height: h + 92 + (besides || !names.length ? 0 : 24 * names.length),
        w: scale * (x1 - x0), h: scale * (y1 - y0),
        x: Math.max(46, (width - legendW - w) / 2), scale, besides,
      };
    }

    function paint(pen, place, state) {
      const { x: left, w, h, scale } = place, top = 34;
      const at = (n, i) => {
        const index = [...chosen(state), n - meta.first, i];
        return [left + (cloud.at(...index, 0) - x0) * scale,
          top + (y1 - cloud.at(...index, 1)) * scale];
      };
      const shown = n => range(points).map(i => at(n, i));
      pen.text(meta.title, left, 11, { size: 14, bold: true });
      pen.box(left, top, w, h);
      pen.clip(left, top, w, h);
      drawOrigin(pen, left, top, place);
      if (state.held) drawHeld(pen, shown(state.held_loop));
      drawPoints(pen, shown(state.loop));
      pen.unclip();
      drawScale(pen, left, top, place);
      drawLegend(pen, left, top, place);
      if (state.held) {
        pen.text(`outlined: ${meta.slider} ${state.held_loop}`, left, top + h + 32,
          { size: 12, colour: GHOST });
      }
    }

    // The two axes and the unit circle.
    function drawOrigin({ ctx, line }, left, top, { w, h, scale }) {
      const [x, y] = [left - x0 * scale, top + y1 * scale];
      line([[left, y], [left + w, y]], { colour: RULE });
      line([[x, top], [x, top + h]], { colour: RULE });
      if (!circle) return;
      ctx.strokeStyle = SOFT; ctx.lineWidth = 1.25;
      ctx.beginPath(); ctx.arc(x, y, scale, 0, 7); ctx.stroke();
    }

    function drawHeld(pen, spots) {
      if (path) pen.line(spots, { colour: GHOST, dash: [5, 4] });
      spots.forEach(([x, y], i) => {
        if (Number.isFinite(x)) pen.marker(kinds[i], x, y, 6, { stroke: GHOST, width: 2 });
      });
    }

    // On an open path the last point is the large one, and the early ones are pale.
    function drawPoints(pen, spots) {
      if (path) pen.line(spots, { colour: PATH, width: 1 });
      spots.forEach(([x, y], i) => {
        if (!Number.isFinite(x)) return;
        const open = path && !closed;
        const alpha = open ? 0.25 + (0.75 * i) / Math.max(1, points - 1) : 1;
        pen.marker(kinds[i], x, y, open && i < points - 1 ? 3.5 : 7,
          { fill: style(kinds[i])[0], stroke: "#fff", width: 1, alpha });
      });
    }

    // The ends of both axes and their names.
    function drawScale(pen, left, top, { w, h, scale }) {
      const signed = v => (v < 0 ? "−" : "") + number(Math.abs(v));
      for (const v of [x0, x1]) {
        pen.text(signed(v), left + (v - x0) * scale, top + h + 12,
          { size: 11, colour: SOFT, align: "center" });
      }
      for (const v of [y0, y1]) {
        pen.text(signed(v), left - 6, top + (y1 - v) * scale,
          { size: 11, colour: SOFT, align: "right" });
      }
      const look = { size: 12, colour: SOFT, align: "center" }, [across, up] = meta.axes;
      pen.text(across, left + w / 2, top + h + 14, look);
      if (!up) return;
      pen.ctx.save(); pen.ctx.translate(left - 32, top + h / 2); pen.ctx.rotate(-Math.PI / 2);
      pen.text(up, 0, 0, look); pen.ctx.restore();
    }

    function drawLegend(pen, left, top, { w, h, besides }) {
      const [x, y] = besides ? [left + w + 26, top + 12] : [left + 8, top + h + 40];
      names.forEach((name, n) => {
        pen.marker(n, x, y + n * 24, 6, { fill: style(n)[0] });
        pen.text(name, x + 16, y + n * 24, { size: 13, max: besides ? 180 : w });
      });
    }

    return { layout, paint, words, hit: () => null, tokens: 0 };
  };
})();

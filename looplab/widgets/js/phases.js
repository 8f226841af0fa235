// A phase diagram: a tile for each draw of a setting, and beside it one run of the chosen cell. (A
// page that draws that run by itself gives no paths.)
(() => {
  const { INK, SOFT, GHOST, PATH, clamp, range, style } = looplab;
  const SHAPES = { o: "circle", D: "diamond", "^": "up" };   // matplotlib's names of marks; x and _
  const ROW = 27, TOP = 34;

  // meta: meta.py says what is in it. data.paths: [row, gain, loop, layer, 2].
  looplab.painters.phases = (meta, data) => {
    const { rows, gains, kinds, looks, ends, captions, first } = meta, { paths } = data;
    const [, , loops, layers] = paths ? paths.shape : [];
    // Rows of one norm stand together.
    let below = 0;
    const tops = rows.map(([norm], n) => {
      if (n) below += ROW + (norm === rows[n - 1][0] ? 0 : 9);
      return below;
    });
    const high = below + ROW;

    function words({ token, loop, held, held_loop }) {
      const caption = n => captions[token][n - first];
      return caption(loop) + (held ? ` Held beside it: ${caption(held_loop)}` : "");
    }

    // The run stands beside the diagram, or below it on a narrow page.
    function layout(width) {
      const besides = paths && width >= 640, side = besides ? clamp(width * 0.36, 220, 330) : 0;
      const left = width >= 460 ? 126 : 112;
      const w = Math.min((width - left - (besides ? side + 44 : 8)) / gains.length, 66);
      const key = TOP + high + 44, ends = key + 22 * kinds.length;
      if (!paths) return { height: ends, width, left, w, key };
      const run = besides
        ? { x: left + w * gains.length + 40, y: TOP, side }
        : { x: 8, y: ends + 26, side: Math.min(width - 16, 300) };
      return { height: Math.max(ends, run.y + run.side + 34), width, left, w, key, run };
    }

    function paint(pen, place, state) {
      const { left, w } = place, { token, loop } = state;
      pen.text(meta.title, 2, 10, { size: 14, bold: true });
      rows.forEach((row, r) => {
        const y = TOP + tops[r], bold = r === token;
        pen.text(row.join(", "), left - 8, y + ROW / 2,
          { size: left < 120 ? 11 : 12, align: "right", colour: bold ? INK : SOFT, bold,
            max: left - 8 });
        gains.forEach((_, g) => drawTiles(pen, left + g * w, y, w, ends[r][g]));
      });
      const frame = (g, look) =>
        pen.box(left + (g - first) * w, TOP + tops[token], w, ROW, { width: 3, ...look });
      if (state.held) frame(state.held_loop, { colour: GHOST });
      frame(loop, { colour: INK });
      const every = Math.ceil(30 / w);                     // gains that have room for their number
      gains.forEach((gain, g) => {
        const away = Math.abs(g - (loop - first)), bold = away === 0;
        if (!bold && (g % every || away < every)) return;
        pen.text(gain, left + (g + 0.5) * w, TOP + high + 11,
          { size: 11, align: "center", colour: bold ? INK : SOFT, bold });
      });
      pen.text("gain", left + (gains.length * w) / 2, TOP + high + 26,
        { align: "center", colour: SOFT });
      drawKey(pen, place);
      if (paths) drawRun(pen, place.run, state);
    }

    // Side by side, in lines of at most four.
    function drawTiles(pen, x, y, w, draws) {
      const lines = Math.ceil(draws.length / 4), across = Math.ceil(draws.length / lines);
      const [tw, th] = [(w - 5) / across, (ROW - 4) / lines];
      draws.forEach((kind, n) => drawTile(pen, x + 2.5 + (n % across) * tw,
        y + 2 + Math.floor(n / across) * th, tw - 0.75, th - 0.75, looks[kind]));
    }

    function drawTile(pen, x, y, w, h, { colour, ink, mark }) {
      pen.cell(x, y, w, h, colour);
      const r = clamp(Math.min(w, h) * 0.22, 1.5, 4), [cx, cy] = [x + w / 2, y + h / 2];
      const line = points => pen.line(points, { colour: ink, width: 1.6 });
      if (mark !== "x" && mark !== "_") {
        pen.ctx.fillStyle = ink; pen.trace(SHAPES[mark], cx, cy, r); pen.ctx.fill();
        return;
      }
      const tilt = mark === "x" ? r : 0;
      line([[cx - r, cy - tilt], [cx + r, cy + tilt]]);
      if (tilt) line([[cx - r, cy + tilt], [cx + r, cy - tilt]]);
    }

    function drawKey(pen, { key, width }) {
      kinds.forEach((kind, n) => {
        drawTile(pen, 6, key + n * 22 - 8, 16, 16, looks[n]);
        pen.text(`${kind}: ${looks[n].words}`, 30, key + n * 22,
          { size: width < 460 ? 11 : 12, max: Math.min(width - 32, 340) });
      });
    }

    function drawRun(pen, { x, y, side }, state) {
      const at = (g, loop, layer) => [0, 1].map(i => {
        const value = paths.at(state.token, g - first, loop, layer, i);
        return i ? y + side * (0.5 - 0.45 * value) : x + side * (0.5 + 0.45 * value);
      });
      const way = g => range(loops).flatMap(n => range(layers).map(layer => at(g, n, layer)));
      pen.box(x, y, side, side);
      if (state.held) pen.line(way(state.held_loop), { colour: GHOST, dash: [5, 4], alpha: 0.4 });
      pen.line(way(state.loop), { colour: PATH, width: 0.75, alpha: 0.7 });
      for (const n of range(loops)) {
        const late = n >= loops * 0.75;
        for (const layer of range(layers)) {
          const [px, py] = at(state.loop, n, layer);
          if (!Number.isFinite(px)) {
            if (!n && !layer) {
              pen.text("no path: its numbers leave every scale", x + side / 2, y + side / 2,
                { align: "center", colour: SOFT, max: side - 8 });
            }
            continue;
          }
          pen.marker(layer, px, py, late ? 4.5 : 2.5,
            { fill: style(layer)[0], stroke: late ? "#fff" : undefined, width: 0.75,
              alpha: late ? 1 : 0.45 });
        }
      }
      const told = layers > 1
        ? `marks: layers 1 to ${layers}; large: the last loops`
        : "one point a loop; large: the last loops";
      pen.text(told, x + side / 2, y + side + 13,
        { size: 11, align: "center", colour: SOFT, max: side + 20 });
    }

    function hit({ left, w }, x, y) {
      const g = Math.floor((x - left) / w);
      const r = tops.findIndex(top => y >= TOP + top && y < TOP + top + ROW);
      return r < 0 || g < 0 || g >= gains.length ? null : { token: r, loop: first + g };
    }

    function tip(place, x, y) {
      const cell = hit(place, x, y);
      return cell ? captions[cell.token][cell.loop - first] : "";
    }

    return { layout, paint, words, hit, tip, tokens: rows.length };
  };
})();

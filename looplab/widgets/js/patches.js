// A patching map, and beside it what run B answers under the patch of the chosen cell.
(() => {
  const { INK, SOFT, GHOST, BLUE, clamp, drawForest, percent, range, shade } = looplab;
  const TOP = 50, LEFT = 44;

  // meta: meta.py says what is in it. data.share: [from_loop, to_loop]; data.answers: and token.
  looplab.painters.patches = (meta, data) => {
    const { captions, forest, said, targets, labels, first } = meta;
    const [rows, columns] = data.share.shape;

    function words({ token, loop, held, held_loop }) {
      const caption = n => captions[token][n - first];
      return caption(loop) + (held ? ` Held beside it: ${caption(held_loop)}` : "");
    }

    // What the run answers stands beside the map, or below it on a narrow page.
    function layout(width) {
      const besides = width >= 640, room = besides ? width * 0.5 : width - 8;
      const size = clamp((room - LEFT - 8) / columns, 14, 40);
      const end = TOP + size * rows + 36, below = forest ? 330 : 60 + 30 * most();
      const x = LEFT + size * columns + 28;
      const side = besides ? { x, y: 4, w: width - x - 4, h: Math.max(end, below) - 4 }
        : { x: 8, y: end + 14, w: width - 16, h: below };
      return { height: besides ? Math.max(end, below) : end + 14 + below, size, side };
    }

    const most = () => Math.max(...said.flat().map(cell => cell.length));

    function paint(pen, place, state) {
      const { size, side } = place, { token, loop } = state;
      pen.text(meta.title, 2, 10, { size: 14, bold: true });
      pen.text("share of the difference, %", 2, 29, { size: 12, colour: SOFT });
      for (const r of range(rows)) {
        for (const c of range(columns)) {
          const share = data.share.at(r, c), x = LEFT + c * size, y = TOP + r * size;
          pen.cell(x + 0.5, y + 0.5, size - 1, size - 1, shade(share, BLUE));
          const told = Number.isFinite(share) ? Math.round(100 * share) : "?";
          if (size < 21) continue;
          pen.text(String(told), x + size / 2, y + size / 2,
            { size: 11, align: "center", colour: share > 0.55 ? "#fff" : INK });
        }
      }
      pen.box(LEFT, TOP, size * columns, size * rows, { colour: SOFT });
      const frame = (c, look) =>
        pen.box(LEFT + (c - first) * size, TOP + token * size, size, size, { width: 3, ...look });
      if (state.held) frame(state.held_loop, { colour: GHOST });
      frame(loop, { colour: INK });
      drawNames(pen, size, token, loop);
      forest ? drawTree(pen, side, state) : drawText(pen, side, state);
    }

    function drawNames(pen, size, token, loop) {
      const every = size < 18 ? 2 : 1;
      const look = bold => ({ size: 11, bold, colour: bold ? INK : SOFT });
      for (const r of range(rows)) {
        if (r % every && r !== token) continue;
        const bold = r === token;
        pen.text(String(r + 1), LEFT - 6, TOP + (r + 0.5) * size, { ...look(bold), align: "right" });
      }
      for (const c of range(columns)) {
        if (c % every && c + 1 !== loop) continue;
        pen.text(String(c + 1), LEFT + (c + 0.5) * size, TOP + rows * size + 11,
          { ...look(c + 1 === loop), align: "center" });
      }
      const middle = { size: 12, colour: SOFT, align: "center" };
      pen.text("into loop of B", LEFT + (columns * size) / 2, TOP + rows * size + 27, middle);
      pen.ctx.save();
      pen.ctx.translate(10, TOP + (rows * size) / 2); pen.ctx.rotate(-Math.PI / 2);
      pen.text("from loop of A", 0, 0, middle); pen.ctx.restore();
    }

    // The forest of the microscope asks a run for its answers; this is one for the chosen row.
    function drawTree(pen, panel, { token, loop, held, held_loop }) {
      const answer = (_, column, t) => {
        const id = data.answers.at(token, column - first, t);
        return { id, name: String(id) };
      };
      const run = {
        labels, targets, answer, meta, tokens: labels.length, hasAnswers: () => true,
        isRight: (_, column, t) => answer(_, column, t).id === targets[t],
      };
      const ghost = held ? { who: "main", loop: held_loop, name: `loop ${held_loop}` } : null;
      drawForest(pen, panel, run, { loop, token: -1 }, ghost);
    }

    function drawText(pen, panel, { token, loop, held, held_loop }) {
      pen.title(panel, "What B says next", meta.text);
      const named = Math.min(110, panel.w * 0.4), w = panel.w - named - 52;
      const before = held ? new Map(said[token][held_loop - first]) : null;
      said[token][loop - first].forEach(([word, p], n) => {
        const y = panel.y + 58 + 30 * n;
        pen.text(word, panel.x + named - 8, y, { bold: !n, align: "right", max: named - 10 });
        pen.cell(panel.x + named, y - 9, Math.max(1, w * p), 18, shade(1, BLUE));
        pen.text(percent(p), panel.x + named + w * p + 6, y, { size: 12, colour: SOFT });
        if (!before || !before.has(word)) return;
        const x = panel.x + named + w * before.get(word);
        pen.line([[x, y - 12], [x, y + 12]], { colour: GHOST, width: 2, dash: [3, 2] });
      });
    }

    function hit({ size }, x, y) {
      const [c, r] = [Math.floor((x - LEFT) / size), Math.floor((y - TOP) / size)];
      const inside = r >= 0 && r < rows && c >= 0 && c < columns;
      return inside ? { token: r, loop: first + c } : null;
    }

    function tip(place, x, y) {
      const cell = hit(place, x, y);
      return cell ? captions[cell.token][cell.loop - first] : "";
    }

    return { layout, paint, words, hit, tip, tokens: rows };
  };
})();

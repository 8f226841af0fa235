// The layer and the word microscope: one text in a language model, its layers or loops under a slider.
(() => {
  const { BLUE, GREEN, INK, ORANGE, SOFT, clamp, drawSteps, nameRows, percent, range } = looplab;
  const { shade, shadeBeside, sideOf, stepAt } = looplab;

  // meta: LayersMeta of meta.py says what is in it and in data.
  looplab.painters.layers = (meta, data) => {
    const { labels, said, settled, first, last, slider } = meta, tokens = labels.length;
    const { attention, norm, likely } = data, [, patterns] = meta.menus.head;
    const many = attention.shape[1], side = sideOf(labels);
    // Arrays count from 0, `now`, what the slider says from `first`.
    const weight = (state, now, row, column) => {
      if (many > 1 && state.head > 0) return attention.at(now, state.head - 1, row, column);
      const add = (sum, one) => sum + attention.at(now, one, row, column);
      return range(many).reduce(add, 0) / many;
    };
    const lengthOf = (now, token) => Math.floor(10 ** norm.at(now, token) + 0.5);
    const isFinal = (loop, token) => settled !== null && settled[token] <= loop;

    function words(state) {
      const { loop, token } = state, now = loop - first;
      const add = (sum, row) => sum + weight(state, now, row, 0);
      const share = percent(range(tokens).reduce(add, 0) / tokens);
      const told = [
        `${slider[0].toUpperCase()}${slider.slice(1)} ${loop} of ${last}: ${share} of the ` +
          `attention goes to “${labels[0]}”, whose state has length ${lengthOf(now, 0)}.`,
        `At “${labels[token]}” (length ${lengthOf(now, token)}) the model would now say ` +
          `“${said[now][token][0]}” (${percent(likely.at(now, token, 0))}).`,
      ];
      if (settled !== null) {
        const count = range(tokens).filter(t => isFinal(loop, t)).length;
        told.push(`Tokens with their final answer: ${count} of ${tokens}; “${labels[token]}” ` +
          `has it from ${slider} ${settled[token]} on.`);
      }
      if (state.held) told.push(`Held beside it, ${slider} ${state.held_loop}.`);
      return told.join(" ");
    }

    // Two by two, or one below the other on a narrow page.
    function layout(width) {
      const columns = width >= 640 ? 2 : 1, gap = 28;
      const w = Math.min(490, (width - gap * (columns - 1)) / columns);
      const left = (width - columns * w - gap * (columns - 1)) / 2;
      const tall = clamp(17 * tokens + 110, 240, 480), low = 200, panels = [];
      let y = 4;
      for (const n of range(4)) {
        const h = n < 2 ? tall : low;
        panels.push({ x: left + (n % columns) * (w + gap), y, w, h });
        if (n % columns === columns - 1) y += h + 18;
      }
      return { height: y, panels };
    }

    function paint(pen, place, state) {
      const [first, second, third, fourth] = place.panels;
      place.zones = [
        drawPattern(pen, first, state),
        drawSaid(pen, second, state),
        drawNorms(pen, third, state),
        drawEntropy(pen, fourth, state),
      ];
    }

    function drawPattern(pen, panel, state) {
      const which = patterns.length ? patterns[state.head] : meta.whole;
      pen.title(panel, `Attention in ${slider} ${state.loop}, ${which}`, state.held
        ? `lower half of a cell: ${slider} ${state.held_loop}`
        : "the row's token looks at the column's");
      const slant = Math.min(58, 8 + 5 * Math.max(...labels.map(name => name.length)));
      const room = Math.min(panel.w - side - 8, 1.35 * (panel.h - 46 - slant));
      const size = room / tokens, rowH = Math.min(size, (panel.h - 46 - slant) / tokens);
      const area = { x: panel.x + side, y: panel.y + 42, w: size * tokens, h: rowH * tokens };
      nameRows(pen, area, rowH, labels, state.token);
      for (const row of range(tokens)) for (const column of range(row + 1)) {
        const now = weight(state, state.loop - first, row, column);
        const held = state.held ? weight(state, state.held_loop - first, row, column) : 0;
        pen.cell(area.x + column * size + 0.5, area.y + row * rowH + 0.5, size - 1, rowH - 1,
          shade(now, ORANGE), state.held ? shadeBeside(now, held, ORANGE) : undefined);
      }
      pen.box(area.x, area.y, area.w, area.h);
      pen.box(area.x, area.y + state.token * rowH, area.w, rowH, { colour: INK, width: 1.5 });
      for (const n of range(tokens)) {
        pen.ctx.save();
        pen.ctx.translate(area.x + (n + 0.6) * size, area.y + area.h + 6);
        pen.ctx.rotate(-Math.PI / 3);
        pen.text(labels[n], 0, 0, { size: 10.5, align: "right", colour: n ? SOFT : INK, max: 62 });
        pen.ctx.restore();
      }
      pen.ramp(area.x + area.w - 84, area.y + 8, 56, ORANGE, "0", "1");
      return { ...area, kind: "tokens" };
    }

    function drawSaid(pen, panel, state) {
      pen.title(panel, `What it would say after ${slider} ${state.loop}`,
        "likeliest next words at each token; the bar is the first one's share");
      const area = { x: panel.x + side, y: panel.y + 42, w: panel.w - side - 4 };
      const key = settled === null ? 0 : 16;           // room for the mark, and below for its key
      const rowH = Math.min(17, (panel.h - 56 - key) / tokens), bar = area.w * 0.25;
      const from = area.x + bar + 8 + key;
      area.h = rowH * tokens;
      nameRows(pen, area, rowH, labels, state.token);
      for (const t of range(tokens)) {
        const now = state.loop - first, y = area.y + (t + 0.5) * rowH;
        pen.cell(area.x, area.y + t * rowH + 1, bar * likely.at(now, t, 0), rowH - 2,
          shade(0.75, BLUE));
        if (isFinal(state.loop, t)) drawTick(pen, from - 12, y);
        pen.text(said[now][t].join("  ·  "), from, y, {
          size: Math.min(12, rowH - 1), bold: t === state.token, max: area.x + area.w - from,
        });
      }
      pen.box(area.x, area.y, bar, area.h);
      if (settled !== null) {
        const y = area.y + area.h + 14;
        drawTick(pen, from - 12, y);
        pen.text(`final answer, as after ${slider} ${last}`, from, y,
          { size: 11, colour: SOFT, max: area.x + area.w - from });
      }
      return { ...area, kind: "tokens" };
    }

    function drawTick(pen, x, y) {
      pen.line([[x - 4, y], [x - 1, y + 3.5], [x + 4, y - 4]], { colour: GREEN, width: 2 });
    }

    const middle = range(last - first + 1).map(n => {
      const all = range(tokens - 1).map(t => norm.at(n, t + 1)).sort((a, b) => a - b);
      return all[(all.length - 1) >> 1];
    });
    function drawNorms(pen, panel, state) {
      const scale = meta.lengths.map(Math.log10), low = scale[0], high = scale.at(-1);
      const share = x => (x - low) / (high - low);
      const lines = [
        [`“${labels[0]}”`, 0, n => share(norm.at(n, 0))],
        ["median of the others", 1, n => share(middle[n])],
      ];
      if (state.token) {
        lines.push([`“${labels[state.token]}”`, 2, n => share(norm.at(n, state.token))]);
      }
      const ticks = scale.map((x, n) => [share(x), String(meta.lengths[n])]);
      return drawSteps(pen, panel, meta, state, "Length of the states",
        `after each ${slider}, log scale`, lines, ticks);
    }

    function drawEntropy(pen, panel, state) {
      const most = meta.entropy_most, at = which => n => data.entropy.at(n, which) / most;
      const lines = [["all tokens", 0, at(0)], [`without “${labels[0]}”`, 1, at(1)]];
      const ticks = range(Math.floor(most) + 1).map(n => [n / most, String(n)]);
      return drawSteps(pen, panel, meta, state, "Entropy of the states",
        "how many directions they share out among them", lines, ticks);
    }

    function hit(place, x, y) {
      const zone = (place.zones || []).find(one => x >= one.x - side * (one.kind === "tokens")
        && x <= one.x + one.w && y >= one.y && y <= one.y + one.h);
      if (!zone) return null;
      if (zone.kind === "steps") return { loop: stepAt(zone, meta, x) };
      return { token: clamp(Math.floor(((y - zone.y) / zone.h) * tokens), 0, tokens - 1) };
    }

    return { layout, paint, words, hit, tokens };
  };
})();

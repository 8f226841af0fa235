// The stream microscope: strips of colour for the streams of one token, and their gates as bars.
(() => {
  const { BLUE, GHOST, INK, ORANGE, SOFT, clamp, drawSteps, number, percent } = looplab;
  const { range, shade, stepAt } = looplab;
  const MOST = 3;                            // times a strip's rms: from there on colours are full
  const CHIP = 24, STRIP = 20, BAR = 46;     // pixels
  const GATES = ["read H_pre", "got H_post", "kept H_res"];

  const decade = x => (x >= 1e5 || x < 1e-3 ? x.toExponential(0) : String(x));

  // meta: StreamsMeta of meta.py says what is in it and in data.
  looplab.painters.streams = (meta, data) => {
    const { labels, said, streams, last } = meta, tokens = labels.length;
    const cells = data.strips.shape[3], MEAN = streams, WRITTEN = streams + 1;
    // Logarithms travel, and zero, which has none, as missing.
    const size = (name, ...at) => 10 ** data[name].at(...at) || 0;
    const lengthAt = (...at) => {
      const x = size("length", ...at);
      return x >= 10 ? String(Math.floor(x + 0.5)) : number(x);
    };
    const mostOf = which => (which === 1 ? meta.post_most : 1);
    const shareAt = (...at) => `${number(100 * size("share", ...at))} %`;
    const says = (loop, token, n) =>
      `“${said[loop][token][n]}” (${percent(data.likely.at(loop, token, n))})`;

    // The same sentence as stream_microscope.py's.
    function words({ loop, token, held, held_loop }) {
      const list = text => range(streams).map(text).join(", ");
      const where = `token ${token + 1}, “${labels[token]}”`;
      const gate = which => list(n => number(data.gates.at(loop - 1, token, n, which)));
      const told = [loop
        ? `Loop ${loop} of ${last} at ${where}: of streams 1 to ${streams} it read ` +
          `${gate(0)} (H_pre), they kept ${gate(2)} (H_res) and got ${gate(1)} of what it ` +
          "wrote (H_post)."
        : `Loop 0 of ${last}, the start before any pass, at ${where}.`];
      told.push(`Their lengths are ${list(n => lengthAt(loop, token, n))}; what differs from ` +
        `their mean is ${list(n => shareAt(loop, token, n))} of that.`);
      if (said !== null) {
        told.push(`Alone they would say ${list(n => says(loop, token, n))}; their mean says ` +
          `${says(loop, token, MEAN)}.`);
      }
      if (held) told.push(`Held beside it, loop ${held_loop}.`);
      return told.join(" ");
    }

    // Text, strips with their bars, lines over the loops. Bars and words stand beside a strip, or
    // below it on a narrow page.
    function layout(width) {
      const chips = chipsIn(width), top = chips.at(-1).y + CHIP + 14;
      const besides = width >= 700, word = said === null ? 0 : clamp(width * 0.17, 120, 170);
      const name = 62, bar = !besides ? (width - 58) / 3 : width < 900 ? 84 : 94;
      const right = besides ? 3 * bar + 62 + word : 0;
      const strip = { x: name, w: width - name - right - (besides ? 14 : 2) };
      const bars = besides ? width - right : 0, length = bars + 3 * bar;
      const step = besides ? 27 : said === null ? 44 : 62;
      const head = top + (besides ? 58 : 74), below = head + step * (streams + 2) + 16;
      const lines = { x: 0, y: below, w: Math.min(490, besides ? width - 250 : width), h: 200 };
      const key = besides ? { x: lines.w + 40, y: below + 60 } : { x: 46, y: below + 226 };
      return {
        height: besides ? below + 210 : below + 290, width, besides, chips, top, head, step, strip,
        bars, bar, length, lines, key,
        word: besides ? { x: width - word, w: word } : { x: name, w: width - name },
      };
    }

    // Where each token of the text stands, in lines.
    function chipsIn(width) {
      let x = 0, y = 2;
      return labels.map(label => {
        const w = Math.min(width, 150, 16 + 7.4 * label.length);
        if (x && x + w > width) [x, y] = [0, y + CHIP + 2];
        x += w;
        return { x: x - w, y, w };
      });
    }

    function paint(pen, place, state) {
      const { loop, token, head } = state, { step, strip } = place;
      place.chips.forEach((chip, n) => drawChip(pen, chip, labels[n], n === token));
      const first = cells < meta.width ? `first ${cells} of ${meta.width}` : `all ${cells}`;
      pen.title({ x: 0, y: place.top, w: place.width },
        `${loop ? `After loop ${loop} of ${last}` : "The start"}, token ${token + 1}, ` +
          `“${labels[token]}”`,
        `cells: ${first} numbers of a state ÷ its own rms`);
      drawHeads(pen, place, state);
      range(streams + 2).forEach(n => {
        const y = place.head + n * step, stream = n < streams, apart = stream && head === 1;
        const name = stream ? `stream ${n + 1}` : n === MEAN ? "mean" : "written";
        pen.text(name, 0, y + STRIP / 2, { size: 12, max: strip.x - 4 });
        const from = apart ? data.apart : data.strips;
        drawStrip(pen, { ...strip, y }, i => from.at(loop, token, n, i),
          state.held ? i => from.at(state.held_loop, token, n, i) : null);
        const line = place.besides ? y + STRIP / 2 : y + STRIP + 11;
        if (stream && loop) range(3).forEach(which => drawBar(pen, place, which, line, n, state));
        const told = apart ? shareAt(loop, token, n) : lengthAt(loop, token, n);
        if (loop || n !== WRITTEN) pen.text(told, place.length + 4, line, { size: 12 });
        if (said === null || n === WRITTEN) return;
        const alone = n === MEAN ? "it says " : "alone it would say ";
        pen.text((place.besides ? "" : alone) + says(loop, token, n), place.word.x,
          place.besides ? line : line + 18, { size: 12, bold: n === MEAN, max: place.word.w });
      });
      place.zone = drawLengths(pen, place.lines, state);
      drawKey(pen, place.key, state);
    }

    function drawChip(pen, { x, y, w }, label, chosen) {
      if (chosen) {
        pen.cell(x + 1, y, w - 2, CHIP - 2, shade(0.12, BLUE));
        pen.box(x + 1, y, w - 2, CHIP - 2, { colour: INK, width: 1.5 });
      }
      pen.text(label, x + w / 2, y + CHIP / 2 - 1,
        { size: 13, bold: chosen, align: "center", max: w - 6, colour: chosen ? INK : SOFT });
    }

    function drawHeads(pen, place, state) {
      const y = place.head - 11, look = { size: 11, colour: SOFT };
      const above = place.besides ? y : y - 13;      // bars stand below the strips: a line for each
      pen.text(meta.menus.head[1][state.head], place.strip.x, place.besides ? y : y + 1, look);
      GATES.forEach((name, which) => pen.text(`${name}, 0–${mostOf(which)}`,
        place.bars + which * place.bar, above, { ...look, max: place.bar - 4 }));
      pen.text(state.head ? "of length" : "length", place.length + 4, above, look);
      if (place.besides && said !== null) pen.text("alone it would say", place.word.x, y, look);
    }

    // held: the same of the held loop, for the lower half; null for none.
    function drawStrip(pen, { x, y, w }, value, held) {
      const size = w / cells, high = held ? STRIP / 2 - 0.5 : STRIP;
      const colour = v => shade(Math.abs(v) / MOST, v < 0 ? ORANGE : BLUE);
      for (const i of range(cells)) {                // a little wider: no seams between cells
        const wide = Math.min(size + 0.5, w - i * size);
        pen.cell(x + i * size, y, wide, high, colour(value(i)));
        if (held) pen.cell(x + i * size, y + STRIP - high, wide, high, colour(held(i)));
      }
      pen.box(x, y, w, STRIP);
    }

    function drawBar(pen, place, which, y, n, state) {
      const x = place.bars + which * place.bar, most = mostOf(which);
      const gate = loop => data.gates.at(loop - 1, state.token, n, which);
      const value = gate(state.loop), wide = Math.min(BAR, place.bar - 36);
      pen.cell(x, y - 6, (wide * value) / most, 12, shade(0.75, BLUE));
      pen.box(x, y - 6, wide, 12, { colour: SOFT, width: 0.75 });
      if (state.held && state.held_loop) {
        const at = x + (wide * gate(state.held_loop)) / most;
        pen.line([[at, y - 8], [at, y + 8]], { colour: GHOST, width: 2.5 });
      }
      pen.text(number(value), x + wide + 5, y, { size: 12 });
    }

    function drawLengths(pen, panel, state) {
      const scale = meta.lengths.map(Math.log10), low = scale[0], high = scale.at(-1);
      const share = x => (x - low) / (high - low);
      const height = n => loop => share(data.length.at(loop, state.token, n));
      const lines = range(streams).map(n => [n ? String(n + 1) : "stream 1", n, height(n)]);
      lines.push(["written", streams, height(WRITTEN)]);
      const ticks = scale.map((x, n) => [share(x), decade(meta.lengths[n])]);
      return drawSteps(pen, panel, meta, state, "Length of each stream",
        "after each loop, log scale", lines, ticks);
    }

    function drawKey(pen, { x, y }, state) {
      const w = 160, look = { size: 11, colour: SOFT };
      for (const i of range(49)) {
        const v = i / 24 - 1;
        pen.cell(x + (i * w) / 49, y, w / 49 + 0.5, 10, shade(Math.abs(v), v < 0 ? ORANGE : BLUE));
      }
      pen.box(x, y, w, 10, { colour: SOFT, width: 0.75 });
      [`−${MOST}`, "0", `${MOST} rms`].forEach((text, n) =>
        pen.text(text, x + (n * w) / 2, y + 20, { ...look, align: "center" }));
      if (!state.held) return;
      pen.text(`lower half of a strip, mark on a bar: loop ${state.held_loop}`, x - 8, y + 42,
        { size: 12, colour: GHOST });
    }

    function hit(place, x, y) {
      const chosen = place.chips.findIndex(chip =>
        x >= chip.x && x < chip.x + chip.w && y >= chip.y && y < chip.y + CHIP);
      if (chosen >= 0) return { token: chosen };
      const { zone } = place;
      const inside = zone && x >= zone.x && x <= zone.x + zone.w && y >= zone.y
        && y <= zone.y + zone.h;
      return inside ? { loop: stepAt(zone, meta, x) } : null;
    }

    return { layout, paint, words, hit, tokens };
  };
})();

// A slider over pictures: shades of a number, or categories with colour, mark and hatching.
(() => {
  const { INK, SOFT, GHOST, clamp, inkOn, number, range, rgbOf, shade, shadeBeside } = looplab;

  // meta: meta.py says what is in it. data.frames: [loop, height, width].
  looplab.painters.frames = (meta, data) => {
    const { kinds, first } = meta, picture = data.frames;
    const [count, height, width] = picture.shape;
    const value = (loop, i, j) => picture.at(loop - first, i, j);
    const cells = range(height).flatMap(i => range(width).map(j => [i, j]));
    const countOf = (loop, kind) => cells.filter(([i, j]) => value(loop, i, j) === kind).length;
    const rgb = kinds ? null : rgbOf(meta.colour);
    const edge = meta.ticks || meta.axes[1] ? 44 : 0;      // room for names at the left and below
    const shareOf = v => (v - meta.low) / (meta.high - meta.low || 1);

    // The same sentence as frames.py's.
    function words(state) {
      const { loop } = state, said = [`Loop ${loop} of ${first + count - 1}:`];
      if (meta.captions) said.push(meta.captions[loop - first]);
      else if (kinds) {
        const told = kinds.map((kind, n) => [kind.name, countOf(loop, n)]).filter(([, n]) => n);
        said.push(told.map(([name, n]) => `${name} ${n}`).join(", ") + ".");
        if (loop > first) {
          const differs = ([i, j]) => value(loop, i, j) !== value(loop - 1, i, j);
          const changed = cells.filter(differs).length;
          said.push(`${changed} of ${cells.length} cells changed since loop ${loop - 1}.`);
        }
      } else {
        const known = cells.map(([i, j]) => value(loop, i, j)).filter(Number.isFinite);
        const [low, high] = [Math.min(...known), Math.max(...known)];
        said.push(`smallest ${number(low)}, largest ${number(high)}.`);
      }
      if (state.held) said.push(`Held beside it, loop ${state.held_loop}.`);
      if (state.cursor.length) {
        const [row, column] = state.cursor, kind = kinds[value(loop, row, column)];
        said.push(`At row ${row + 1}, column ${column + 1}: ${kind.name}.`);
      }
      return said.join(" ");
    }

    // The legend stands beside the picture, or below it on a narrow page.
    function layout(pageWidth) {
      const besides = pageWidth >= 520, legendW = besides ? 250 : 0;
      const lines = (kinds ? kinds.length : 1) + (meta.edits ? 2 : 0);
      const legendH = besides ? 0 : 26 * lines + 4;
      const room = pageWidth - legendW - 8 - edge;
      const size = clamp(Math.min(room / width, 440 / height), 4, 64);
      const x = edge + Math.max(2, (pageWidth - size * width - legendW - edge) / 2);
      const least = besides ? 60 + 26 * lines : 0;
      return { height: Math.max(size * height + 44 + edge + legendH, least), x, size, besides };
    }

    function paint(pen, place, state) {
      const { x: left, size, besides } = place, top = 32;
      const w = size * width, h = size * height;
      pen.text(meta.title, left, 9, { size: 14, bold: true });
      for (const [i, j] of cells) {
        const now = value(state.loop, i, j);
        const before = state.held ? value(state.held_loop, i, j) : undefined;
        const draw = kinds ? drawCategory : drawNumber;
        draw(pen, left + j * size, top + i * size, size, now, before);
      }
      pen.box(left, top, w, h, { colour: SOFT });
      place.area = { left, top, w, h };
      if (state.cursor.length) {
        const [row, column] = state.cursor;
        pen.box(left + column * size, top + row * size, size, size, { colour: INK, width: 4 });
        pen.box(left + column * size, top + row * size, size, size, { colour: "#fff", width: 1.5 });
      }
      if (besides) drawLegend(pen, left + w + 28, top + 8, state);
      else drawLegend(pen, left, top + h + 20 + edge, state);
      drawNames(pen, left, top, size);
    }

    // What columns and rows are, and as many of their names as there is room for.
    function drawNames(pen, left, top, size) {
      const [across, up] = meta.axes, look = { size: 11, colour: SOFT };
      const every = Math.ceil(17 / size), some = names => names.map((name, n) => [name, n])
        .filter(([name]) => name).filter((_, n) => n % every === 0);
      for (const [name, n] of some(meta.ticks ? meta.ticks[0] : [])) {
        pen.text(name, left + (n + 0.5) * size, top + height * size + 10,
          { ...look, align: "center" });
      }
      for (const [name, n] of some(meta.ticks ? meta.ticks[1] : [])) {
        pen.text(name, left - 6, top + (n + 0.5) * size, { ...look, align: "right" });
      }
      const middle = { size: 12, colour: SOFT, align: "center" };
      pen.text(across, left + (width * size) / 2, top + height * size + 26, middle);
      pen.ctx.save();
      pen.ctx.translate(left - 32, top + (height * size) / 2); pen.ctx.rotate(-Math.PI / 2);
      pen.text(up, 0, 0, middle); pen.ctx.restore();
    }

    function drawCategory(pen, x, y, size, now, before) {
      const kind = kinds[now], split = before !== undefined && before !== now;
      const ghost = split ? kinds[before].colour : undefined;
      pen.cell(x + 0.5, y + 0.5, size - 1, size - 1, kind.colour, ghost);
      if (!split) drawHatch(pen, x + 0.5, y + 0.5, size - 1, kind);
      if (!kind.mark || size < 11) return;
      const [across, down, share] = split ? [0.3, 0.32, 0.36] : [0.5, 0.53, 0.52];
      pen.text(kind.mark, x + size * across, y + size * down,
        { size: size * share, bold: true, align: "center", colour: inkOn(kind.colour) });
    }

    function drawNumber(pen, x, y, size, now, before) {
      const share = shareOf(now);
      const ghost = before === undefined ? undefined : shadeBeside(share, shareOf(before), rgb);
      pen.cell(x + 0.5, y + 0.5, size - 1, size - 1, shade(share, rgb), ghost);
      if (size >= 34 && before === undefined) {
        pen.text(now.toFixed(2), x + size / 2, y + size / 2,
          { size: 11, align: "center", colour: share > 0.55 ? "#fff" : INK });
      }
    }

    function drawLegend(pen, x, y, state) {
      const count = n => countOf(state.loop, n);
      if (kinds) kinds.forEach((kind, n) => drawKey(pen, x, y + n * 26, kind, count(n)));
      else {
        pen.ramp(x + 40, y, 100, rgb, number(meta.low), number(meta.high));
        pen.text(meta.unit, x + 90, y + 20, { size: 12, colour: SOFT, align: "center" });
      }
      const below = kinds ? kinds.length * 26 + 4 : 42;
      if (state.held) {
        pen.text(`lower half of a cell: loop ${state.held_loop}`, x, y + below,
          { size: 12, colour: GHOST });
      } else if (meta.edits) {
        const how = state.cursor.length ? ["arrow keys choose a cell,", "Enter changes it, Escape ends"]
          : ["click a cell to change it,", "or press E to do so by keys"];
        how.forEach((line, n) => pen.text(line, x, y + below + 18 * n, { colour: SOFT }));
      }
    }

    // A click on a cell asks for it to be changed.
    function hit(place, x, y) {
      if (!meta.edits || !place.area) return null;
      const { left, top } = place.area;
      const row = Math.floor((y - top) / place.size), column = Math.floor((x - left) / place.size);
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      return inside ? { edit: [row, column] } : null;
    }

    // E puts a cursor on the picture; while it is there the arrows move it.
    function press(key, { cursor }) {
      if (key.toLowerCase() === "e") {
        return { cursor: cursor.length ? [] : [height >> 1, width >> 1] };
      }
      if (!cursor.length) return null;
      if (key === "Escape") return { cursor: [] };
      if (key === "Enter" || key === " ") return { edit: cursor };
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (!(key in step)) return null;
      const [down, right] = step[key];
      return {
        cursor: [clamp(cursor[0] + down, 0, height - 1), clamp(cursor[1] + right, 0, width - 1)],
      };
    }

    const painter = { layout, paint, words, hit, tokens: 0 };
    if (!meta.edits) return painter;
    const keys = " E edits: arrow keys then choose a cell, Enter changes it, Escape ends.";
    return { ...painter, press, keys };
  };

  function drawHatch(pen, x, y, size, kind) {
    if (!kind.hatch) return;
    pen.clip(x, y, size, size);
    const gap = Math.max(4, size / 5), look = { colour: "#fff", width: 1.2, alpha: 0.75 };
    for (let o = -size; o < size; o += gap) pen.line([[x + o, y + size], [x + o + size, y]], look);
    pen.unclip();
  }

  // One category of the legend: how it looks, what it is, how many cells it has.
  function drawKey(pen, x, y, kind, count) {
    pen.cell(x, y - 9, 18, 18, kind.colour);
    drawHatch(pen, x, y - 9, 18, kind);
    pen.box(x, y - 9, 18, 18, { colour: SOFT });
    if (kind.mark) {
      pen.text(kind.mark, x + 9, y + 0.5,
        { size: 12, bold: true, align: "center", colour: inkOn(kind.colour) });
    }
    pen.text(`${kind.name}: ${count}`, x + 27, y, { size: 13, max: 215 });
  }
})();

// Panel 4, when the run kept it: attention of this loop; the row looks at the column.
(() => {
  const { INK, ORANGE, nameColumns, nameRows, number, range, shade, shadeBeside, sideOf } = looplab;

  // Returns the zone in which a click chooses a token.
  function drawAttention(pen, panel, run, state, ghost) {
    const { meta, labels, tokens } = run, { loop, layer } = state;
    const heads = run.channel("main", "attention").shape[2];
    const one = state.head > 0 && heads > 1;
    const weight = (who, at, row, column) => {
      const patterns = run.channel(who, "attention");
      if (one) return patterns.at(at - 1, layer, state.head - 1, row, column);
      const add = (sum, head) => sum + patterns.at(at - 1, layer, head, row, column);
      return range(heads).reduce(add, 0) / heads;
    };
    const split = ghost && ghost.loop > 0 && run.has(ghost.who + ".attention") && loop > 0;
    const which = one ? `head ${state.head}` : "mean of heads";
    pen.title(panel, `Attention in layer ${layer + 1}, ${which}`,
      loop === 0 ? "no attention before the first loop"
        : split ? `upper half: loop ${loop}; lower half: ${ghost.name}`
          : "the row's token looks at the column's");
    const side = sideOf(labels);
    const area = { x: panel.x + side, y: panel.y + 42, w: panel.w - side - 8, h: panel.h - 82 };
    const rowH = area.h / tokens, size = Math.min(area.w / tokens, rowH * 1.35);
    nameRows(pen, area, rowH, labels, state.token);
    const most = meta.attention_max[layer][heads > 1 ? state.head : 0] || 1;
    for (const row of range(tokens)) for (const column of range(tokens)) {
      const x = area.x + column * size, y = area.y + row * rowH;
      const share = (who, at) => weight(who, at, row, column) / most;
      const now = loop > 0 ? share("main", loop) : 0;
      pen.cell(x + 0.5, y + 0.5, size - 1, rowH - 1, shade(now, ORANGE),
        split ? shadeBeside(now, share(ghost.who, ghost.loop), ORANGE) : undefined);
    }
    const w = size * tokens, bottom = area.y + area.h;
    pen.box(area.x, area.y, w, rowH * tokens);
    pen.box(area.x, area.y + state.token * rowH, w, rowH, { colour: INK, width: 1.5 });
    nameColumns(pen, area, size, labels, bottom + 10);
    pen.ramp(area.x + w - 90, bottom + 23, 56, ORANGE, "0", number(most));
    return { ...area, w, kind: "tokens" };
  }

  Object.assign(looplab, { drawAttention });
})();

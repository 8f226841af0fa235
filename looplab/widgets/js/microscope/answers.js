// Panel 3: what the model would answer if it stopped now.
(() => {
  const { INK, SOFT, BLUE, nameColumns, nameRows, range, shade, shadeBeside, sideOf } = looplab;
  const TITLE = "What it would answer now";

  // Returns the zone in which a click chooses a token.
  function drawAnswers(pen, panel, run, state, ghost) {
    const { labels, targets, tokens } = run;
    const split = ghost && run.has(ghost.who + (run.classes ? ".answers" : ".top"));
    pen.title(panel, TITLE, split
      ? `upper half: loop ${state.loop}; lower half: ${ghost.name}`
      : targets ? "darker: more likely; ring: the right answer" : "darker: more likely");
    const side = sideOf(labels);
    const area = { x: panel.x + side, y: panel.y + 42, w: panel.w - side - 44, h: panel.h - 82 };
    const rowH = area.h / tokens;
    nameRows(pen, area, rowH, labels, state.token);
    const draw = run.classes ? drawEvery : drawLikeliest;
    return { ...area, w: draw(pen, area, rowH, run, state, split ? ghost : null), kind: "tokens" };
  }

  // A column for every answer. Returns the matrix's width.
  function drawEvery(pen, area, rowH, run, state, ghost) {
    const { names, targets, classes, tokens } = run;
    const size = Math.min(area.w / classes, rowH * 1.7), bottom = area.y + area.h;
    const now = run.channel("main", "answers"), beside = ghost && run.channel(ghost.who, "answers");
    for (const t of range(tokens)) for (const c of range(classes)) {
      const x = area.x + c * size, y = area.y + t * rowH, p = now.at(state.loop, t, c);
      pen.cell(x + 0.5, y + 0.5, size - 1, rowH - 1, shade(p, BLUE),
        ghost ? shadeBeside(p, beside.at(ghost.loop, t, c), BLUE) : undefined);
      if (p >= 0.2 && size >= 26 && rowH >= 14 && !ghost) {
        pen.text(String(Math.round(p * 100)), x + size / 2, y + rowH / 2 + 0.5,
          { size: 11, align: "center", colour: p > 0.55 ? "#fff" : INK });
      }
    }
    pen.box(area.x, area.y, size * classes, rowH * tokens);
    if (targets) drawRings(pen.ctx, area, size, rowH, targets);
    nameColumns(pen, area, size, names, bottom + 10);
    drawMarks(pen, run, state, area.x + size * classes + 8, area.y, rowH);
    pen.text("answer", area.x, bottom + 27, { size: 11, colour: SOFT });
    const right = area.x + Math.min(size * classes, area.w);
    pen.ramp(right - 80, bottom + 23, 56, BLUE, "0", "100 %");
    return size * classes;
  }

  // A bar for the likeliest of many answers, and the names of the first few. Returns the width.
  function drawLikeliest(pen, area, rowH, run, state) {
    const { names, tokens } = run, bottom = area.y + area.h;
    const top = run.channel("main", "top"), likely = run.channel("main", "top_p");
    const bar = area.w * 0.3, size = Math.min(12, rowH + 2);
    for (const t of range(tokens)) {
      const y = area.y + (t + 0.5) * rowH;
      const w = bar * likely.at(state.loop, t, 0);
      pen.cell(area.x, area.y + t * rowH + 1, w, rowH - 2, shade(0.75, BLUE));
      const list = range(top.shape[2]).map(i => names[top.at(state.loop, t, i)]).join("  ·  ");
      pen.text(list, area.x + bar + 8, y, { size, bold: t === state.token, max: area.w - bar - 8 });
    }
    pen.box(area.x, area.y, bar, rowH * tokens);
    drawMarks(pen, run, state, area.x + area.w + 6, area.y, rowH);
    pen.text("0", area.x, bottom + 10, { size: 11, colour: SOFT });
    pen.text("100 %", area.x + bar, bottom + 10, { size: 11, colour: SOFT, align: "right" });
    return area.w;
  }

  // A ring around the right answer of each row.
  function drawRings(ctx, area, size, rowH, targets) {
    targets.forEach((target, t) => {
      ctx.save(); ctx.strokeStyle = INK; ctx.lineWidth = rowH > 10 ? 2 : 1; ctx.beginPath();
      ctx.roundRect(area.x + target * size + 1, area.y + t * rowH + 1, size - 2, rowH - 2,
        Math.min(7, rowH / 2));
      ctx.stroke(); ctx.restore();
    });
  }

  // Right or wrong beside each row, and how many are right.
  function drawMarks(pen, run, state, x, y, rowH) {
    if (!run.targets || rowH < 8) return;
    const size = Math.min(14, rowH);
    for (const t of range(run.tokens)) {
      const right = run.isRight("main", state.loop, t);
      pen.text(right ? "✓" : "✗", x, y + (t + 0.5) * rowH,
        { size, bold: true, colour: right ? "#00664b" : "#b34700" });
    }
    const told = `${run.rightCount("main", state.loop)}/${run.tokens}`;
    pen.text(told, x, y + run.tokens * rowH + 10, { size: 12, bold: true });
  }

  // What stands here without a model.
  function drawNoAnswers(pen, panel) {
    pen.title(panel, TITLE, "give the model as well to see its answers");
    pen.box(panel.x, panel.y + 42, panel.w, panel.h - 66);
  }

  Object.assign(looplab, { drawAnswers, drawNoAnswers });
})();

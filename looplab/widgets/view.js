// Drawing code of looplab's widgets: one canvas, fed once, that steps without asking the kernel.
// The live widget (stage.py) and the self-contained HTML edition both run exactly this text.
const looplab = (() => {
  const INK = "#1a1a1a", SOFT = "#595959", RULE = "#d4d4d4", GHOST = "#6a3d7c";
  const BLUE = [0, 114, 178], ORANGE = [188, 76, 0];
  const FONT = '"Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif';
  // Okabe-Ito colours without yellow; each with its own marker and dash, so colour is never alone.
  const STYLES = [
    ["#0072B2", "circle", []], ["#D55E00", "square", [7, 3]], ["#009E73", "diamond", [2, 2.5]],
    ["#CC79A7", "up", [9, 3, 2, 3]], ["#56B4E9", "down", [4, 4]], ["#E69F00", "hexagon", [12, 4]],
    ["#000000", "star", [1, 3]],
  ];
  const style = layer => STYLES[layer % STYLES.length];

  // ---- data ---------------------------------------------------------------------------------

  // layout: name -> [offset, bytes per number, shape, low, step]; the highest code means "missing".
  function unpack(layout, bytes) {
    const out = {};
    for (const [name, [offset, size, shape, low, step]] of Object.entries(layout)) {
      const count = shape.reduce((a, b) => a * b, 1);
      const raw = bytes.slice(offset, offset + count * size);
      const codes = size === 2 ? new Uint16Array(raw.buffer) : raw;
      const missing = size === 2 ? 65535 : 255;
      const values = Float64Array.from(codes, c => (c === missing ? NaN : low + c * step));
      const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
      const at = (...index) => values[index.reduce((sum, n, i) => sum + n * strides[i], 0)];
      out[name] = { at, shape };
    }
    return out;
  }

  const range = n => Array.from({ length: n }, (_, i) => i);
  const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
  const percent = p => Math.floor(p * 100 + 0.5) + " %";
  const number = x =>
    !Number.isFinite(x) ? "–" : x >= 0.01 && x < 99.5 ? x.toPrecision(2) : x.toExponential(1);
  const shade = (p, [r, g, b]) => {
    const q = clamp(p, 0, 1), mix = c => Math.round(255 + (c - 255) * q);
    return `rgb(${mix(r)},${mix(g)},${mix(b)})`;
  };

  // The other half of a cell, where the eye could tell the two shades apart.
  const shadeBeside = (v, before, rgb) => (Math.abs(v - before) < 0.02 ? undefined : shade(before, rgb));

  // ---- pen: the few strokes every panel is made of ---------------------------------------------

  function pen(ctx) {
    const p = {
      ctx,
      text(s, x, y, { size = 12, bold = false, colour = INK, align = "left", base = "middle", max } = {}) {
        ctx.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
        ctx.fillStyle = colour; ctx.textAlign = align; ctx.textBaseline = base;
        if (max !== undefined && ctx.measureText(s).width > max) {
          while (s.length > 1 && ctx.measureText(s + "…").width > max) s = s.slice(0, -1);
          s += "…";
        }
        ctx.fillText(s, x, y);
        return ctx.measureText(s).width;
      },
      line(points, { colour = INK, width = 1, dash = [], alpha = 1 } = {}) {
        ctx.save();
        ctx.globalAlpha = alpha; ctx.strokeStyle = colour; ctx.lineWidth = width;
        ctx.lineJoin = "round"; ctx.setLineDash(dash); ctx.beginPath();
        let pendown = false;
        for (const [x, y] of points) {
          if (!Number.isFinite(y)) { pendown = false; continue; }
          pendown ? ctx.lineTo(x, y) : ctx.moveTo(x, y);
          pendown = true;
        }
        ctx.stroke(); ctx.restore();
      },
      trace(shape, x, y, r) {
        const corners = {
          square: [4, 0.886, Math.PI / 4], diamond: [4, 1.2, 0], up: [3, 1.2, -Math.PI / 2],
          down: [3, 1.2, Math.PI / 2], hexagon: [6, 1.05, 0],
        }[shape];
        ctx.beginPath();
        if (shape === "circle") ctx.arc(x, y, r, 0, 7);
        else if (shape === "star") {
          for (const i of range(10)) {
            const a = -Math.PI / 2 + (i * Math.PI) / 5, q = r * (i % 2 ? 0.55 : 1.3);
            ctx.lineTo(x + q * Math.cos(a), y + q * Math.sin(a));
          }
        } else {
          const [n, grow, turn] = corners;
          for (const i of range(n)) {
            const a = turn + (i * 2 * Math.PI) / n;
            ctx.lineTo(x + grow * r * Math.cos(a), y + grow * r * Math.sin(a));
          }
        }
        ctx.closePath();
      },
      marker(layer, x, y, r, { fill, stroke, width = 1.5, alpha = 1, dash = [] } = {}) {
        ctx.save(); ctx.globalAlpha = alpha; ctx.setLineDash(dash);
        p.trace(style(layer)[1], x, y, r);
        if (fill) { ctx.fillStyle = fill; ctx.fill(); }
        if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = width; ctx.stroke(); }
        ctx.restore();
      },
      // One cell of a matrix. With a ghost the lower right half shows the held or other value.
      cell(x, y, w, h, fill, ghost) {
        ctx.fillStyle = fill; ctx.fillRect(x, y, w, h);
        if (ghost === undefined) return;
        ctx.fillStyle = ghost; ctx.beginPath();
        ctx.moveTo(x + w, y); ctx.lineTo(x + w, y + h); ctx.lineTo(x, y + h);
        ctx.closePath(); ctx.fill();
        p.line([[x + w, y], [x, y + h]], { colour: GHOST, width: 0.75, alpha: 0.6 });
      },
      box(x, y, w, h, { colour = RULE, width = 1, dash = [] } = {}) {
        ctx.save(); ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.setLineDash(dash);
        ctx.strokeRect(x, y, w, h); ctx.restore();
      },
      ramp(x, y, w, rgb, low, high) {
        for (const i of range(24)) {
          ctx.fillStyle = shade(i / 23, rgb); ctx.fillRect(x + (i * w) / 24, y, w / 24 + 0.5, 8);
        }
        p.box(x, y, w, 8, { colour: SOFT, width: 0.75 });
        p.text(low, x - 5, y + 4.5, { size: 11, colour: SOFT, align: "right" });
        return p.text(high, x + w + 5, y + 4.5, { size: 11, colour: SOFT });
      },
      title(panel, head, below) {
        p.text(head, panel.x, panel.y + 9, { size: 14, bold: true, max: panel.w });
        p.text(below, panel.x, panel.y + 27, { size: 12, colour: SOFT, max: panel.w });
      },
    };
    return p;
  }

  // ---- the loop microscope ----------------------------------------------------------------------

  function microscope(meta, data) {
    const { loops, layers, labels, names, targets, classes, unit } = meta;
    const tokens = labels.length;
    const has = name => name in data;
    const other = has("other.points");
    const run = (who, name) => data[who + "." + name];

    // Who is shown as a ghost: the held loop of this run, else the other run at the same loop.
    function ghostOf(s) {
      if (s.held) return { who: "main", loop: s.held_loop, name: `loop ${s.held_loop}` };
      if (other) return { who: "other", loop: Math.min(s.loop, meta.other_loops), name: "the other run" };
      return null;
    }

    function answer(who, loop, token) {   // {name, p, right} of the likeliest answer
      let best = 0, p = -1;
      if (classes) {
        const probability = run(who, "answers");
        for (const c of range(classes)) {
          const q = probability.at(loop, token, c);
          if (q > p) { p = q; best = c; }
        }
        return { id: best, name: names[best], p };
      }
      const id = run(who, "top").at(loop, token, 0);
      return { id, name: names[id], p: run(who, "top_p").at(loop, token, 0) };
    }
    const rightCount = (who, loop) =>
      range(tokens).filter(t => answer(who, loop, t).id === targets[t]).length;
    const finalCount = (who, loop) => {
      const last = who === "main" ? loops : meta.other_loops;
      return range(tokens).filter(t => answer(who, loop, t).id === answer(who, last, t).id).length;
    };
    const count = (who, loop) => targets
      ? `${rightCount(who, loop)} of ${tokens} answers are right`
      : `${finalCount(who, loop)} of ${tokens} answers are the final ones`;

    function words(s) {
      const { loop, token } = s, said = [];
      said.push(loop === 0 ? "Loop 0, the start state before any pass." : `Loop ${loop} of ${loops}.`);
      if (has("main.answers") || has("main.top")) {
        said.push(count("main", loop) + ".");
        const a = answer("main", loop, token);
        const verdict = !targets ? "" : a.id === targets[token] ? ", which is right"
          : `; right is ${names[targets[token]]}`;
        said.push(`Token ${labels[token]} answers ${a.name} (${percent(a.p)})${verdict}.`);
      }
      const d = 10 ** run("main", "distance").at(loop, layers - 1, token);
      if (loop === loops) said.push("This last loop stands for the fixed point.");
      else if (Number.isFinite(d)) said.push(`Its state is ${number(d)} of its length from the fixed point.`);
      const ghost = ghostOf(s);
      if (ghost) {
        const told = has(ghost.who + ".answers") || has(ghost.who + ".top")
          ? ": " + count(ghost.who, ghost.loop) : "";
        said.push((ghost.who === "main" ? "Held beside it, " : "Beside it, ") + ghost.name + told + ".");
      }
      return said.join(" ");
    }

    function layout(width) {
      const columns = width >= 600 ? 2 : 1, gap = 28;
      const w = Math.min(470, (width - gap * (columns - 1)) / columns), h = clamp(w * 0.78, 270, 345);
      const left = (width - columns * w - gap * (columns - 1)) / 2;
      const place = i => ({
        x: left + (i % columns) * (w + gap), y: 4 + Math.floor(i / columns) * (h + 22), w, h,
      });
      return { height: (4 / columns) * (h + 22) - 12, panels: range(4).map(place) };
    }

    // 1. Where each layer's state is: the plane of this token's path, the cycle closing.
    function drawCycle(p, panel, s, ghost) {
      const points = run("main", "points"), start = run("main", "start");
      const area = { x: panel.x, y: panel.y + 42, w: panel.w, h: panel.h - 66 };
      const [share1, share2] = meta.explained[s.token];
      p.title(panel, "Where each layer's state is",
        `token ${labels[s.token]}: plane with ${percent(share1 + share2)} of the movement`);
      p.box(area.x, area.y, area.w, area.h);

      const [x0, x1, y0, y1] = meta.extent[s.token], pad = 26;
      const scale = Math.min((area.w - 2 * pad) / (x1 - x0), (area.h - 2 * pad) / (y1 - y0));
      const px = (x, y) => [
        area.x + area.w / 2 + (x - (x0 + x1) / 2) * scale,
        area.y + area.h / 2 - (y - (y0 + y1) / 2) * scale,
      ];
      const spot = (who, loop, layer) => {
        const q = run(who, "points");
        return px(q.at(loop - 1, layer, s.token, 0), q.at(loop - 1, layer, s.token, 1));
      };
      const from = who => px(run(who, "start").at(s.token, 0), run(who, "start").at(s.token, 1));
      // One pass: from where the last one ended, through every layer.
      const pass = (who, loop) => [
        loop > 1 ? spot(who, loop - 1, layers - 1) : from(who),
        ...range(layers).map(layer => spot(who, loop, layer)),
      ];

      for (const layer of range(layers)) {         // where it all ends
        const [x, y] = spot("main", loops, layer);
        p.marker(layer, x, y, 11, { stroke: SOFT, width: 1, dash: [2, 2] });
      }
      for (let t = 1; t < s.loop; t++) {
        const age = s.loop - t, alpha = Math.max(0.18, 0.85 - 0.12 * age);
        p.line(pass("main", t), { colour: "#8a8a8a", width: 1, alpha });
      }
      for (let t = 1; t < s.loop; t++) for (const layer of range(layers)) {
        const [x, y] = spot("main", t, layer);
        p.marker(layer, x, y, 3, { fill: style(layer)[0], alpha: 0.55 });
      }
      const [sx, sy] = from("main");
      p.line([[sx - 4, sy - 4], [sx + 4, sy + 4]], { width: 2 });
      p.line([[sx - 4, sy + 4], [sx + 4, sy - 4]], { width: 2 });
      const flip = sx > area.x + area.w - 52;
      p.text("start", sx + (flip ? -8 : 8), sy, { size: 11, colour: SOFT, align: flip ? "right" : "left" });
      if (ghost && ghost.loop > 0) {
        const path = pass(ghost.who, ghost.loop);
        p.line(path, { colour: GHOST, width: 1.75, dash: [5, 4] });
        path.slice(1).forEach(([x, y], layer) =>
          p.marker(layer, x, y, 8, { fill: "#fff", stroke: GHOST, width: 2 }));
      }
      if (s.loop > 0) {
        const path = pass("main", s.loop);
        p.line(path, { colour: INK, width: 2 });
        path.slice(1).forEach(([x, y], layer) => {
          p.marker(layer, x, y, 8, { fill: style(layer)[0], stroke: "#fff", width: 1.5 });
          p.text(String(layer + 1), x, y + 0.5, { size: 10.5, bold: true, colour: "#fff", align: "center" });
        });
      }
      legend(p, panel, ghost, true);
    }

    function legend(p, panel, ghost, dots) {
      let x = panel.x + 7;
      const y = panel.y + panel.h - 9;
      if (layers <= 6) for (const layer of range(layers)) {
        const [colour, , dash] = style(layer);
        if (!dots) p.line([[x - 6, y], [x + 16, y]], { colour, width: 2, dash });
        p.marker(layer, x + (dots ? 0 : 5), y, 5, { fill: colour });
        x += dots ? 10 : 22;
        x += p.text(`layer ${layer + 1}`, x, y, { size: 12 }) + 18;
      }
      if (dots && x + 100 < panel.x + panel.w) {
        p.marker(0, x, y, 6, { stroke: SOFT, width: 1, dash: [2, 2] });
        x += 11 + p.text("fixed point", x + 11, y, { size: 12, colour: SOFT }) + 18;
      }
      if (ghost && x + 70 < panel.x + panel.w) {
        p.line([[x - 6, y], [x + 12, y]], { colour: GHOST, width: 2, dash: [5, 4] });
        p.text(ghost.name, x + 17, y, { size: 12, colour: GHOST, max: panel.x + panel.w - x - 17 });
      }
    }

    // 2. and 4. Lines on a log scale, one per layer.
    function drawLines(p, panel, s, ghost, channel, head, below) {
      const series = run("main", channel);
      p.title(panel, head, below);
      const area = { x: panel.x + 42, y: panel.y + 42, w: panel.w - 46, h: panel.h - 92 };
      const [low, high] = meta.ranges[channel];
      const sx = loop => area.x + (loop / loops) * area.w;
      const sy = v => area.y + ((high - v) / (high - low)) * area.h;
      const every = Math.ceil((high - low) / 6);
      for (let v = Math.ceil(low); v <= high; v += every) {
        p.line([[area.x, sy(v)], [area.x + area.w, sy(v)]], { colour: RULE, width: 0.75 });
        const w = p.text(String(v), area.x - 5, sy(v) - 4, { size: 9, colour: SOFT, align: "right" });
        p.text("10", area.x - 6 - w, sy(v), { size: 11, colour: SOFT, align: "right" });
      }
      if (channel === "distance" && meta.noise > low) {
        p.line([[area.x, sy(meta.noise)], [area.x + area.w, sy(meta.noise)]], { colour: SOFT, dash: [1, 3] });
        p.text(meta.noise_name, area.x + area.w - 4, sy(meta.noise) + 8, { size: 10.5, colour: SOFT, align: "right" });
      }
      p.box(area.x, area.y, area.w, area.h);
      const tick = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find(n => loops / n <= 8.5) || loops;
      for (let t = 0; t <= loops; t += tick) {
        p.line([[sx(t), area.y + area.h], [sx(t), area.y + area.h + 4]], { colour: SOFT });
        p.text(String(t), sx(t), area.y + area.h + 12, { size: 11, colour: SOFT, align: "center" });
      }
      p.text("loop", area.x + area.w, area.y + area.h + 26, { size: 11, colour: SOFT, align: "right" });

      p.ctx.save(); p.ctx.beginPath();
      p.ctx.rect(area.x - 1, area.y - 1, area.w + 2, area.h + 2); p.ctx.clip();
      if (other) for (const layer of range(layers)) {
        const q = run("other", channel), last = Math.min(loops, meta.other_loops);
        p.line(range(last + 1).map(t => [sx(t), sy(q.at(t, layer, s.token))]),
          { colour: GHOST, width: 1.25, dash: style(layer)[2], alpha: 0.7 });
      }
      for (const layer of range(layers)) {
        const [colour, , dash] = style(layer);
        const line = range(loops + 1).map(t => [sx(t), sy(series.at(t, layer, s.token))]);
        p.line(line, { colour, width: 1.5, dash, alpha: 0.35 });
        p.line(line.slice(0, s.loop + 1), { colour, width: 2.25, dash });
      }
      p.ctx.restore();
      if (s.held) p.line([[sx(s.held_loop), area.y], [sx(s.held_loop), area.y + area.h]],
        { colour: GHOST, width: 2, dash: [5, 4] });
      p.line([[sx(s.loop), area.y], [sx(s.loop), area.y + area.h]], { width: 1.25 });
      p.trace("down", sx(s.loop), area.y - 2, 6); p.ctx.fillStyle = INK; p.ctx.fill();
      for (const layer of range(layers)) {
        const v = series.at(s.loop, layer, s.token);
        if (Number.isFinite(v)) p.marker(layer, sx(s.loop), clamp(sy(v), area.y, area.y + area.h), 6,
          { fill: style(layer)[0], stroke: "#fff" });
      }
      legend(p, panel, ghost, false);
      return { ...area, kind: "loops" };
    }

    // Rows of a matrix: labels at the left, the chosen token marked, thinned out when too dense.
    function rows(p, area, size, s, side) {
      const skip = Math.ceil(11 / size);
      for (const t of range(tokens)) {
        const y = area.y + (t + 0.5) * size, chosen = t === s.token;
        if (!chosen && t % skip) continue;
        if (chosen) p.text("▸", area.x - 12, y, { size: 12, align: "center" });
        p.text(labels[t], area.x - 19, y, {
          size: Math.min(12, size + 2), bold: chosen, align: "right", max: side - 19,
          colour: chosen ? INK : SOFT,
        });
      }
    }
    function columns(p, area, size, list, bottom) {
      const wide = Math.max(...list.map(n => String(n).length)) * 7 + 4, skip = Math.ceil(wide / size);
      list.forEach((name, i) => {
        if (i % skip === 0) p.text(String(name), area.x + (i + 0.5) * size, bottom, { size: 11, colour: SOFT, align: "center" });
      });
    }
    const side = Math.min(96, 26 + 7 * Math.max(...labels.map(n => n.length)));

    // 3. What the model would answer if it stopped now.
    function drawAnswers(p, panel, s, ghost) {
      const split = ghost && has(ghost.who + (classes ? ".answers" : ".top"));
      p.title(panel, "What it would answer now", split
        ? `upper half: loop ${s.loop}; lower half: ${ghost.name}`
        : targets ? "darker: more likely; ring: the right answer" : "darker: more likely");
      const area = { x: panel.x + side, y: panel.y + 42, w: panel.w - side - 44, h: panel.h - 82 };
      const rowH = area.h / tokens;
      rows(p, area, rowH, s, side);
      if (classes) {
        const size = Math.min(area.w / classes, rowH * 1.7), q = run("main", "answers");
        const g = split && run(ghost.who, "answers");
        for (const t of range(tokens)) for (const c of range(classes)) {
          const x = area.x + c * size, y = area.y + t * rowH, v = q.at(s.loop, t, c);
          p.cell(x + 0.5, y + 0.5, size - 1, rowH - 1, shade(v, BLUE),
            split ? shadeBeside(v, g.at(ghost.loop, t, c), BLUE) : undefined);
          if (v >= 0.2 && size >= 26 && rowH >= 14 && !split) {
            p.text(String(Math.round(v * 100)), x + size / 2, y + rowH / 2 + 0.5,
              { size: 11, align: "center", colour: v > 0.55 ? "#fff" : INK });
          }
        }
        p.box(area.x, area.y, size * classes, rowH * tokens);
        if (targets) for (const t of range(tokens)) {
          p.ctx.save(); p.ctx.strokeStyle = INK; p.ctx.lineWidth = rowH > 10 ? 2 : 1;
          p.ctx.beginPath();
          p.ctx.roundRect(area.x + targets[t] * size + 1, area.y + t * rowH + 1, size - 2, rowH - 2, Math.min(7, rowH / 2));
          p.ctx.stroke(); p.ctx.restore();
        }
        columns(p, area, size, names, area.y + area.h + 10);
        marks(p, s, area.x + size * classes + 8, area.y, rowH);
        p.text("answer", area.x, area.y + area.h + 27, { size: 11, colour: SOFT });
        p.ramp(area.x + Math.min(size * classes, area.w) - 80, area.y + area.h + 23, 56, BLUE, "0", "100 %");
        return { ...area, w: size * classes, kind: "tokens" };
      }
      const top = run("main", "top"), likely = run("main", "top_p"), bar = area.w * 0.3;
      for (const t of range(tokens)) {
        const y = area.y + (t + 0.5) * rowH, size = Math.min(12, rowH + 2);
        p.cell(area.x, area.y + t * rowH + 1, bar * likely.at(s.loop, t, 0), rowH - 2, shade(0.75, BLUE));
        const list = range(top.shape[2]).map(i => names[top.at(s.loop, t, i)]).join("  ·  ");
        p.text(list, area.x + bar + 8, y, { size, bold: t === s.token, max: area.w - bar - 8 });
      }
      p.box(area.x, area.y, bar, rowH * tokens);
      marks(p, s, area.x + area.w + 6, area.y, rowH);
      p.text("0", area.x, area.y + area.h + 10, { size: 11, colour: SOFT });
      p.text("100 %", area.x + bar, area.y + area.h + 10, { size: 11, colour: SOFT, align: "right" });
      return { ...area, kind: "tokens" };
    }
    function marks(p, s, x, y, rowH) {
      if (!targets || rowH < 8) return;
      for (const t of range(tokens)) {
        const right = answer("main", s.loop, t).id === targets[t];
        p.text(right ? "✓" : "✗", x, y + (t + 0.5) * rowH, { size: Math.min(14, rowH), bold: true, colour: right ? "#00664b" : "#b34700" });
      }
      p.text(`${rightCount("main", s.loop)}/${tokens}`, x, y + tokens * rowH + 10, { size: 12, bold: true });
    }

    // 4. Attention of this loop: the row looks at the column.
    function drawAttention(p, panel, s, ghost) {
      const q = run("main", "attention"), heads = q.shape[2];
      const value = (who, loop, row, column) => {
        const a = run(who, "attention");
        if (s.head > 0 && heads > 1) return a.at(loop - 1, s.layer, s.head - 1, row, column);
        return range(heads).reduce((sum, h) => sum + a.at(loop - 1, s.layer, h, row, column), 0) / heads;
      };
      const split = ghost && ghost.loop > 0 && has(ghost.who + ".attention") && s.loop > 0;
      const which = s.head > 0 && heads > 1 ? `head ${s.head}` : "mean of heads";
      p.title(panel, `Attention in layer ${s.layer + 1}, ${which}`,
        s.loop === 0 ? "no attention before the first loop"
          : split ? `upper half: loop ${s.loop}; lower half: ${ghost.name}` : "the row's token looks at the column's");
      const area = { x: panel.x + side, y: panel.y + 42, w: panel.w - side - 8, h: panel.h - 82 };
      const size = area.h / tokens, wide = Math.min(area.w / tokens, size * 1.35);
      rows(p, area, size, s, side);
      const most = meta.attention_max[s.layer][heads > 1 ? s.head : 0] || 1;
      for (const row of range(tokens)) for (const column of range(tokens)) {
        const x = area.x + column * wide, y = area.y + row * size;
        const v = s.loop > 0 ? value("main", s.loop, row, column) : 0;
        p.cell(x + 0.5, y + 0.5, wide - 1, size - 1, shade(v / most, ORANGE),
          split ? shadeBeside(v / most, value(ghost.who, ghost.loop, row, column) / most, ORANGE) : undefined);
      }
      p.box(area.x, area.y, wide * tokens, size * tokens);
      p.box(area.x, area.y + s.token * size, wide * tokens, size, { colour: INK, width: 1.5 });
      columns(p, area, wide, labels, area.y + area.h + 10);
      p.ramp(area.x + wide * tokens - 90, area.y + area.h + 23, 56, ORANGE, "0", number(most));
      return { ...area, w: wide * tokens, kind: "tokens" };
    }

    function drawNothing(p, panel) {
      p.title(panel, "What it would answer now", "give the model as well to see its answers");
      p.box(panel.x, panel.y + 42, panel.w, panel.h - 66);
    }

    function paint(p, place, s) {
      const [a, b, c, d] = place.panels, ghost = ghostOf(s);
      drawCycle(p, a, s, ghost);
      const away = drawLines(p, b, s, ghost, "distance", "Distance to the fixed point", unit);
      const asked = has("main.answers") || has("main.top") ? drawAnswers(p, c, s, ghost) : drawNothing(p, c);
      const last = has("main.attention") ? drawAttention(p, d, s, ghost)
        : drawLines(p, d, s, ghost, "step", "Size of each step", "length of the step ÷ length of the state");
      place.zones = [away, asked, last].filter(Boolean);
    }

    function hit(place, x, y) {
      const zone = (place.zones || []).find(z => x >= z.x - 60 * (z.kind === "tokens") && x <= z.x + z.w && y >= z.y && y <= z.y + z.h);
      if (!zone) return null;
      if (zone.kind === "loops") return { loop: clamp(Math.round(((x - zone.x) / zone.w) * loops), 0, loops) };
      return { token: clamp(Math.floor(((y - zone.y) / zone.h) * tokens), 0, tokens - 1) };
    }
    return { layout, paint, words, hit, tokens };
  }

  // ---- frames: a slider over pictures -----------------------------------------------------------

  function frames(meta, data) {
    const { kinds, first } = meta, picture = data.frames;
    const [count, rowsN, columnsN] = picture.shape;
    const value = (loop, i, j) => picture.at(loop - first, i, j);
    const cells = range(rowsN).flatMap(i => range(columnsN).map(j => [i, j]));

    function words(s) {
      const all = cells.map(([i, j]) => value(s.loop, i, j));
      const changed = s.loop > first
        ? cells.filter(([i, j]) => value(s.loop, i, j) !== value(s.loop - 1, i, j)).length : 0;
      const said = [`Loop ${s.loop} of ${first + count - 1}:`];
      if (meta.captions) said.push(meta.captions[s.loop - first]);
      else if (kinds) {
        const told = kinds.map((k, n) => [k.name, all.filter(v => v === n).length]).filter(([, n]) => n);
        said.push(told.map(([name, n]) => `${name} ${n}`).join(", ") + ".");
        if (s.loop > first) said.push(`${changed} of ${all.length} cells changed since loop ${s.loop - 1}.`);
      } else {
        const known = all.filter(Number.isFinite);
        said.push(`smallest ${number(Math.min(...known))}, largest ${number(Math.max(...known))}.`);
      }
      if (s.held) said.push(`Held beside it, loop ${s.held_loop}.`);
      return said.join(" ");
    }

    function layout(width) {
      const besides = width >= 520, legendW = besides ? 250 : 0;
      const size = clamp(Math.min((width - legendW - 8) / columnsN, 440 / rowsN), 4, 64);
      const legendH = besides ? 0 : 24 * (kinds ? kinds.length : 1) + 16;
      const total = size * columnsN + legendW, x = Math.max(2, (width - total) / 2);
      return { height: Math.max(size * rowsN + 44 + legendH, besides ? 60 + 26 * (kinds ? kinds.length : 1) : 0), x, size, besides };
    }

    function fill(kind) { return kind ? kind.colour : "#fff"; }
    function hatch(p, x, y, w, h, kind) {
      if (!kind || !kind.hatch) return;
      p.ctx.save(); p.ctx.beginPath(); p.ctx.rect(x, y, w, h); p.ctx.clip();
      const gap = Math.max(4, w / 5);
      for (let o = -h; o < w; o += gap) p.line([[x + o, y + h], [x + o + h, y]], { colour: "#fff", width: 1.2, alpha: 0.75 });
      p.ctx.restore();
    }
    const inkOn = colour => {
      const [r, g, b] = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
      return 0.299 * r + 0.587 * g + 0.114 * b < 140 ? "#fff" : INK;
    };
    const rgbOf = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));

    function paint(p, place, s) {
      const { x: left, size, besides } = place, top = 32;
      p.text(meta.title, left, 9, { size: 14, bold: true });
      const w = size * columnsN, h = size * rowsN, scale = v => (v - meta.low) / (meta.high - meta.low || 1);
      for (const [i, j] of cells) {
        const x = left + j * size, y = top + i * size, v = value(s.loop, i, j);
        const before = s.held ? value(s.held_loop, i, j) : undefined;
        if (kinds) {
          const kind = kinds[v];
          p.cell(x + 0.5, y + 0.5, size - 1, size - 1, fill(kind), s.held && before !== v ? fill(kinds[before]) : undefined);
          if (!(s.held && before !== v)) hatch(p, x + 0.5, y + 0.5, size - 1, size - 1, kind);
          if (kind.mark && size >= 11) {
            const inner = s.held && before !== v;
            p.text(kind.mark, x + size * (inner ? 0.3 : 0.5), y + size * (inner ? 0.32 : 0.53),
              { size: size * (inner ? 0.36 : 0.52), bold: true, align: "center", colour: inkOn(kind.colour) });
          }
        } else {
          const rgb = rgbOf(meta.colour);
          p.cell(x + 0.5, y + 0.5, size - 1, size - 1, shade(scale(v), rgb), s.held ? shadeBeside(scale(v), scale(before), rgb) : undefined);
          if (size >= 34 && !s.held) p.text(v.toFixed(2), x + size / 2, y + size / 2, { size: 11, align: "center", colour: scale(v) > 0.55 ? "#fff" : INK });
        }
      }
      p.box(left, top, w, h, { colour: SOFT });
      const lx = besides ? left + w + 28 : left, ly = besides ? top + 8 : top + h + 20;
      if (kinds) kinds.forEach((kind, n) => {
        const y = ly + n * 26, number = cells.filter(([i, j]) => value(s.loop, i, j) === n).length;
        p.cell(lx, y - 9, 18, 18, kind.colour); hatch(p, lx, y - 9, 18, 18, kind);
        p.box(lx, y - 9, 18, 18, { colour: SOFT });
        if (kind.mark) p.text(kind.mark, lx + 9, y + 0.5, { size: 12, bold: true, align: "center", colour: inkOn(kind.colour) });
        p.text(`${kind.name}: ${number}`, lx + 27, y, { size: 13, max: 215 });
      });
      else p.ramp(lx + 40, ly, 100, rgbOf(meta.colour), number(meta.low), number(meta.high));
      if (s.held && kinds) p.text(`lower half of a cell: loop ${s.held_loop}`, lx, ly + kinds.length * 26 + 4, { size: 12, colour: GHOST });
      else if (s.held) p.text(`lower half of a cell: loop ${s.held_loop}`, lx, ly + 30, { size: 12, colour: GHOST });
    }
    return { layout, paint, words, hit: () => null, tokens: 0 };
  }

  // ---- plane: a slider over points in a plane ---------------------------------------------------

  function plane(meta, data) {
    const { names, kinds, captions, circle, path, extent: [x0, x1, y0, y1] } = meta, cloud = data.points;
    const [, , , count, points] = cloud.shape;
    const chosen = s => [s.token, s.layer, s.head];

    function words(s) {
      const [a, b, c] = chosen(s), said = [captions[a][b][c][s.loop - meta.first]];
      if (s.held) said.push(`Held beside it, ${meta.slider} ${s.held_loop}: ${captions[a][b][c][s.held_loop - meta.first]}`);
      return said.join(" ");
    }

    function layout(width) {
      const besides = width >= 620 && names.length > 0, legendW = besides ? 200 : 0;
      const w = Math.min(width - legendW - 60, 560), h = clamp((w * (y1 - y0)) / (x1 - x0), 160, 430);
      const scale = Math.min(w / (x1 - x0), h / (y1 - y0));
      return { height: h + 92 + (besides || !names.length ? 0 : 24 * names.length), w: scale * (x1 - x0), h: scale * (y1 - y0),
        x: Math.max(46, (width - legendW - w) / 2), scale, besides };
    }

    function paint(p, place, s) {
      const { x: left, w, h, scale, besides } = place, top = 34;
      const at = (n, i) => {
        const k = [...chosen(s), n - meta.first, i];
        return [left + (cloud.at(...k, 0) - x0) * scale, top + (y1 - cloud.at(...k, 1)) * scale];
      };
      p.text(meta.title, left, 11, { size: 14, bold: true });
      p.box(left, top, w, h);
      p.ctx.save(); p.ctx.beginPath(); p.ctx.rect(left, top, w, h); p.ctx.clip();
      const [ox, oy] = [left - x0 * scale, top + y1 * scale];
      p.line([[left, oy], [left + w, oy]], { colour: RULE }); p.line([[ox, top], [ox, top + h]], { colour: RULE });
      if (circle) { p.ctx.strokeStyle = SOFT; p.ctx.lineWidth = 1.25; p.ctx.beginPath(); p.ctx.arc(ox, oy, scale, 0, 7); p.ctx.stroke(); }
      const shown = n => range(points).map(i => at(n, i));
      if (s.held) {
        if (path) p.line(shown(s.held_loop), { colour: GHOST, dash: [5, 4] });
        shown(s.held_loop).forEach(([x, y], i) => { if (Number.isFinite(x)) p.marker(kinds[i], x, y, 6, { stroke: GHOST, width: 2 }); });
      }
      const here = shown(s.loop);
      if (path) p.line(here, { colour: "#8a8a8a", width: 1 });
      here.forEach(([x, y], i) => {
        if (!Number.isFinite(x)) return;
        const late = path ? 0.25 + (0.75 * i) / Math.max(1, points - 1) : 1;
        p.marker(kinds[i], x, y, path && i < points - 1 ? 3.5 : 7, { fill: style(kinds[i])[0], stroke: "#fff", width: 1, alpha: late });
      });
      p.ctx.restore();
      for (const [v, text] of [[x0, number], [x1, number]]) p.text((v < 0 ? "−" : "") + text(Math.abs(v)), left + (v - x0) * scale, top + h + 12, { size: 11, colour: SOFT, align: "center" });
      for (const v of [y0, y1]) p.text((v < 0 ? "−" : "") + number(Math.abs(v)), left - 6, top + (y1 - v) * scale, { size: 11, colour: SOFT, align: "right" });
      p.text(meta.axes[0], left + w / 2, top + h + 14, { size: 12, colour: SOFT, align: "center" });
      if (meta.axes[1]) {
        p.ctx.save(); p.ctx.translate(left - 32, top + h / 2); p.ctx.rotate(-Math.PI / 2);
        p.text(meta.axes[1], 0, 0, { size: 12, colour: SOFT, align: "center" }); p.ctx.restore();
      }
      names.forEach((name, n) => {
        const lx = besides ? left + w + 26 : left + 8, ly = besides ? top + 12 + n * 24 : top + h + 40 + n * 24;
        p.marker(n, lx, ly, 6, { fill: style(n)[0] });
        p.text(name, lx + 16, ly, { size: 13, max: besides ? 180 : w });
      });
      if (s.held) p.text(`outlined: ${meta.slider} ${s.held_loop}`, left, top + h + 32, { size: 12, colour: GHOST });
    }
    return { layout, paint, words, hit: () => null, tokens: 0 };
  }

  // ---- one view: canvas, keyboard, words ----------------------------------------------------------

  const CSS = `
    .looplab-box { background: #fff; color: ${INK}; color-scheme: light; padding: 12px 14px 8px;
      border-radius: 6px; font: 13px/1.45 ${FONT}; box-sizing: border-box; }
    .looplab-canvas { display: block; width: 100%; border-radius: 4px; touch-action: manipulation; }
    .looplab-canvas:focus { outline: 3px solid #0072B2; outline-offset: 3px; }
    .looplab-words { margin: 10px 0 2px; min-height: 2.9em; color: ${INK}; }
    .looplab-live { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
    .looplab-bar { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; margin-bottom: 10px; }
    .looplab-bar input[type=range] { flex: 1 1 110px; min-width: 0; height: 28px; accent-color: #0072B2; }
    .looplab-bar button, .looplab-bar select { font: inherit; min-height: 32px; padding: 3px 11px; max-width: 100%;
      color: ${INK}; background: #f2f2f2; border: 1px solid #767676; border-radius: 4px; }
    .looplab-bar button:not(:disabled), .looplab-bar select { cursor: pointer; }
    .looplab-bar button:disabled { color: #6e6e6e; border-color: #c4c4c4; }
    .looplab-faults button:disabled { text-decoration: line-through; }
    .looplab-top { position: sticky; top: var(--looplab-top, 0); z-index: 1; background: #fff; padding: 6px 0; margin: -6px 0 4px; }
    .looplab-box .looplab-box { padding: 0; }
    .looplab-bar :focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
    .looplab-bar output { min-width: 2.2em; text-align: right; font-variant-numeric: tabular-nums; }
    .looplab-bar label { display: inline-flex; gap: 6px; align-items: center; max-width: 100%; }
    .looplab-wide { overflow-x: auto; margin-bottom: 10px; }
    .looplab-wide img { display: block; max-width: 100%; min-width: min(640px, 200%); }`;

  // state: () => {loop, token, layer, head, held, held_loop}; change(patch) stores what the user did.
  function view(root, meta, bytes, state, change) {
    const data = unpack(meta.layout, bytes);
    const painter = { microscope, frames, plane }[meta.kind](meta, data);
    const box = document.createElement("div");
    box.className = "looplab-box";
    box.innerHTML = `<style>${CSS}</style><canvas class="looplab-canvas" tabindex="0" role="slider"></canvas>` +
      '<p class="looplab-words"></p><p class="looplab-live" role="status" aria-live="polite"></p>';
    root.append(box);
    const canvas = box.querySelector("canvas"), ctx = canvas.getContext("2d"), p = pen(ctx);
    const said = box.querySelector(".looplab-words"), live = box.querySelector(".looplab-live");
    canvas.setAttribute("aria-label", meta.title + ". Arrow keys, Page Up, Page Down, Home and End change the " + meta.slider +
      (painter.tokens ? ", up and down the token, H holds." : ", H holds."));
    canvas.setAttribute("aria-valuemin", meta.first);
    canvas.setAttribute("aria-valuemax", meta.last);
    let place = null, width = 0, ratio = 0, quiet = 0;

    function draw() {
      const now = Math.floor(canvas.clientWidth);
      if (!now) return;                                     // not on the page yet
      if (now !== width || ratio !== window.devicePixelRatio) {
        width = now; ratio = window.devicePixelRatio || 1;
        place = painter.layout(width);
        canvas.style.height = place.height + "px";
        canvas.width = Math.round(width * ratio); canvas.height = Math.round(place.height * ratio);
      }
      const s = state();
      ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
      ctx.fillStyle = "#fff"; ctx.fillRect(0, 0, width, place.height);
      painter.paint(p, place, s);
      const sentence = painter.words(s);
      said.textContent = sentence;
      canvas.dataset.loop = s.loop;
      canvas.setAttribute("aria-valuenow", s.loop);
      canvas.setAttribute("aria-valuetext", `${meta.slider} ${s.loop} of ${meta.last}`);
      clearTimeout(quiet);                                  // spoken once it rests: play would flood it
      quiet = setTimeout(() => { live.textContent = sentence; }, 500);
    }

    const page = Math.max(2, Math.round((meta.last - meta.first) / 8));
    canvas.addEventListener("keydown", e => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key.length === 1) e.stopPropagation();          // a letter is a command to JupyterLab: "d d" deletes
      const s = state();
      const loop = { ArrowRight: s.loop + 1, ArrowLeft: s.loop - 1, PageUp: s.loop + page, PageDown: s.loop - page,
        Home: meta.first, End: meta.last }[e.key];
      const token = painter.tokens ? { ArrowDown: s.token + 1, ArrowUp: s.token - 1 }[e.key] : undefined;
      const arrow = e.key.startsWith("Arrow");
      if (!arrow && loop === undefined && token === undefined && e.key.toLowerCase() !== "h") return;
      e.preventDefault(); e.stopPropagation();              // or JupyterLab moves to another cell
      if (loop !== undefined) change({ loop: clamp(loop, meta.first, meta.last) });
      else if (token !== undefined) change({ token: clamp(token, 0, painter.tokens - 1) });
      else if (!arrow) change({ held: !s.held });
    });
    let dragging = false;
    const point = e => {
      const r = canvas.getBoundingClientRect();
      return place && painter.hit(place, e.clientX - r.left, e.clientY - r.top);
    };
    canvas.addEventListener("pointerdown", e => {
      const patch = point(e);
      if (!patch) return;
      dragging = "loop" in patch; change(patch);
    });
    canvas.addEventListener("pointermove", e => {
      const patch = point(e);
      canvas.style.cursor = patch ? "pointer" : "default";
      if (dragging && patch && "loop" in patch && e.buttons) change(patch);
    });
    const stop = () => { dragging = false; };
    canvas.addEventListener("pointerup", stop);
    canvas.addEventListener("pointerleave", stop);
    const watch = new ResizeObserver(draw);
    watch.observe(canvas);
    draw();
    return { draw, close() { watch.disconnect(); clearTimeout(quiet); box.remove(); } };
  }

  // The edition without Jupyter: the same view under plain HTML controls. speeds: name -> ms.
  function standalone(root, meta, bytes, start, speeds) {
    const s = { ...start };
    const make = (tag, properties = {}, ...inside) => {
      const el = Object.assign(document.createElement(tag), properties);
      el.append(...inside);
      return el;
    };
    const menu = (name, list) => {
      const select = make("select", {}, ...list.map((o, i) => make("option", { value: i, textContent: o })));
      more.append(make("label", {}, name + " ", select));
      return select;
    };
    const play = make("button", { type: "button", textContent: "Play" });
    const slider = make("input", { type: "range", min: meta.first, max: meta.last });
    const number = make("output"), hold = make("button", { type: "button", textContent: "Hold" });
    slider.setAttribute("aria-label", `${meta.slider}: ${meta.title}`);
    // On a phone the picture is taller than the screen: the slider stays in sight.
    const bar = make("div", { className: "looplab-bar looplab-top" }, play, slider, number, hold);
    const more = make("div", { className: "looplab-bar" }), shell = make("div", { className: "looplab-box" }, bar, more);
    const pace = menu("speed", Object.keys(speeds)), menus = {};
    pace.value = 1;
    for (const [name, [called, list]] of Object.entries(meta.menus)) if (list.length > 1) {
      menus[name] = menu(called, list);
      menus[name].addEventListener("change", () => change({ [name]: +menus[name].value }));
    }
    root.append(shell);

    let timer = 0, shown = null;
    function change(patch) {
      if ("held" in patch && patch.held !== s.held) s.held_loop = patch.held ? s.loop : -1;
      Object.assign(s, patch);
      slider.value = s.loop; number.textContent = s.loop;
      slider.setAttribute("aria-valuetext", `${meta.slider} ${s.loop} of ${meta.last}`);
      hold.textContent = s.held ? "Release" : "Hold";
      for (const name of Object.keys(menus)) menus[name].value = s[name];
      if (shown) shown.draw();
    }
    const pause = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    const run = () => {
      clearInterval(timer);
      play.textContent = "Pause";
      timer = setInterval(() => {
        if (s.loop >= meta.last) pause(); else change({ loop: s.loop + 1 });
      }, Object.values(speeds)[pace.value]);
    };
    play.addEventListener("click", () => {
      if (timer) return pause();
      if (s.loop >= meta.last) change({ loop: meta.first });
      run();
    });
    pace.addEventListener("change", () => { if (timer) run(); });
    hold.addEventListener("click", () => change({ held: !s.held }));
    slider.addEventListener("input", () => change({ loop: +slider.value }));
    slider.addEventListener("keydown", e => {               // in a notebook the arrows would change the cell
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[e.key];
      if (step === undefined || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault(); e.stopPropagation();
      change({ loop: clamp(s.loop + step, meta.first, meta.last) });
    });
    shown = view(shell, meta, bytes, () => s, change);
    change({});
  }
  // How a page fills a block that embed.py wrote, by the block's kind; more kinds may be added.
  const makers = {
    stepper: (el, { data, meta, start, speeds }) =>
      standalone(el, meta, Uint8Array.from(atob(data), c => c.charCodeAt(0)), start, speeds),
  };
  return { view, makers };
})();

// The pen: the few strokes that every picture is made of.
(() => {
  const { INK, SOFT, RULE, GHOST, FONT, range, shade, style } = looplab;

  // How a marker of unit size is drawn: corners, size, angle of the first corner.
  const POLYGONS = {
    square: [4, 0.886, Math.PI / 4], diamond: [4, 1.2, 0], up: [3, 1.2, -Math.PI / 2],
    down: [3, 1.2, Math.PI / 2], hexagon: [6, 1.05, 0],
  };

  // ctx: a canvas's 2d context. Lengths are CSS pixels, colours are CSS colours.
  function pen(ctx) {
    const strokes = {
      ctx,
      // Returns the width of what was written; what is wider than `max` ends in "…".
      text(text, x, y, options = {}) {
        const { size = 12, bold = false, colour = INK, align = "left", max } = options;
        ctx.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
        ctx.fillStyle = colour; ctx.textAlign = align; ctx.textBaseline = "middle";
        if (max !== undefined && ctx.measureText(text).width > max) {
          while (text.length > 1 && ctx.measureText(text + "…").width > max) {
            text = text.slice(0, -1);
          }
          text += "…";
        }
        ctx.fillText(text, x, y);
        return ctx.measureText(text).width;
      },
      // points: [[x, y], ...]; a missing y breaks the line.
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
      // The outline of a marker, ready to be filled or stroked.
      trace(shape, x, y, r) {
        ctx.beginPath();
        if (shape === "circle") ctx.arc(x, y, r, 0, 7);
        else if (shape === "star") {
          for (const i of range(10)) {
            const a = -Math.PI / 2 + (i * Math.PI) / 5, q = r * (i % 2 ? 0.55 : 1.3);
            ctx.lineTo(x + q * Math.cos(a), y + q * Math.sin(a));
          }
        } else {
          const [corners, grow, turn] = POLYGONS[shape];
          for (const i of range(corners)) {
            const a = turn + (i * 2 * Math.PI) / corners;
            ctx.lineTo(x + grow * r * Math.cos(a), y + grow * r * Math.sin(a));
          }
        }
        ctx.closePath();
      },
      marker(layer, x, y, r, { fill, stroke, width = 1.5, alpha = 1, dash = [] } = {}) {
        ctx.save(); ctx.globalAlpha = alpha; ctx.setLineDash(dash);
        strokes.trace(style(layer)[1], x, y, r);
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
        strokes.line([[x + w, y], [x, y + h]], { colour: GHOST, width: 0.75, alpha: 0.6 });
      },
      box(x, y, w, h, { colour = RULE, width = 1 } = {}) {
        ctx.save(); ctx.strokeStyle = colour; ctx.lineWidth = width;
        ctx.strokeRect(x, y, w, h); ctx.restore();
      },
      // Draws nothing outside the box until `unclip`.
      clip(x, y, w, h) {
        ctx.save(); ctx.beginPath(); ctx.rect(x, y, w, h); ctx.clip();
      },
      unclip() { ctx.restore(); },
      // The scale of shades, with the numbers at its two ends.
      ramp(x, y, w, rgb, low, high) {
        for (const i of range(24)) {
          ctx.fillStyle = shade(i / 23, rgb); ctx.fillRect(x + (i * w) / 24, y, w / 24 + 0.5, 8);
        }
        strokes.box(x, y, w, 8, { colour: SOFT, width: 0.75 });
        strokes.text(low, x - 5, y + 4.5, { size: 11, colour: SOFT, align: "right" });
        strokes.text(high, x + w + 5, y + 4.5, { size: 11, colour: SOFT });
      },
      title(panel, head, below) {
        strokes.text(head, panel.x, panel.y + 9, { size: 14, bold: true, max: panel.w });
        strokes.text(below, panel.x, panel.y + 27, { size: 12, colour: SOFT, max: panel.w });
      },
    };
    return strokes;
  }

  Object.assign(looplab, { pen });
})();

// Around a matrix of tokens: the names of its rows and of its columns.
(() => {
  const { INK, SOFT, range } = looplab;

  // Pixels that the rows' names take at the left.
  const sideOf = labels => Math.min(96, 26 + 7 * Math.max(...labels.map(name => name.length)));

  // Labels at the left, the chosen token marked, thinned out when too dense.
  function nameRows(pen, area, size, labels, chosen) {
    const skip = Math.ceil(11 / size);
    for (const t of range(labels.length)) {
      const y = area.y + (t + 0.5) * size, here = t === chosen;
      if (!here && t % skip) continue;
      if (here) pen.text("▸", area.x - 12, y, { size: 12, align: "center" });
      pen.text(labels[t], area.x - 19, y, {
        size: Math.min(12, size + 2), bold: here, align: "right", max: sideOf(labels) - 19,
        colour: here ? INK : SOFT,
      });
    }
  }

  function nameColumns(pen, area, size, names, y) {
    const wide = Math.max(...names.map(name => String(name).length)) * 7 + 4;
    const skip = Math.ceil(wide / size), look = { size: 11, colour: SOFT, align: "center" };
    names.forEach((name, i) => {
      if (i % skip === 0) pen.text(String(name), area.x + (i + 0.5) * size, y, look);
    });
  }

  Object.assign(looplab, { sideOf, nameRows, nameColumns });
})();

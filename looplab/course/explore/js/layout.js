// Where each node of a forest stands, as `lay_out` of looplab/widgets/forest.py has it.
(() => {
  const { range } = looplab;
  const COLOURS = ["#56B4E9", "#E69F00", "#CC79A7", "#0072B2", "#009E73", "#D55E00"];
  const OTHER = "#E6E6E6", BETWEEN_LEAVES = 1.5, BETWEEN_TREES = 0.3;

  // parents: index of each node's parent; a root is its own. Returns what drawForest draws, and
  // for each node its depth and its root. Throws where the parents lead round a circle.
  function layOut(parents, labels) {
    const children = parents.map(() => []), roots = [], height = [], spots = [], root = [];
    parents.forEach((parent, node) => (parent === node ? roots : children[parent]).push(node));
    const measure = (node, top) => {
      root[node] = top;
      height[node] = 1 + Math.max(0, ...children[node].map(child => measure(child, top)));
      return height[node];
    };
    roots.forEach(node => measure(node, node));
    if (Object.keys(root).length < parents.length) throw new Error(
      "these parents lead round a circle: every node needs a way to a root");
    const tallest = nodes => [...nodes].sort((a, b) => height[b] - height[a]);

    let free = 0;                                // the next column for a leaf
    const place = (node, depth) => {
      spots[node] = [0, depth];
      const columns = tallest(children[node]).map(child => place(child, depth + 1));
      if (!columns.length) { columns.push(free); free += BETWEEN_LEAVES; }
      return spots[node][0] = (columns[0] + columns.at(-1)) / 2;
    };
    for (const node of tallest(roots)) { place(node, 0); free += BETWEEN_TREES; }
    return {
      parents, spots, root, other: OTHER, depth: spots.map(([, depth]) => depth),
      colours: tallest(roots).map((node, n) => [labels[node], COLOURS[n % COLOURS.length]]),
    };
  }

  // The same trees in as many rows as let their nodes be largest on `width` by `height` pixels.
  function inRows(forest, width, height) {
    const { root, spots } = forest, trees = new Map();
    root.forEach((top, node) => trees.set(top, [...(trees.get(top) ?? []), node]));
    const sides = [...trees.values()].map(nodes => {
      const across = nodes.map(node => spots[node][0]);
      return { nodes, left: Math.min(...across), right: Math.max(...across),
        deep: Math.max(...nodes.map(node => spots[node][1])) };
    }).sort((a, b) => a.left - b.left);
    const total = sides.at(-1).right;
    let best = { step: 0, spots };
    for (const rows of range(Math.min(4, sides.length)).map(n => n + 1)) {
      const moved = [], most = total / rows + BETWEEN_LEAVES / 2;
      let x = 0, y = 0, deep = 0, wide = 0;
      for (const { nodes, left, right, deep: own } of sides) {
        if (x > 0 && x + right - left > most) { x = 0; y += deep + 1.2; deep = 0; }
        for (const node of nodes) moved[node] = [x + spots[node][0] - left, y + spots[node][1]];
        wide = Math.max(wide, x + right - left);
        x += right - left + BETWEEN_LEAVES + BETWEEN_TREES;
        deep = Math.max(deep, own);
      }
      const step = Math.min(width / (1.5 + wide), height / (1.1 + y + deep), 48);
      if (step > 1.05 * best.step) best = { step, spots: moved };
    }
    return { ...forest, spots: best.spots };
  }

  // Whether `node` stands above `other`, or is it: then it cannot hang under it.
  const above = (parents, node, other) => {
    for (const _ of range(parents.length)) {
      if (other === node) return true;
      other = parents[other];
    }
    return false;
  };

  Object.assign(looplab, { layOut, inRows, above });
})();

// Design a loop: the run of one random stack, and pictures of many that fill themselves.
(() => {
  const { PATH, SOFT, clamp, drawSteps, ends, explore, number, range, stack, style } = looplab;
  const { find, make, tell } = explore;
  const { placements, injections, shape, rules, seeds, diagram: meta } =
    JSON.parse(find("given").textContent);
  const LOOPS = 128, LATE = 32, SLICE = 8;     // SLICE: milliseconds of work between two pauses
  const norms = Object.keys(placements), gains = meta.gains.map(Number);
  const NAMES = {
    cycle: () => "It rests", degenerate: () => "All its layers are in one place",
    orbit: ({ period }) => `It tours, and is back after ${period} loops`,
    "no rest": () => "It wanders", explodes: () => "It explodes",
  };
  const many = layers => `${layers} layer${layers > 1 ? "s" : ""}`;
  const design = { norm: "Huginn", injection: "half-half", gain: 1, layers: 4, seed: 0 };
  const view = { token: 5, close: false };
  let diagram = null, run = null;                   // run: { design, states, end, turns, plane }

  // --- work, a slice at a time -------------------------------------------------------------------

  // Plain loops in this thread, and not a worker, which a page opened from a disk may not start.
  const thrown = new Map();                         // weights of "seed, layers", the last few
  function weights({ seed, layers }) {
    const key = `${seed}, ${layers}`;
    if (!thrown.has(key)) {
      if (thrown.size > seeds) thrown.delete(thrown.keys().next().value);
      thrown.set(key, stack.draw({ seed, depth: layers }, shape));
    }
    return thrown.get(key);
  }
  const pause = () => new Promise(resolve => setTimeout(resolve));

  // States [loop][layer, token, width] of a design; null if `stale` says so on the way.
  async function pass(one, stale = () => false) {
    const passes = stack.loops(
      { ...one, placement: placements[one.norm], depth: one.layers }, weights(one), shape);
    const states = [];
    let since = performance.now();
    while (states.length < LOOPS) {
      states.push(passes.next().value);
      if (performance.now() - since < SLICE) continue;
      await pause();
      if (stale()) return null;
      since = performance.now();
    }
    return states;
  }

  // The reader's own design comes first, then cells of the diagram, the nearest ones first.
  let wanted = null, busy = false;
  const inSight = { forks: false, diagram: false };
  async function work() {
    if (busy) return;
    busy = true;
    for (;;) {
      if (wanted) {
        const own = wanted;
        wanted = null;
        accept(own, await pass(own));
      } else {
        const gain = inSight.forks ? nextGain() : null;
        const one = gain ?? (inSight.diagram ? nextCell() : null);
        if (!one) break;
        const states = await pass(one, () => wanted !== null);
        if (states && gain) enterGain(one, states);
        else if (states) enter(one, ends(states, shape, rules));
      }
      await pause();
    }
    busy = false;
  }
  function watch(name) {
    new IntersectionObserver(seen => {
      inSight[name] = seen.at(-1).isIntersecting;
      work();
    }).observe(find(name));
  }

  // --- the reader's own run ----------------------------------------------------------------------

  const { tokens, width } = shape, size = tokens * width;
  function accept(own, states) {
    const end = ends(states, shape, rules);
    const ways = states.map(all => looplab.directions(all.subarray(-size), width));
    const turns = range(LOOPS).map(n => range(tokens).map(token =>
      (n ? looplab.apart(ways[n], ways[n - 1], token * width, width) : NaN)));
    run = { design: own, states, end, turns };
    find("status").dataset.state = "ready";
    look();
    show();
  }

  // The token's path in the plane in which it spreads most, [loop][layer] -> [x, y]; a path that
  // leaves every scale is cut there.
  function look() {
    const { states, design: { layers } } = run, at = view.token * width;
    const row = (all, layer) => all.subarray(layer * size + at, layer * size + at + width);
    const there = states.findIndex(all => !all.every(x => Math.abs(x) < 1e150));
    const kept = states.slice(0, there < 0 ? LOOPS : there);
    const late = view.close ? kept.slice(-LATE) : kept;
    const rows = late.flatMap(all => range(layers).map(layer => row(all, layer)));
    const longest = Math.max(...rows.map(one => Math.hypot(...one)));
    const { mean, axes } = plane(rows.map(one => one.map(x => x / longest)));
    // What explodes is seen from the origin, since it is drawn on another scale in every loop.
    if (run.end.kind === "explodes") mean.fill(0);
    const spot = one => axes.map(axis =>
      axis.reduce((sum, a, i) => sum + a * (one[i] / longest - mean[i]), 0));
    const points = kept.map(all => range(layers).map(layer => spot(row(all, layer))));
    const shown = points.slice(-late.length).flat();
    run.plane = { points, first: kept.length - late.length, reach: reachOf(shown) };
  }

  // Never closer than a thousandth of the state's length: what is smaller is one point.
  const reachOf = (points, least = 5e-4) => Math.max(least, ...points.flat().map(Math.abs));

  // The mean of vectors and the two directions in which they differ most, by powers of their
  // covariance.
  function plane(rows) {
    const mean = range(width).map(i => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
    const off = rows.map(row => row.map((x, i) => x - mean[i]));
    const cover = range(width).map(i => range(width).map(j =>
      off.reduce((sum, row) => sum + row[i] * row[j], 0)));
    const axes = [];
    for (const turn of range(2)) {
      let axis = range(width).map(i => Math.cos(i * (turn + 1)) + 0.01);
      for (let n = 0; n < 80; n += 1) {
        axis = cover.map(line => line.reduce((sum, c, i) => sum + c * axis[i], 0));
        for (const other of axes) {
          const along = axis.reduce((sum, a, i) => sum + a * other[i], 0);
          axis = axis.map((a, i) => a - along * other[i]);
        }
        const length = Math.hypot(...axis) || 1;
        axis = axis.map(a => a / length);
      }
      axes.push(axis);
    }
    return { mean, axes };
  }

  const path = explore.stage(find("path"), {
    layout: wide => Math.min(wide, 480) + 24, paint: paintPath });
  const steps = explore.stage(find("steps"), { layout: () => 330, paint: paintSteps });

  function paintPath(pen, wide) {
    if (!run) return;
    const side = Math.min(wide, 480) - 16, x0 = (wide - side) / 2, y0 = 8;
    const { points, first } = run.plane, { layers } = run.design, now = player.loop - 1;
    const upTo = Math.min(now + 1, points.length), from = Math.min(first, Math.max(0, upTo - 1));
    const past = points.slice(from, upTo);
    const reach = run.end.kind === "explodes" ? reachOf(past.flat(), 1e-300) : run.plane.reach;
    const scale = (0.46 * side) / reach;
    const at = ([x, y]) => [x0 + side / 2 + scale * x, y0 + side / 2 - scale * y];
    pen.box(x0, y0, side, side);
    pen.clip(x0, y0, side, side);
    pen.line(past.flat().map(at), { colour: PATH, width: 0.75, alpha: 0.65 });
    past.forEach((loop, n) => loop.forEach((point, layer) => {
      const [x, y] = at(point), last = n === past.length - 1, late = past.length - n <= LATE;
      pen.marker(layer, x, y, last ? 6.5 : late ? 3.2 : 2,
        { fill: style(layer)[0], stroke: last ? "#fff" : undefined,
          alpha: last ? 1 : late ? 0.75 : 0.35 });
    }));
    pen.unclip();
    const cut = points.length < LOOPS && now >= points.length
      ? `beyond every scale from loop ${points.length + 1} on` : "";
    const key = `${layers > 1 ? `marks: layers 1 to ${layers}; ` : ""}large: loop ${player.loop}`;
    pen.text(cut || key, wide / 2, y0 + side + 8,
      { size: 11, colour: SOFT, align: "center", max: wide - 8 });
    find("path").setAttribute("aria-label", `The path of token ${view.token + 1} through ${layers} ` +
      `layers up to loop ${player.loop}. ${NAMES[run.end.kind](run.end)}.`);
  }

  // On a scale of powers of ten, from 1e-17 to 1.
  function paintSteps(pen, wide, high) {
    if (!run) return;
    const height = size => clamp((Math.log10(size) + 17) / 17, 0, 1.02);
    const lines = [
      [`token ${view.token + 1}`, 0, n => height(run.turns[n][view.token])],
      ["median of tokens", 1, n => height(looplab.median(run.turns[n]))],
    ];
    const ticks = [[1, "1"], [1e-4, "1e-4"], [1e-8, "1e-8"], [1e-12, "1e-12"], [2.2e-16, "floor"]];
    drawSteps(pen, { x: 8, y: 6, w: wide - 20, h: high - 8 },
      { first: 1, last: LOOPS, slider: "loop", every: 32 }, { loop: player.loop, held: false },
      "How far each loop turns the state", "directions; floor: rounding",
      lines, ticks.map(([turn, text]) => [height(turn), text]));
    const turned = loop => number(run.turns[loop - 1][view.token]);
    find("steps").setAttribute("aria-label", `Token ${view.token + 1} turns by ${turned(2)} in ` +
      `loop 2 and by ${turned(LOOPS)} in loop ${LOOPS}.`);
  }

  function show() {
    for (const name of ["norm", "injection"]) find(name).value = design[name];
    find("gain").value = Math.round(100 * design.gain);
    find("gain-told").textContent = design.gain.toFixed(2);
    find("layers").value = design.layers;
    find("layers-told").textContent = design.layers;
    find("seed-told").textContent = `throw ${design.seed}`;
    find("token").value = view.token;
    find("close").checked = view.close;
    if (run) {
      const { end, design: own, turns } = run, { norm, injection, gain, layers, seed } = own;
      const rest = end.limits.filter(([kind]) => kind === "fixed point").length;
      find("verdict").textContent = NAMES[end.kind](end);
      const turned = turns[player.loop - 1][view.token];
      const text = `${norm}, ${injection}, gain ${gain.toFixed(2)}, ${many(layers)}, ` +
        `throw ${seed}: ${meta.looks[meta.kinds.indexOf(end.kind)].words}. ` +
        (end.kind === "explodes" ? "" : `${rest} of ${tokens} tokens rest. `) +
        (Number.isFinite(turned)
          ? `In loop ${player.loop} token ${view.token + 1} turned by ${number(turned)}.` : "");
      find("words").textContent = text;
      tell(`${NAMES[end.kind](end)}. ${text}`);
      path.draw(); steps.draw(); forks.draw();
    }
    if (diagram) diagram.draw();
  }
  // --- one design, every gain --------------------------------------------------------------------

  const GAINS = range(91).map(n => (250 + 25 * n) / 1000);
  // One direction among all, the same for every gain: how far a token's state points along it.
  const along = (() => {
    const next = looplab.engine.uniform(7);
    return looplab.directions(Float64Array.from({ length: width }, () => next() - 0.5), width);
  })();
  const branches = new Map();          // a design without its gain -> gain -> [token][late loop]
  const branchesOf = ({ norm, injection, layers, seed }) => {
    const key = [norm, injection, layers, seed].join();
    if (!branches.has(key)) branches.set(key, new Map());
    return branches.get(key);
  };
  function nextGain() {
    const done = branchesOf(design), far = gain => Math.abs(gain - design.gain);
    const open = GAINS.filter(gain => !done.has(gain));
    if (!open.length) return null;
    return { ...design, gain: open.reduce((a, b) => (far(b) < far(a) ? b : a)) };
  }
  function enterGain(one, states) {
    const ways = states.slice(-LATE).map(all => looplab.directions(all.subarray(-size), width));
    branchesOf(one).set(one.gain, range(tokens).map(token => ways.map(way =>
      along.reduce((sum, a, i) => sum + a * way[token * width + i], 0)).filter(Number.isFinite)));
    forks.draw();
  }
  // In how many places it is, told apart by a hundredth; neighbouring gains of one number together.
  function toldForks(found) {
    const runs = [];
    for (const [gain, values] of found) {
      const sorted = [...values].sort((a, b) => a - b);
      const places = sorted.filter((value, n) => !n || value - sorted[n - 1] > 0.01).length;
      const told = places > 8 ? "many places"
        : ["no place", "one place"][places] ?? `${places} places`;
      if (runs.at(-1)?.told === told) runs.at(-1).last = gain;
      else runs.push({ told, first: gain, last: gain });
    }
    return runs.map(({ told, first, last }) =>
      `${told} at ${first === last ? `gain ${first}` : `gains ${first} to ${last}`}`).join(", ");
  }
  const left = 20, toX = (gain, wide) => left + ((gain - 0.25) / 2.25) * (wide - 2 * left);
  const forks = explore.stage(find("forks"), { layout: () => 290, paint: paintForks });
  function paintForks(pen, wide, high) {
    const done = branchesOf(design), [top, bottom] = [46, high - 40];
    const found = GAINS.filter(gain => done.has(gain))
      .map(gain => [gain, done.get(gain)[view.token]]);
    pen.title({ x: left, y: 2, w: wide - 2 * left }, "Where it ends up, for every gain",
      `token ${view.token + 1}: where it points after each of the last ${LATE} loops`);
    pen.box(left - 8, top - 8, wide - 2 * left + 16, bottom - top + 16);
    const all = found.flatMap(([, values]) => values);
    const [low, most] = [Math.min(...all), Math.max(...all)], reach = Math.max(most - low, 0.02);
    const x = toX(design.gain, wide);
    pen.line([[x, top - 8], [x, bottom + 8]], { width: 1.25 });
    for (const [gain, values] of found) for (const value of values) {
      const y = bottom - ((value - low) / reach) * (bottom - top);
      pen.ctx.fillStyle = style(0)[0]; pen.ctx.globalAlpha = 0.7;
      pen.ctx.beginPath(); pen.ctx.arc(toX(gain, wide), y, 1.7, 0, 7); pen.ctx.fill();
    }
    pen.ctx.globalAlpha = 1;
    for (const gain of [0.25, 0.5, 1, 1.5, 2, 2.5]) {
      pen.text(gain, toX(gain, wide), bottom + 18, { size: 11, colour: SOFT, align: "center" });
    }
    pen.text("gain", wide / 2, bottom + 32, { size: 11, colour: SOFT, align: "center" });
    find("forks").setAttribute("aria-label", `Where token ${view.token + 1} points in the last ` +
      `${LATE} loops: ${toldForks(found) || "not yet known"}.`);
  }
  watch("forks");

  const player = explore.player(find("player"), {
    last: LOOPS, change: () => { show(); changed(); } });

  // --- the diagram -------------------------------------------------------------------------------

  const found = new Map();                          // layers -> "row, gain" -> kind of each seed
  const cells = layers => {
    if (!found.has(layers)) found.set(layers, new Map());
    return found.get(layers);
  };
  const rowOf = ({ norm, injection }) =>
    meta.rows.findIndex(row => row[0] === norm && row[1] === injection);
  const columnOf = ({ gain }) => gains.reduce((best, one, n) =>
    (Math.abs(one - gain) < Math.abs(gains[best] - gain) ? n : best), 0);
  const all = meta.rows.flatMap((_, row) => gains.map((_, column) => [row, column]));

  function nextCell() {
    const done = cells(design.layers), [r, c] = [rowOf(design), columnOf(design)];
    const far = ([row, column]) => Math.abs(row - r) + Math.abs(column - c);
    const open = all.filter(at => (done.get(String(at))?.length ?? 0) < seeds);
    if (!open.length) return null;
    const [row, column] = open.reduce((a, b) => (far(b) < far(a) ? b : a));
    const [norm, injection] = meta.rows[row], seed = done.get(`${row},${column}`)?.length ?? 0;
    return { norm, injection, gain: gains[column], layers: design.layers, seed };
  }

  function enter(cell, { kind }) {
    const key = `${rowOf(cell)},${columnOf(cell)}`, done = cells(cell.layers);
    done.set(key, [...(done.get(key) ?? []), meta.kinds.indexOf(kind)]);
    if (cell.layers === design.layers) fill();
  }

  // What the painter reads: the ends of each cell, sorted, and a sentence.
  function fill() {
    const done = cells(design.layers);
    let count = 0;
    for (const [row, column] of all) {
      const kinds = [...(done.get(`${row},${column}`) ?? [])].sort((a, b) => a - b);
      const told = meta.kinds.map((kind, n) => [kinds.filter(one => one === n).length, kind])
        .filter(([times]) => times).map(one => one.join(" ")).join(", ");
      count += kinds.length;
      meta.ends[row][column] = kinds;
      meta.captions[row][column] =
        `${meta.rows[row].join(", ")}, gain ${meta.gains[column]}: ${told || "not yet thrown"}.`;
    }
    find("filled").textContent =
      `${count} of ${all.length * seeds} stacks of ${many(design.layers)} have run.`;
    if (diagram) diagram.draw();
  }
  fill();
  const at = () => (
    { token: rowOf(design), loop: columnOf(design) + 1, held: false, held_loop: -1 });
  diagram = looplab.view(find("diagram"), meta, new Uint8Array(0), at, ({ token, loop }) => {
    const [norm, injection] = meta.rows[token ?? rowOf(design)];
    if (token === undefined && loop === undefined) return;       // H holds nothing here
    choose({ norm, injection, gain: loop === undefined ? design.gain : gains[loop - 1] });
  });
  watch("diagram");

  // --- controls ----------------------------------------------------------------------------------

  function choose(patch) {
    Object.assign(design, patch);
    wanted = { ...design };
    fill(); show(); changed(); work();
  }
  const options = (id, list) => find(id).append(...list.map(([value, text]) =>
    make("option", { value, textContent: text })));
  options("norm", norms.map(name => [name, name]));
  options("injection", injections.map(name => [name, name]));
  options("token", range(tokens).map(n => [n, n + 1]));
  for (const name of ["norm", "injection"]) {
    find(name).addEventListener("change", event => choose({ [name]: event.target.value }));
  }
  find("forks").addEventListener("pointerdown", event => {
    const [x] = forks.at(event), share = (x - left) / (find("forks").clientWidth - 2 * left);
    choose({ gain: clamp(Math.round(100 * (0.25 + 2.25 * share)) / 100, 0.25, 2.5) });
  });
  find("gain").addEventListener("input", event => choose({ gain: event.target.value / 100 }));
  find("layers").addEventListener("input", event => choose({ layers: +event.target.value }));
  find("throw").addEventListener("click", () => choose({ seed: design.seed + 1 }));
  const turn = patch => {
    Object.assign(view, patch);
    if (run) look();
    show(); changed();
  };
  find("token").addEventListener("change", event => turn({ token: +event.target.value }));
  find("close").addEventListener("change", event => turn({ close: event.target.checked }));

  const changed = explore.shared({
    read(said) {
      const whole = (name, low, high, usual) => {
        const value = Math.trunc(+(said.get(name) ?? usual));
        return Number.isFinite(value) ? clamp(value, low, high) : usual;
      };
      const one = (name, list, usual) => (list.includes(said.get(name)) ? said.get(name) : usual);
      Object.assign(design, {
        norm: one("norm", norms, "Huginn"), injection: one("injection", injections, "half-half"),
        gain: clamp(+(said.get("gain") ?? 1) || 1, 0.25, 2.5), layers: whole("layers", 1, 16, 4),
        seed: whole("throw", 0, 999_999, 1),
      });
      Object.assign(view, {
        token: whole("token", 1, tokens, 6) - 1, close: said.get("close") === "1" });
      player.go(whole("loop", 1, LOOPS, LOOPS), true);
      wanted = { ...design };
      fill(); show(); work();
    },
    write: () => ({ norm: design.norm, injection: design.injection, gain: design.gain,
      layers: design.layers, throw: design.seed, token: view.token + 1, loop: player.loop,
      close: view.close ? 1 : 0 }),
  });
})();

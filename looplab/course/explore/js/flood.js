// Flood fill: a maze that is built by hand, and where the model believes the water is.
(() => {
  const { clamp, drawSteps, explore, painters, range } = looplab;
  const { find, make, tell } = explore;
  const OPEN = 0, WALL = 1, START = 2, LEAST = 2, MOST = 16;
  // As FLOOD of looplab/widgets/maze.py, and in its order.
  const KINDS = [
    { name: "wall", colour: "#4d4d4d", hatch: true },
    { name: "start", colour: "#0072B2", mark: "S" },
    { name: "reached, and rightly so", colour: "#56B4E9", mark: "~" },
    { name: "reachable, not yet seen", colour: "#FFFFFF", mark: "·" },
    { name: "dry, and rightly so", colour: "#FFFFFF" },
    { name: "wrongly called reached", colour: "#E69F00", mark: "×" },
  ];
  // maze: its cells row by row. before: where the water ran first, for `loops` loops, or null.
  const state = { side: 8, maze: drawn(8, 0.3, 5), before: null, cursor: [] };
  let beliefs = [], steps = [], painter = null, place = null, turn = 0;

  const player = explore.player(find("player"), { last: 24, change: () => { draw(); share(); } });
  const mazeStage = explore.stage(find("maze"), {
    layout: width => (place = view().layout(width)).height, paint: paintMaze });
  const farStage = explore.stage(find("far"), { layout: () => 300, paint: paintFar });

  // --- mazes -------------------------------------------------------------------------------------

  // Steps from the start to each cell, -1 where no way leads.
  function ways(maze, side) {
    const far = maze.map(cell => (cell === START ? 0 : -1));
    let front = range(maze.length).filter(cell => far[cell] === 0);
    while (front.length) {
      const next = [];
      for (const cell of front) for (const other of beside(cell, side)) {
        if (far[other] < 0 && maze[other] !== WALL) {
          far[other] = far[cell] + 1;
          next.push(other);
        }
      }
      front = next;
    }
    return far;
  }
  function beside(cell, side) {
    const column = cell % side, out = [cell - side, cell + side];
    if (column > 0) out.push(cell - 1);
    if (column < side - 1) out.push(cell + 1);
    return out.filter(other => other >= 0 && other < side * side);
  }
  function drawn(side, walls, seed) {
    const draw = looplab.engine.uniform(seed);
    const maze = range(side * side).map(() => (draw() < walls ? WALL : OPEN));
    maze[Math.floor(draw() * side * side)] = START;
    return maze;
  }
  // Mazes that a link can name.
  const NAMED = {
    empty: side => [START, ...Array(side * side - 1).fill(OPEN)],
    snake: side => named(side, (row, column) => row % 2
      && column !== (row % 4 === 1 ? side - 1 : 0)),
    room: side => named(side, (row, column) => {
      const inside = n => n >= 2 && n <= side - 3, edge = n => n === 2 || n === side - 3;
      return inside(row) && inside(column) && (edge(row) || edge(column));
    }),
  };
  const named = (side, wall) => range(side * side).map(cell => (!cell ? START
    : wall(Math.floor(cell / side), cell % side) ? WALL : OPEN));

  // --- what the model says -----------------------------------------------------------------------

  const first = () => (state.before ? state.before.loops : 0);    // loops in the earlier maze
  const loops = () => first() + Math.max(24, Math.ceil(state.side ** 2 / 4) + 8);
  const mazeAt = loop => (loop > first() ? state.maze : state.before.maze);

  // Runs the model from the start; a newer run takes the place of an older one.
  async function run() {
    const mine = ++turn, made = [];
    beliefs = made;
    draw();
    const model = await explore.open("flood");
    if (mine !== turn) return;
    let ready = await model.prepare(mazeAt(1)), z = ready.start;
    for (const loop of range(loops()).map(n => n + 1)) {
      if (loop > 1 && loop === first() + 1) ready = await model.prepare(state.maze);
      if (mine !== turn) return;                 // the maze has changed meanwhile
      ({ state: z } = await model.step(z, ready));
      const { data } = await model.answer(z, ready);
      made.push(range(state.maze.length).map(cell => data[2 * cell + 1] > data[2 * cell]));
      if (loop === player.loop) draw();
    }
    if (mine === turn) draw();
  }

  // The kind of a cell at a loop, an index into KINDS.
  function kindAt(loop, cell) {
    const kind = mazeAt(loop)[cell], wet = beliefs[loop - 1]?.[cell] ?? false;
    if (kind !== OPEN) return kind === WALL ? 0 : 1;
    return waysAt(loop)[cell] >= 0 ? (wet ? 2 : 3) : (wet ? 5 : 4);
  }
  const waysAt = loop => (loop > first() ? steps.now : steps.before);
  const furthest = loop => Math.max(...waysAt(loop));
  // How many steps from the start all cells up to there are believed to be wet; -1: not even it.
  function reach(loop) {
    const dry = waysAt(loop).filter((far, cell) => far >= 0 && !beliefs[loop - 1][cell]);
    return Math.min(furthest(loop) + 1, ...dry) - 1;
  }
  const count = (loop, wanted) => waysAt(loop).filter((far, cell) => mazeAt(loop)[cell] !== WALL
    && wanted(beliefs[loop - 1][cell], far >= 0)).length;

  // --- pictures and words ------------------------------------------------------------------------

  function view() {
    const { side } = state, count = loops();
    if (painter?.side !== side || painter.count !== count) {
      const meta = { kinds: KINDS, first: 1, title: "Where the model believes the water is",
        axes: ["", ""], edits: true };
      const frames = { shape: [count, side, side],
        at: (loop, row, column) => kindAt(loop + 1, row * side + column) };
      painter = Object.assign(painters.frames(meta, { frames }), { side, count });
    }
    return painter;
  }
  const seen = () => ({ loop: player.loop, held: false, held_loop: -1, cursor: state.cursor });
  function paintMaze(pen) { view().paint(pen, place, seen()); }

  function paintFar(pen, width, height) {
    const top = Math.max(1, ...steps.now, ...(state.before ? steps.before : []));
    const every = [1, 2, 5, 10, 20, 50].find(n => top / n <= 6);
    const ticks = range(Math.floor(top / every) + 1).map(n => n * every)
      .filter(n => top - n >= every / 2).concat(top).map(n => [n / top, String(n)]);
    const count = loops(), spacing = [4, 8, 16].find(n => count / n <= 8) ?? 20;
    const meta = { first: 1, last: count, slider: "loop", every: spacing };
    const now = { loop: player.loop, held: first() > 0, held_loop: Math.max(1, first()) };
    const known = n => n < beliefs.length;
    drawSteps(pen, { x: 8, y: 8, w: width - 16, h: height - 12 }, meta, now,
      "How far the water has come", first()
        ? `steps from the start; dashed: the maze changed at loop ${first()}`
        : "steps from the start, all wet up to there",
      [["believed", 0, n => (known(n) ? Math.max(0, reach(n + 1)) / top : NaN)],
        ["there is", 1, n => furthest(n + 1) / top]], ticks);
  }

  function words() {
    const { loop } = player, far = furthest(loop), at = `Loop ${loop} of ${loops()}:`;
    if (beliefs.length < loop) return `${at} the model has not answered yet.`;
    const come = reach(loop), now = view().words(seen()), cells = state.maze.length;
    const cursor = state.cursor.length ? now.slice(now.lastIndexOf("At row")) : "";
    const water = come < 0 ? "Not even the start is wet"
      : far === 0 ? "No way leads out of the start"
        : come === far ? `The water is everywhere it can be, up to ${far} steps from the start`
          : `The water has come ${come} steps from the start, of ${far}`;
    const unseen = count(loop, (wet, there) => there && !wet);
    const wrong = count(loop, (wet, there) => wet && !there), told = [];
    if (unseen) told.push(`${unseen} of ${cells} cells are not seen yet`);
    if (wrong) told.push(`${wrong} of ${cells} cells are called reached, and no way leads there`);
    return `${at} ${water}; ${told.join(", and ") || "every cell is right"}. ${cursor}`.trim();
  }

  function draw() {
    mazeStage.draw(); farStage.draw();
    const said = words();
    find("words").textContent = said;
    find("maze").setAttribute("aria-label", `The maze, ${state.side} by ${state.side} cells. ${said}`);
    find("far").setAttribute("aria-label", "How far the water has come, in steps, by loop: "
      + `${beliefs.length ? range(beliefs.length).map(n => Math.max(0, reach(n + 1))).join(", ")
        : "not yet known"}.`);
    tell(said);
  }

  // --- changes -----------------------------------------------------------------------------------

  function changed() {
    renewed();
    share();
    run();
  }
  // What follows from the maze at hand.
  function renewed() {
    steps = { now: ways(state.maze, state.side),
      before: state.before && ways(state.before.maze, state.side) };
    state.cursor = state.cursor.map(n => Math.min(n, state.side - 1));
    player.limit(loops());
    find("side").value = state.side;
    find("running").checked = state.before !== null;
    find("since").textContent = state.before ? `(since loop ${first()})` : "";
  }
  // Another maze altogether: nothing runs in it yet.
  function replace(side, maze) {
    Object.assign(state, { side, maze, before: null });
    player.stop();
    player.go(1, true);
    changed();
  }
  // False where nothing changes: the start stays free.
  function put(cell, kind) {
    if (state.maze[cell] === START || state.maze[cell] === kind) return false;
    const maze = kind === START ? state.maze.map(old => (old === START ? OPEN : old)) : [...state.maze];
    maze[cell] = kind;
    state.maze = maze;
    if (state.before && player.loop <= first()) player.go(first() + 1, true);
    changed();
    return true;
  }
  const tool = () => document.querySelector("input[name=tool]:checked").value;
  const other = cell => (state.maze[cell] === WALL ? OPEN : WALL);

  for (const side of range(MOST - LEAST + 1).map(n => n + LEAST)) {
    find("side").append(make("option", { value: side, textContent: `${side} × ${side}` }));
  }
  find("side").addEventListener("change", () => {
    const side = +find("side").value;            // what is there stays where it is
    const maze = range(side * side).map(cell => {
      const row = Math.floor(cell / side), column = cell % side;
      return row < state.side && column < state.side ? state.maze[row * state.side + column] : OPEN;
    });
    if (!maze.includes(START)) maze[0] = START;
    replace(side, maze);
  });
  find("maze-drawn").addEventListener("click", () =>
    replace(state.side, drawn(state.side, 0.35, Math.floor(Math.random() * 2 ** 31))));
  find("maze-empty").addEventListener("click", () =>
    replace(state.side, state.maze.map(cell => (cell === START ? START : OPEN))));
  find("running").addEventListener("change", () => {
    player.stop();
    const now = { maze: state.maze, loops: player.loop };
    state.before = find("running").checked ? now : null;
    if (!state.before) player.go(1, true);
    changed();
  });

  // --- pointer and keys --------------------------------------------------------------------------

  const canvas = find("maze");
  const cellAt = at => {
    const found = place && view().hit(place, ...at);
    return found ? found.edit[0] * state.side + found.edit[1] : null;
  };
  let brush = null;                              // what a drag paints
  canvas.addEventListener("touchstart", event => {   // a finger on the maze builds, and moves no page
    const box = canvas.getBoundingClientRect(), touch = event.touches[0];
    if (cellAt([touch.clientX - box.left, touch.clientY - box.top]) !== null) event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("pointerdown", event => {
    const cell = cellAt(mazeStage.at(event));
    if (cell === null || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    brush = tool() === "start" || state.maze[cell] === START ? START : other(cell);
    put(cell, brush);
  });
  canvas.addEventListener("pointermove", event => {
    const cell = brush === null ? null : cellAt(mazeStage.at(event));
    if (cell === null || (brush === START && state.maze[cell] === WALL && tool() === "wall")) return;
    put(cell, brush);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, () => { brush = null; });
  }
  canvas.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { cursor, side } = state, cell = cursor.length ? cursor[0] * side + cursor[1] : null;
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key.toLowerCase() === "s" && cell !== null) put(cell, START);
    else {
      const patch = view().press(event.key, state);
      if (patch?.edit) put(cell, tool() === "start" ? START : other(cell));
      else if (patch) { state.cursor = patch.cursor; draw(); }
      else if (move) player.go(player.loop + move);
      else return;
    }
    event.preventDefault();
  });

  // --- the address -------------------------------------------------------------------------------

  const CODES = ".xS";
  const written = maze => maze.map(cell => CODES[cell]).join("");
  function decoded(text, side) {
    const maze = [...(text ?? "")].map(code => CODES.indexOf(code));
    const whole = maze.length === side * side && !maze.includes(-1);
    return whole && maze.filter(cell => cell === START).length === 1 ? maze : null;
  }
  function read(given) {
    const whole = name => (/^\d{1,4}$/.test(given.get(name) ?? "") ? +given.get(name) : null);
    const side = clamp(whole("w") ?? state.side, LEAST, MOST);
    const maze = NAMED[given.get("p")]?.(side) ?? decoded(given.get("z"), side);
    if (maze) {
      const before = decoded(given.get("was"), side), ran = whole("ran");
      Object.assign(state, { side, maze, cursor: [] });
      state.before = before && ran > 0 && ran < 1000 ? { maze: before, loops: ran } : null;
    }
    player.stop();
    renewed();
    player.go(whole("l") ?? 1, true);
    run();
  }
  const write = () => ({ w: state.side, z: written(state.maze), l: player.loop,
    ...(state.before && { was: written(state.before.maze), ran: first() }) });
  const share = explore.shared({ read, write });
})();

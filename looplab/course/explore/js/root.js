// Find the root: a forest that is rebuilt by hand, and what each node answers, loop by loop.
(() => {
  const { GREEN, INK, above, clamp, drawForest, drawSteps, explore, inRows, layOut, range } = looplab;
  const { find, make, tell } = explore;
  const NODES = 12, LOOPS = 24, LABELS = range(NODES).map(String);
  const CODES = "0123456789ab";                  // of the nodes in the address
  const state = { parents: [..."b77a3497506b"].map(code => CODES.indexOf(code)), chosen: 6,
    seed: 1, model: "hero" };
  let forest = null, answers = [], zone = null, drag = null, turn = 0;

  const player = explore.player(find("player"), { last: LOOPS, change: () => { draw(); share(); } });
  const forestStage = explore.stage(find("forest"), { layout: () => 440, paint: paintForest });
  const deepStage = explore.stage(find("deep"), { layout: () => 300, paint: paintDeep });

  // --- what the model says -----------------------------------------------------------------------

  // Runs the model on the forest at hand; a newer run takes the place of an older one.
  async function run() {
    const mine = ++turn, made = [];
    answers = made;
    draw();
    const model = await explore.open(state.model);
    if (mine !== turn) return;
    const tokens = state.parents.map((parent, node) => [node, parent]);
    const ready = await model.prepare(tokens, { seed: state.seed });
    let z = ready.start;
    for (const loop of range(LOOPS)) {
      if (mine !== turn) return;                 // the forest has changed meanwhile
      ({ state: z } = await model.step(z, ready));
      const { data } = await model.answer(z, ready);
      made.push(range(NODES).map(node => best(data.subarray(NODES * node, NODES * (node + 1)))));
      if (loop + 1 === player.loop) draw();
    }
    if (mine === turn) draw();
  }
  const best = logits => logits.indexOf(Math.max(...logits));
  const isRight = (loop, node) => answers[loop - 1][node] === forest.root[node];
  const deepest = () => Math.max(...forest.depth);

  // How far from its root a node may stand so that it, and all that stand higher, are right; -1
  // where not even the roots are.
  function sees(loop) {
    const missed = range(NODES).filter(node => !isRight(loop, node)).map(n => forest.depth[n]);
    return Math.min(deepest() + 1, ...missed) - 1;
  }

  // --- pictures and words ------------------------------------------------------------------------

  function draw() {
    forestStage.draw(); deepStage.draw();
    const said = words();
    find("words").textContent = said;
    find("forest").setAttribute("aria-label", `The forest. ${told()}. ${said}`);
    find("deep").setAttribute("aria-label", `How deep the model sees, by loop: ${answers.length
      ? range(answers.length).map(n => seen(n + 1)).join(", ") : "not yet known"}.`);
    tell(said);
  }
  const seen = loop => (sees(loop) < 0 ? "nothing" : String(sees(loop)));
  const told = () => LABELS.map((label, node) => (state.parents[node] === node
    ? `${label} is a root` : `${label} under ${state.parents[node]}`)).join(", ");

  function words() {
    const { loop } = player;
    if (answers.length < loop) return `Loop ${loop} of ${LOOPS}: the model has not answered yet.`;
    const right = range(NODES).filter(node => isRight(loop, node)).length, node = state.chosen;
    const depth = deepest(), far = sees(loop);
    const deep = far < 0 ? "Not even the roots are all right" : far === depth
      ? `It sees all the way down, ${steps(depth)}` : `It sees ${steps(far)} deep, of ${depth}`;
    const answer = answers[loop - 1][node];
    return `Loop ${loop} of ${LOOPS}: ${right} of ${NODES} answers are right. ${deep}. Node ${node} `
      + `says ${answer}, ${isRight(loop, node) ? "and so it is" : `but its root is ${forest.root[node]}`}.`;
  }
  const steps = n => `${n} step${n === 1 ? "" : "s"}`;

  // What drawForest asks of a recorded run.
  const shown = {
    labels: LABELS, tokens: NODES, targets: true,
    meta: { forest: null },                      // as it stands on the canvas
    answer: (who, loop, node) => {
      const id = answers.length < loop ? -1 : answers[loop - 1][node];
      return { id, name: id < 0 ? "·" : LABELS[id] };
    },
    isRight: (who, loop, node) => answers.length < loop || isRight(loop, node),
  };

  function paintForest(pen, width, height) {
    const panel = { x: 10, y: 8, w: width - 20, h: height - 12 };
    const now = { loop: player.loop, token: state.chosen };
    shown.meta.forest = inRows(forest, panel.w, panel.h - 66);
    zone = drawForest(pen, panel, shown, now);
    if (!drag?.moved) return;
    const [x, y] = zone.nodes[drag.node], target = drag.over;
    pen.line([[x, y], drag.at], { colour: INK, width: 2, dash: [4, 4] });
    if (target !== null) {
      const bad = above(state.parents, drag.node, target);
      pen.trace("circle", ...zone.nodes[target], zone.reach + 4);
      pen.ctx.strokeStyle = bad ? "#D55E00" : GREEN; pen.ctx.lineWidth = 3; pen.ctx.stroke();
    }
    pen.text(said(), clamp(drag.at[0], 90, width - 90), Math.max(16, drag.at[1] - 30),
      { size: 12, bold: true, align: "center" });
  }
  // What letting go would do.
  function said() {
    const { node, over } = drag;
    if (over === null) return `${node} becomes a root`;
    return above(state.parents, node, over) ? "no: a circle" : `${node} under ${over}`;
  }

  function paintDeep(pen, width, height) {
    const depth = deepest(), every = depth > 6 ? 2 : 1;
    const toShare = level => (level + 1) / (depth + 1);
    const ticks = range(depth + 1).filter(n => n % every === 0 || n === depth)
      .filter(n => n === depth || depth - n >= every).map(n => [toShare(n), String(n)]);
    const panel = { x: 8, y: 8, w: width - 16, h: height - 12 };
    const meta = { first: 1, last: LOOPS, slider: "loop", every: 4 };
    drawSteps(pen, panel, meta, { loop: player.loop }, "How deep it sees",
      "steps from its root, all right down to there",
      [["seen", 0, n => (n < answers.length ? toShare(sees(n + 1)) : NaN)]],
      [[0, "none"], ...ticks]);
  }

  // --- changes -----------------------------------------------------------------------------------

  // The forest's own changes end here: a new layout, the controls, the address, a new run.
  function changed() {
    forest = layOut(state.parents, LABELS);
    controls();
    share();
    run();
  }
  // False where it would make a circle.
  function hang(node, parent) {
    if (parent !== node && above(state.parents, node, parent)) return false;
    state.parents[node] = parent;
    state.chosen = node;
    changed();
    return true;
  }
  function controls() {
    find("node").value = state.chosen;
    find("model").value = state.model;
    find("noise-drawn").disabled = state.model !== "hero";
    for (const option of find("under").options) {
      const parent = option.value === "" ? state.chosen : +option.value;
      option.hidden = +option.value === state.chosen && option.value !== "";
      option.disabled = parent !== state.chosen && above(state.parents, state.chosen, parent);
    }
    const parent = state.parents[state.chosen];
    find("under").value = parent === state.chosen ? "" : parent;
  }
  const choose = node => { state.chosen = node; controls(); draw(); };

  for (const label of LABELS) {
    find("node").append(make("option", { value: label, textContent: label }));
    find("under").append(make("option", { value: label, textContent: `node ${label}` }));
  }
  find("under").prepend(make("option", { value: "", textContent: "nothing: it is a root" }));
  find("node").addEventListener("change", () => choose(+find("node").value));
  find("under").addEventListener("change", () => {
    const { value } = find("under");
    hang(state.chosen, value === "" ? state.chosen : +value);
  });
  find("model").addEventListener("change", () => { state.model = find("model").value; changed(); });
  find("noise-drawn").addEventListener("click", () => { state.seed += 1; changed(); });
  find("forest-drawn").addEventListener("click", () => { state.parents = drawn(); changed(); });
  find("names-drawn").addEventListener("click", () => {
    const name = shuffled(range(NODES)), parents = [];
    state.parents.forEach((parent, node) => { parents[name[node]] = name[parent]; });
    Object.assign(state, { parents, chosen: name[state.chosen] });
    changed();
  });

  function shuffled(list) {
    for (let i = list.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }
  // A forest with roots here and there, more or less fond of chains.
  function drawn() {
    const order = shuffled(range(NODES)), parents = [], fond = Math.random();
    order.forEach((node, n) => {
      const root = n === 0 || Math.random() < 0.15;
      const earlier = Math.random() < fond ? n - 1 : Math.floor(Math.random() * n);
      parents[node] = root ? node : order[earlier];
    });
    return parents;
  }

  // --- the pointer -------------------------------------------------------------------------------

  const canvas = find("forest");
  function near([x, y], reach) {
    const far = zone.nodes.map(([a, b]) => Math.hypot(a - x, b - y));
    const node = far.indexOf(Math.min(...far));
    return far[node] <= Math.max(reach, zone.reach) ? node : null;
  }
  // A finger on a node moves the node, anywhere else the page.
  canvas.addEventListener("touchstart", event => {
    const box = canvas.getBoundingClientRect(), touch = event.touches[0];
    if (near([touch.clientX - box.left, touch.clientY - box.top], 18) !== null) event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("pointerdown", event => {
    const node = near(forestStage.at(event), 18);
    if (node === null || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    drag = { node, at: forestStage.at(event), over: null, moved: false };
    choose(node);
  });
  canvas.addEventListener("pointermove", event => {
    if (!drag) { canvas.style.cursor = near(forestStage.at(event), 0) === null ? "" : "grab"; return; }
    drag.at = forestStage.at(event);
    const [x, y] = zone.nodes[drag.node];
    drag.moved ||= Math.hypot(drag.at[0] - x, drag.at[1] - y) > 14;
    const over = near(drag.at, 18);
    drag.over = over === drag.node ? null : over;
    forestStage.draw();
  });
  const drop = event => {
    if (!drag) return;
    const { node, over, moved } = drag, back = near(forestStage.at(event), 18) === node;
    drag = null;
    if (!moved || back) draw();
    else if (!hang(node, over ?? node)) {
      draw();
      find("words").textContent = `${node} stands above ${over}: hung under it, the way would lead `
        + "round a circle, and there would be no root.";
    }
  };
  canvas.addEventListener("pointerup", drop);
  canvas.addEventListener("pointercancel", () => { drag = null; draw(); });

  // --- the address -------------------------------------------------------------------------------

  function read(given) {
    const parents = [...(given.get("f") ?? "")].map(code => CODES.indexOf(code));
    if (parents.length === NODES && !parents.includes(-1)) {
      try {
        layOut(parents, LABELS);
        state.parents = parents;
      } catch { /* a circle: the forest stays as it is */ }
    }
    if (["hero", "root-k1"].includes(given.get("m"))) state.model = given.get("m");
    const whole = name => (/^\d{1,6}$/.test(given.get(name) ?? "") ? +given.get(name) : null);
    state.seed = whole("s") ?? state.seed;
    state.chosen = clamp(whole("n") ?? state.chosen, 0, NODES - 1);
    player.stop();
    player.go(whole("l") ?? 1, true);
    forest = layOut(state.parents, LABELS);
    controls();
    run();
  }
  const write = () => ({ f: state.parents.map(node => CODES[node]).join(""), m: state.model,
    l: player.loop, s: state.seed, n: state.chosen });
  const share = explore.shared({ read, write });
})();

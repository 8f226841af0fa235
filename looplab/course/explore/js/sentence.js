// One sentence: what a small language model would say at each of its words, after every loop.
(() => {
  const { BLUE, GHOST, INK, ORANGE, SOFT, clamp, drawSteps, explore, percent, range } = looplab;
  const { find, make } = explore;
  const given = JSON.parse(find("given").textContent), words = looplab.bytePairs(given.words);
  const LOOPS = 32, TOP = 5, WINDOW = given.window;
  const thresholdOf = place => 10 ** (-place / 12);             // 1 down to a thousandth
  const state = { text: "", model: "drawn", token: 0, place: 12 };
  let run = null, newest = 0;

  // --- the run ---------------------------------------------------------------------------------

  // A token as it can be seen; what goes on inside a word begins with a hyphen.
  const seen = id => {
    const text = words.decode([id]).replace(/\n/g, "⏎").replace(/^ +$/, "␣");
    if (!text) return given.words.tokens[id];
    return text.startsWith(" ") ? text.slice(1) : (/^\p{L}/u.test(text) ? "‑" : "") + text;
  };
  const own = token => seen(run.ids[token]);                     // of your own sentence

  // The likeliest `TOP` of the numbers at [from, from + count), best first.
  function best(of, from, count) {
    const top = [];
    for (let n = 0; n < count; n += 1) {
      if (top.length === TOP && of[from + n] <= of[from + top[TOP - 1]]) continue;
      let at = top.length;
      while (at && of[from + top[at - 1]] < of[from + n]) at -= 1;
      top.splice(at, 0, n);
      if (top.length > TOP) top.pop();
    }
    return top;
  }

  // Everything that the page shows of `ids`: [loop][token] guesses, steps, and the loops from which
  // a guess stays to the end.
  async function think(model, ids, stale) {
    const ready = await model.prepare(ids), count = ids.length, { answers, width } = model.about;
    const guesses = [], steps = [], logits = [], scales = [];
    let z = ready.start;
    for (let loop = 0; loop < LOOPS; loop += 1) {
      const before = z.data;
      ({ state: z } = await model.step(z, ready));
      const { data } = await model.answer(z, ready);
      if (stale()) return null;
      logits.push(data);
      scales.push(range(count).map(token => {
        let sum = 0;
        for (let n = token * answers; n < (token + 1) * answers; n += 1) sum += Math.exp(data[n]);
        return Math.log(sum);
      }));
      guesses.push(range(count).map(token => best(data, token * answers, answers)));
      steps.push(range(count).map(token => {
        let [moved, length] = [0, 0];
        for (let n = token * width; n < (token + 1) * width; n += 1) {
          moved += (z.data[n] - before[n]) ** 2; length += z.data[n] ** 2;
        }
        return loop ? Math.sqrt(moved / length) : Infinity;      // as measure.step_signal
      }));
    }
    const chance = (loop, token, id) =>
      Math.exp(logits[loop][token * answers + id] - scales[loop][token]);
    const said = (loop, token) => guesses[loop][token][0];
    const decided = range(count).map(token => {
      let loop = LOOPS - 1;
      while (loop && said(loop - 1, token) === said(LOOPS - 1, token)) loop -= 1;
      return loop;
    });
    return { ids, count, guesses, steps, chance, said, decided };
  }

  const exits = threshold => range(run.count).map(token => {
    const left = run.steps.findIndex(steps => steps[token] < threshold);
    return left < 0 ? LOOPS - 1 : left;
  });

  async function renew() {
    const turn = newest += 1;
    // A space in front: the models know most words with one, from inside a speech.
    const ids = words.encode(state.text.replace(/^(?=\S)/u, " "));
    if (!ids.length) { run = null; show(); return; }
    const model = await explore.open(state.model);
    if (turn !== newest) return;
    const found = await think(model, ids.slice(0, WINDOW), () => turn !== newest);
    if (!found) return;
    run = Object.assign(found, { cut: Math.max(0, ids.length - WINDOW) });
    state.token = clamp(state.token, 0, run.count - 1);
    show(); changed();
  }

  // --- the page --------------------------------------------------------------------------------

  const lens = explore.stage(find("lens"), { layout: () => 300, paint: paintLens });
  const ROW = 20, mapTop = 30;
  const map = explore.stage(find("map"), {
    layout: () => mapTop + (run?.count ?? 0) * ROW + 62, paint: paintMap });
  const player = explore.player(find("player"), {
    last: LOOPS, change: () => { show(); changed(); } });

  function show() {
    find("chips").hidden = !run;
    if (!run) {
      find("words").textContent = "Type a word or two.";
      return;
    }
    showChips(); showWords(); showGuesses(); showExit();
    lens.draw(); map.draw();
  }

  // One button a token; only the chosen one is a stop of the Tab key, arrows lead to the others.
  function showChips() {
    const loop = player.loop - 1, host = find("chips");
    while (host.children.length > run.count) host.lastChild.remove();
    while (host.children.length < run.count) host.append(make("button", { type: "button" }));
    range(run.count).forEach(token => {
      const chip = host.children[token], guess = run.said(loop, token);
      const still = loop >= run.decided[token], right = guess === run.ids[token + 1];
      const mark = (still ? "●" : "○") + (right ? " ✓" : "");
      chip.replaceChildren(make("b", { textContent: own(token) }),
        make("span", { textContent: seen(guess) }), make("i", { textContent: mark }));
      chip.className = still ? "still" : "moving";
      chip.setAttribute("role", "option");
      chip.setAttribute("aria-selected", token === state.token);
      chip.setAttribute("aria-label", `${own(token)}: next ${seen(guess)}, ` +
        (still ? "decided" : "will change") + (right ? ", as you wrote" : ""));
      chip.tabIndex = token === state.token ? 0 : -1;
    });
  }

  function showWords() {
    const loop = player.loop - 1, { count, ids } = run;
    const still = run.decided.filter(first => loop >= first).length;
    const right = range(count - 1).filter(t => run.said(loop, t) === ids[t + 1]).length;
    const last = Math.max(...run.decided), late = own(run.decided.indexOf(last));
    const text = `Loop ${player.loop} of ${LOOPS}: ${still} of ${count} guesses stay as they are, ` +
      `${right} are your next word. ` +
      (last ? `The last to be decided is “${late}”, at loop ${last + 1}.`
        : "All were decided by the first loop.") +
      (run.cut ? ` The last ${run.cut} tokens are left out: it reads ${WINDOW} at most.` : "");
    find("words").textContent = text;
    explore.tell(text);
  }

  function showGuesses() {
    const { token } = state, loop = player.loop - 1;
    find("lens-title").textContent =
      `What it would say after “${own(token)}”`;
    find("guesses").replaceChildren(...run.guesses[loop][token].map(id => {
      const chance = run.chance(loop, token, id), hit = id === run.ids[token + 1] ? " ✓" : "";
      const bar = make("i");
      bar.style.width = `${100 * chance}%`;
      return make("li", {}, bar, make("b", { textContent: seen(id) + hit }),
        make("span", { textContent: percent(chance) }));
    }));
  }

  // Lines over the loops of the words that were likeliest at some loop.
  function paintLens(pen, width, height) {
    if (!run) return;
    const { token } = state, ids = [];
    for (const place of range(TOP)) {
      for (const loop of [LOOPS - 1, 0, ...range(LOOPS)]) {
        const id = run.guesses[loop][token][place];
        if (ids.length < TOP && !ids.includes(id)) ids.push(id);
      }
    }
    const most = Math.max(...ids.flatMap(id => range(LOOPS).map(n => run.chance(n, token, id))));
    const top = [0.1, 0.25, 0.5, 1].find(one => one >= most) ?? 1;
    const lines = ids.map((id, n) => [seen(id), n, loop => run.chance(loop, token, id) / top]);
    drawSteps(pen, { x: 8, y: 6, w: width - 20, h: height - 8 },
      { first: 1, last: LOOPS, slider: "loop", every: 8 }, { loop: player.loop, held: false },
      "Chance of each word, by loop", `after “${own(token)}”`, lines,
      [[0, "0"], [0.5, percent(top / 2)], [1, percent(top)]]);
    find("lens").setAttribute("aria-label", `Chance of the next words by loop, from loop 1 to ` +
      `${LOOPS}: ` + ids.map(id => `${seen(id)} ${percent(run.chance(0, token, id))} to ` +
      percent(run.chance(LOOPS - 1, token, id))).join(", "));
  }

  // --- the settling map ------------------------------------------------------------------------

  const mapLeft = width => clamp(width * 0.24, 84, 150);
  const column = width => (width - mapLeft(width) - 10) / LOOPS;
  function paintMap(pen, width) {
    if (!run) return;
    const left = mapLeft(width), w = column(width), gone = exits(thresholdOf(state.place));
    const x = loop => left + loop * w, y = token => mapTop + token * ROW;
    pen.text("loop", left - 8, 14, { size: 11, colour: SOFT, align: "right" });
    for (const loop of [0, 7, 15, 23, 31]) {
      pen.text(loop + 1, x(loop) + w / 2, 14, { size: 11, colour: SOFT, align: "center" });
    }
    for (const token of range(run.count)) {
      const bold = token === state.token;
      pen.text(own(token), left - 8, y(token) + ROW / 2,
        { size: 12, bold, colour: bold ? INK : SOFT, align: "right", max: left - 12 });
      for (const loop of range(LOOPS)) {
        const still = loop >= run.decided[token], step = run.steps[loop][token];
        // A thousandth of the state's length and less is white, all of it the full colour.
        const share = clamp(1 + Math.log10(Math.max(step, 1e-9)) / 3, 0, 1);
        pen.cell(x(loop), y(token), w + 0.5, ROW - 1,
          looplab.shade(0.12 + 0.75 * share, still ? BLUE : ORANGE));
        const [cx, cy, r] = [x(loop) + w / 2, y(token) + ROW / 2, clamp(w * 0.24, 1.3, 3)];
        pen.ctx.lineWidth = 1.3;
        pen.ctx.fillStyle = INK; pen.ctx.strokeStyle = INK;
        pen.ctx.beginPath(); pen.ctx.arc(cx, cy, r, 0, 7);
        if (still && loop === run.decided[token]) pen.ctx.fill();
        else if (!still) pen.ctx.stroke();
      }
      const at = x(gone[token] + 1);
      pen.line([[at, y(token) - 0.5], [at, y(token) + ROW - 0.5]], { width: 2.5, colour: GHOST });
    }
    const high = run.count * ROW;
    pen.box(x(player.loop - 1), mapTop - 2, w, high + 3, { colour: INK, width: 1.5 });
    pen.box(left - 2, y(state.token) - 1, LOOPS * w + 4, ROW + 1, { colour: INK, width: 1.5 });
    drawKey(pen, width, mapTop + high + 18);
    const canvas = find("map");
    canvas.setAttribute("aria-valuemin", 1);
    canvas.setAttribute("aria-valuemax", LOOPS);
    canvas.setAttribute("aria-valuenow", player.loop);
    const still = player.loop - 1 >= run.decided[state.token];
    canvas.setAttribute("aria-valuetext", `loop ${player.loop}, ${own(state.token)}: ` +
      (still ? "decided" : "will change"));
  }

  function drawKey(pen, width, y) {
    const two = width < 560, entries = [
      [ORANGE, "ring", "will change"], [BLUE, "dot", "decided from here on"],
      [null, "line", "leaves here"], [null, "shade", "darker: a longer step"]];
    entries.forEach(([rgb, mark, text], n) => {
      const x = two ? 8 + (n % 2) * (width / 2) : 8 + n * (width / 4);
      const row = y + (two ? Math.floor(n / 2) * 20 : 0);
      if (rgb) pen.cell(x, row - 7, 14, 14, looplab.shade(0.5, rgb));
      pen.ctx.fillStyle = INK; pen.ctx.strokeStyle = INK; pen.ctx.lineWidth = 1.3;
      pen.ctx.beginPath(); pen.ctx.arc(x + 7, row, 3, 0, 7);
      if (mark === "dot") pen.ctx.fill();
      if (mark === "ring") pen.ctx.stroke();
      if (mark === "line") {
        pen.line([[x + 7, row - 8], [x + 7, row + 8]], { width: 2.5, colour: GHOST });
      }
      if (mark === "shade") for (const i of range(7)) {
        pen.cell(x + 2 * i, row - 7, 2, 14, looplab.shade(i / 7, BLUE));
      }
      pen.text(text, x + 20, row, { size: 11, max: width / (two ? 2 : 4) - 26 });
    });
  }

  // --- exits -----------------------------------------------------------------------------------

  // Mean over your own next words of -log of their chance, as a chance.
  function likely(loopOf) {
    if (run.count < 2) return null;
    const sum = range(run.count - 1).reduce(
      (all, token) => all + Math.log(run.chance(loopOf(token), token, run.ids[token + 1])), 0);
    return Math.exp(sum / (run.count - 1));
  }

  function showExit() {
    const threshold = thresholdOf(state.place), gone = exits(threshold), { count } = run;
    const mean = gone.reduce((a, b) => a + b + 1, 0) / count;
    const other = range(count).filter(t => run.said(gone[t], t) !== run.said(LOOPS - 1, t));
    const share = 100 * threshold;
    const told = `${share < 9.95 ? share.toPrecision(2) : Math.round(share)} %`;
    find("threshold").value = state.place;
    find("share-told").textContent = told;
    find("threshold").setAttribute("aria-valuetext", `${told} of the state's length`);
    const chance = loopOf => `${(100 * likely(loopOf)).toPrecision(2)} %`;
    find("exit").textContent = `Words leave after ${mean.toFixed(1)} loops on average, which saves ` +
      `${percent(1 - mean / LOOPS)} of the ${LOOPS}. ${count - other.length} of ${count} guesses are ` +
      "then those of the last loop. " +
      (count < 2 ? "" : `Your own next words get ${chance(t => gone[t])} (geometric mean) where they ` +
      `leave, ${chance(() => LOOPS - 1)} at the last loop, ${chance(() => 3)} at the fourth.`);
    find("changed").replaceChildren(...other.slice(0, 6).map(t => make("li", { textContent:
      `after “${own(t)}” it says “${seen(run.said(gone[t], t))}” and not ` +
      `“${seen(run.said(LOOPS - 1, t))}”` })));
  }

  // --- controls --------------------------------------------------------------------------------

  const choose = token => {
    state.token = clamp(token, 0, run.count - 1);
    show(); changed();
  };
  find("chips").addEventListener("click", event => {
    const chip = event.target.closest("button");
    if (chip) choose([...find("chips").children].indexOf(chip));
  });
  find("chips").addEventListener("keydown", event => {
    const { token } = state;
    const to = { ArrowRight: token + 1, ArrowLeft: token - 1, Home: 0, End: Infinity }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(to);
    find("chips").children[state.token].focus();
  });
  find("map").addEventListener("keydown", event => {
    const loops = { ArrowRight: 1, ArrowLeft: -1, PageUp: 4, PageDown: -4, Home: -LOOPS,
      End: LOOPS }[event.key];
    const tokens = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!run || (!loops && !tokens)) return;
    event.preventDefault();
    if (loops) player.go(player.loop + loops); else choose(state.token + tokens);
  });
  find("map").addEventListener("pointerdown", event => {
    if (!run) return;
    const [px, py] = map.at(event), width = find("map").clientWidth;
    const token = Math.floor((py - mapTop) / ROW);
    const loop = Math.floor((px - mapLeft(width)) / column(width));
    if (token < 0 || token >= run.count) return;
    state.token = token;
    if (loop >= 0 && loop < LOOPS) player.go(loop + 1, true);
    choose(token);
  });
  let typing = 0;
  find("text").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { state.text = find("text").value; renew(); changed(); }, 200);
  });
  for (const radio of document.getElementsByName("model")) {
    radio.addEventListener("change", () => { state.model = radio.value; renew(); changed(); });
  }
  find("threshold").addEventListener("input", () => {
    state.place = +find("threshold").value;
    if (run) { showExit(); map.draw(); explore.tell(find("exit").textContent); }
    changed();
  });

  const changed = explore.shared({
    read(said) {
      state.text = said.get("text") ?? given.text;
      state.model = said.get("model") === "loop" ? "loop" : "drawn";
      // The last word, unless the link says which.
      state.token = Math.max(1, Math.trunc(+said.get("word")) || 1000) - 1;
      state.place = clamp(Math.trunc(+(said.get("exit") ?? 12) || 0), 0, 36);
      find("text").value = state.text;
      for (const radio of document.getElementsByName("model")) {
        radio.checked = radio.value === state.model;
      }
      player.go(Math.trunc(+said.get("loop") || 1), true);
      renew();
    },
    write: () => ({ text: state.text, model: state.model, loop: player.loop, word: state.token + 1,
      exit: state.place }),
  });
})();

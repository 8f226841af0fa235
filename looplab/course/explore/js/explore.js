// What the pages have in common: the slider over loops, the link that carries what was made, a
// canvas that fits its page, words for a screen reader, the theme, a visit without a network.
(() => {
  const { clamp, pen } = looplab;
  const find = id => document.getElementById(id);
  const make = (tag, properties = {}, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };

  // The theme that was chosen on the chapters' pages; "auto" follows the system, as without one.
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* a page that may keep nothing follows the system */ }

  // A page inside another one is the picture only, and its loop plays by itself, unless motion is
  // not wanted.
  const inside = window !== window.top;
  document.documentElement.classList.toggle("inside", inside);
  const moves = !matchMedia("(prefers-reduced-motion: reduce)").matches;

  // Says something to those who do not see the picture, once things have settled.
  let pause = 0;
  function tell(text) {
    clearTimeout(pause);
    pause = setTimeout(() => { find("live").textContent = text; }, 250);
  }

  // Loads a model and says so in #status; returns it. A failure is told there, and thrown.
  let asked = "", shown = null;                  // what #status speaks of: a name, its model
  async function open(name) {
    const status = find("status");
    if (asked === name && shown) return shown;
    [asked, shown] = [name, null];
    status.textContent = "The model is loading …";
    status.dataset.state = "loading";
    delete status.dataset.kept;
    try {
      const model = await looplab.engine.load(name);
      if (asked !== name) return model;          // another one has been asked for meanwhile
      status.textContent = `The model runs on your device: ${name}, ${model.about.notation}.`;
      status.dataset.state = "ready";
      dispatchEvent(new Event("looplab-ready"));
      shown = model;
      keep();
      return model;
    } catch (error) {
      status.textContent = `The model does not run here: ${error.message}`;
      status.dataset.state = "failed";
      throw error;
    }
  }

  // A slider over the loops with buttons, built into `host`; `change(loop)` is told of each move.
  function player(host, { first = 1, last, change }) {
    const button = (text, label) => make("button", { type: "button", textContent: text,
      ariaLabel: label, title: label });
    const play = make("button", { type: "button", textContent: "Play" });
    const back = button("‹", "One loop back"), on = button("›", "One loop on");
    const slider = make("input", { type: "range", min: first, max: last, value: first });
    slider.setAttribute("aria-label", "loop");
    const told = make("output", { value: first });
    host.append(play, back, slider, on, told);

    let loop = first, timer = 0;
    function show() {
      slider.value = loop;
      told.textContent = `loop ${loop}`;
      slider.setAttribute("aria-valuetext", `loop ${loop} of ${slider.max}`);
    }
    function go(next, quiet = false) {
      loop = clamp(next, +slider.min, +slider.max);
      show();
      if (!quiet) change(loop);
    }
    function stop() {
      clearInterval(timer); timer = 0;
      play.textContent = "Play";
    }
    function start() {
      stop();
      if (loop >= +slider.max) go(first);
      play.textContent = "Pause";
      timer = setInterval(() => { if (loop >= +slider.max) stop(); else go(loop + 1); }, 450);
    }
    play.addEventListener("click", () => (timer ? stop() : start()));
    back.addEventListener("click", () => { stop(); go(loop - 1); });
    on.addEventListener("click", () => { stop(); go(loop + 1); });
    slider.addEventListener("input", () => { stop(); go(+slider.value); });
    // Another number of loops; the one at hand stays, where it is one of them.
    function limit(most) {
      slider.max = most;
      loop = Math.min(loop, most);
      show();
    }
    show();
    if (inside && moves) addEventListener("looplab-ready", () => { go(first, true); start(); });
    return { get loop() { return loop; }, get last() { return +slider.max; }, go, limit, start, stop };
  }

  // The part of the address behind # carries the state: read(parameters) takes it on, and write()
  // gives parameters. Returns what a page calls after every change. A suggestion is such a link.
  function shared({ read, write }) {
    const show = () => { find("address").value = location.href; };
    const taken = () => { read(new URLSearchParams(location.hash.slice(1))); show(); };
    const changed = () => {
      history.replaceState(null, "", `#${new URLSearchParams(write())}`);
      show();
    };
    addEventListener("hashchange", taken);
    find("share").addEventListener("click", async () => {
      const field = find("address"), said = find("share");
      field.select();
      try {
        await navigator.clipboard.writeText(location.href);
        said.textContent = "Copied";
      } catch {                                  // from a disk, or refused: the field is selected
        said.textContent = "Copy what is selected";
      }
      setTimeout(() => { said.textContent = "Copy the link"; }, 2500);
    });
    taken();
    return changed;
  }

  // Draws on a canvas as wide as its place: layout(width) -> height, paint(pen, width, height).
  function stage(canvas, { layout, paint }) {
    function draw() {
      const width = canvas.clientWidth, height = Math.round(layout(width));
      const scale = window.devicePixelRatio || 1;
      if (!width) return;
      canvas.style.height = `${height}px`;
      canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
      const ctx = canvas.getContext("2d");
      ctx.setTransform(scale, 0, 0, scale, 0, 0);
      ctx.fillStyle = "#fff"; ctx.fillRect(0, 0, width, height);
      paint(pen(ctx), width, height);
    }
    let wide = 0;
    new ResizeObserver(() => {
      if (canvas.clientWidth !== wide) { wide = canvas.clientWidth; draw(); }
    }).observe(canvas);
    // Where a pointer is, in the picture's own pixels.
    const at = event => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    return { draw, at };
  }

  // Over http the pages are kept, for a visit without a network; from a disk they are there anyway.
  const kept = location.protocol.startsWith("http") && "serviceWorker" in navigator;
  if (kept) {
    navigator.serviceWorker.register("worker.js").catch(() => {});
    navigator.serviceWorker.addEventListener("message", () => {
      const status = find("status");
      if (status.dataset.kept || status.dataset.state !== "ready") return;
      status.dataset.kept = "yes";
      status.append(" The page works without a network from now on.");
    });
  }
  async function keep() {
    if (!kept) return;
    const { active } = await navigator.serviceWorker.ready;
    const used = performance.getEntriesByType("resource").map(one => one.name);
    active.postMessage([...new Set([location.href.split("#")[0], ...used])]);
  }

  looplab.explore = { find, make, tell, open, player, shared, stage };
})();

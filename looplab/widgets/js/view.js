// One view: a canvas, its keyboard and pointer, and the sentence below it.
//
// A painter draws one kind of view. It has layout(width) -> place, with the height that it needs;
// paint(pen, place, state); words(state) -> a sentence; hit(place, x, y) -> what a click there
// changes, or null; tokens: how many rows the keys up and down walk through. It may have order: the
// tokens as they come under these keys; tip(place, x, y, state) -> words for a pointer there, or "";
// press(key, state) -> what a key of its own changes, or null; keys: these in words.
(() => {
  const { SHEET, clamp, painters, pen, range, unpack } = looplab;

  // state: () => {loop, token, layer, head, held, held_loop, cursor, notice}; change(patch) stores
  // what the user did. Returns draw(), to be called when the state has changed, and close().
  function view(root, meta, bytes, state, change) {
    const painter = painters[meta.kind](meta, unpack(meta.layout, bytes));
    const box = document.createElement("div");
    box.className = "looplab-box";
    box.innerHTML =
      `<style>${SHEET}</style><canvas class="looplab-canvas" tabindex="0" role="slider"></canvas>` +
      '<div class="looplab-tip" aria-hidden="true"></div><p class="looplab-words"></p>' +
      '<p class="looplab-live" role="status" aria-live="polite"></p>';
    root.append(box);
    const canvas = box.querySelector("canvas"), strokes = pen(canvas.getContext("2d"));
    const said = box.querySelector(".looplab-words"), live = box.querySelector(".looplab-live");
    canvas.setAttribute("aria-label",
      `${meta.title}. Arrow keys, Page Up, Page Down, Home and End change the ${meta.slider}` +
      (painter.tokens ? `, up and down the ${meta.menus.token[0]}, H holds.` : ", H holds.") +
      (painter.keys ?? ""));
    canvas.setAttribute("aria-valuemin", meta.first);
    canvas.setAttribute("aria-valuemax", meta.last);
    let place = null, width = 0, ratio = 0, quiet = 0;

    function fit() {
      width = Math.floor(canvas.clientWidth); ratio = window.devicePixelRatio || 1;
      place = painter.layout(width);
      canvas.style.height = place.height + "px";
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(place.height * ratio);
    }

    function draw() {
      const wide = Math.floor(canvas.clientWidth);
      if (!wide) return;                                    // not on the page yet
      if (wide !== width || ratio !== window.devicePixelRatio) fit();
      const now = state(), { ctx } = strokes;
      ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
      ctx.fillStyle = "#fff"; ctx.fillRect(0, 0, width, place.height);
      painter.paint(strokes, place, now);
      const sentence = [now.notice, painter.words(now)].filter(Boolean).join(" ");
      said.textContent = sentence;
      canvas.dataset.loop = now.loop;
      canvas.setAttribute("aria-valuenow", now.loop);
      canvas.setAttribute("aria-valuetext", `${meta.slider} ${now.loop} of ${meta.last}`);
      clearTimeout(quiet);                   // spoken once it rests: play would flood it
      quiet = setTimeout(() => { live.textContent = sentence; }, 500);
    }

    listenToKeys(canvas, meta, painter, state, change);
    listenToPointer(canvas, (x, y) => place && painter.hit(place, x, y), change);
    if (painter.tip) {
      const tip = box.querySelector(".looplab-tip");
      showTips(canvas, tip, (x, y) => (place ? painter.tip(place, x, y, state()) : ""));
    }
    const watch = new ResizeObserver(draw);
    watch.observe(canvas);
    draw();
    return { draw, close() { watch.disconnect(); clearTimeout(quiet); box.remove(); } };
  }

  function listenToKeys(canvas, meta, painter, state, change) {
    const order = painter.order || range(painter.tokens);
    const page = Math.max(2, Math.round((meta.last - meta.first) / 8));
    canvas.addEventListener("keydown", e => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key.length === 1) e.stopPropagation();  // a letter commands JupyterLab: "d d" deletes
      const now = state(), own = painter.press?.(e.key, now);
      if (own) { e.preventDefault(); e.stopPropagation(); return change(own); }
      const loop = {
        ArrowRight: now.loop + 1, ArrowLeft: now.loop - 1,
        PageUp: now.loop + page, PageDown: now.loop - page, Home: meta.first, End: meta.last,
      }[e.key];
      const row = { ArrowDown: 1, ArrowUp: -1 }[e.key] + order.indexOf(now.token);
      const arrow = e.key.startsWith("Arrow"), hold = e.key.toLowerCase() === "h";
      if (!arrow && loop === undefined && !hold) return;
      e.preventDefault(); e.stopPropagation();      // or JupyterLab moves to another cell
      if (loop !== undefined) change({ loop: clamp(loop, meta.first, meta.last) });
      else if (row in order) change({ token: order[row] });
      else if (hold) change({ held: !now.held });
    });
  }

  // Words beside the pointer, inside the canvas.
  function showTips(canvas, tip, told) {
    canvas.addEventListener("pointermove", e => {
      const r = canvas.getBoundingClientRect(), x = e.clientX - r.left, y = e.clientY - r.top;
      tip.textContent = told(x, y);
      tip.style.left = canvas.offsetLeft + clamp(x + 14, 0, r.width - tip.offsetWidth) + "px";
      tip.style.top = canvas.offsetTop + y + 18 + "px";
    });
    canvas.addEventListener("pointerleave", () => { tip.textContent = ""; });
  }

  // A click chooses a loop or a token; a loop can be dragged.
  function listenToPointer(canvas, hit, change) {
    let dragging = false;
    const patchOf = e => {
      const r = canvas.getBoundingClientRect();
      return hit(e.clientX - r.left, e.clientY - r.top);
    };
    canvas.addEventListener("pointerdown", e => {
      const patch = patchOf(e);
      if (!patch) return;
      dragging = "loop" in patch; change(patch);
    });
    canvas.addEventListener("pointermove", e => {
      const patch = patchOf(e);
      canvas.style.cursor = patch ? "pointer" : "default";
      if (dragging && patch && "loop" in patch && e.buttons) change(patch);
    });
    const stop = () => { dragging = false; };
    canvas.addEventListener("pointerup", stop);
    canvas.addEventListener("pointerleave", stop);
  }

  Object.assign(looplab, { view });
})();

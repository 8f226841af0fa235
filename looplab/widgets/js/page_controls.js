// The edition without Jupyter: a view under plain HTML controls, and how a page's block gets one.
(() => {
  const { clamp, makers, view } = looplab;

  const make = (tag, properties = {}, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };

  // start: the state to begin with; speeds: name -> milliseconds between two pictures.
  function standalone(root, meta, bytes, start, speeds) {
    const state = { ...start };
    const play = make("button", { type: "button", textContent: "Play" });
    const slider = make("input", { type: "range", min: meta.first, max: meta.last });
    slider.setAttribute("aria-label", `${meta.slider}: ${meta.title}`);
    const told = make("output"), hold = make("button", { type: "button", textContent: "Hold" });
    // On a phone the picture is taller than the screen: the slider stays in sight.
    const top = make("div", { className: "looplab-bar looplab-top" }, play, slider, told, hold);
    const bar = make("div", { className: "looplab-bar" });
    const shell = make("div", { className: "looplab-box" }, top, bar);
    root.append(shell);

    const menu = (called, list) => {
      const options = list.map((text, i) => make("option", { value: i, textContent: text }));
      const select = make("select", {}, ...options);
      bar.append(make("label", {}, called + " ", select));
      return select;
    };
    const pace = menu("speed", Object.keys(speeds)), menus = {};
    pace.value = 1;
    for (const [name, [called, list]] of Object.entries(meta.menus)) if (list.length > 1) {
      menus[name] = menu(called, list);
      menus[name].addEventListener("change", () => change({ [name]: +menus[name].value }));
    }

    let shown = null;
    function change(patch) {
      if ("held" in patch && patch.held !== state.held) {
        state.held_loop = patch.held ? state.loop : -1;
      }
      const { edit, ...moved } = patch;
      state.notice = edit ? "A cell is changed where the notebook runs, not on this page." : "";
      Object.assign(state, moved);
      slider.value = state.loop; told.textContent = state.loop;
      slider.setAttribute("aria-valuetext", `${meta.slider} ${state.loop} of ${meta.last}`);
      hold.textContent = state.held ? "Release" : "Hold";
      for (const name of Object.keys(menus)) menus[name].value = state[name];
      if (shown) shown.draw();
    }
    hold.addEventListener("click", () => change({ held: !state.held }));
    slider.addEventListener("input", () => change({ loop: +slider.value }));
    slider.addEventListener("keydown", e => {    // in a notebook the arrows would change the cell
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[e.key];
      if (step === undefined || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault(); e.stopPropagation();
      change({ loop: clamp(state.loop + step, meta.first, meta.last) });
    });
    playWith(play, pace, Object.values(speeds), meta, state, change);
    shown = view(shell, meta, bytes, () => state, change);
    change({});
  }

  // Play from the loop shown, or from the first after the last; `pace` chooses among `speeds`.
  function playWith(button, pace, speeds, meta, state, change) {
    let timer = 0;
    const pause = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
    const run = () => {
      clearInterval(timer);
      button.textContent = "Pause";
      timer = setInterval(() => {
        if (state.loop >= meta.last) pause(); else change({ loop: state.loop + 1 });
      }, speeds[pace.value]);
    };
    button.addEventListener("click", () => {
      if (timer) return pause();
      if (state.loop >= meta.last) change({ loop: meta.first });
      run();
    });
    pace.addEventListener("change", () => { if (timer) run(); });
  }

  // data: the numbers in base64; meta, start and speeds as above.
  makers.stepper = (element, { data, meta, start, speeds }) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    standalone(element, meta, bytes, start, speeds);
  };
})();

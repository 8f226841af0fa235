// The diagnosis game without Jupyter: the rules and sentences of diagnosis.py, under plain buttons.
(() => {
  const SHEET = `${looplab.SHEET}
    .looplab-faults button:disabled { text-decoration: line-through; }
    .looplab-wide { overflow-x: auto; margin-bottom: 10px; }
    .looplab-wide img { display: block; max-width: 100%; min-width: min(640px, 200%); }`;
  const HTML = `<style>${SHEET}</style>
    <div class="looplab-wide"><img></div>
    <div class="looplab-bar looplab-faults" data-of="faults"></div>
    <p class="looplab-words" role="status" aria-live="polite"></p>
    <div class="looplab-bar">
      <button type="button" data-of="next">Next case</button>
      <button type="button" data-of="again">Start again</button>
    </div>`;

  // cases: [{fault, src, alt}]; faults: name -> what it is; tells: name -> what it shows.
  looplab.makers.game = (root, { cases, faults, tells }) => {
    const box = document.createElement("div");
    box.className = "looplab-box";
    box.innerHTML = HTML;
    root.append(box);
    const of = name => box.querySelector(`[data-of="${name}"]`);
    const picture = box.querySelector("img"), words = box.querySelector(".looplab-words");
    const buttons = Object.entries(faults).map(([name, what]) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: name, title: what });
      button.addEventListener("click", () => guess(name));
      of("faults").append(button);
      return button;
    });
    let at, solved, wrong;

    function say(sentence) {
      words.textContent = sentence;
      const shown = cases[at];
      if (picture.alt !== shown.alt) picture.srcset = shown.srcset;
      picture.alt = shown.alt;
      for (const button of buttons) button.disabled = wrong[at].has(button.textContent);
      of("next").disabled = at + 1 === cases.length || !solved[at];
      box.dataset.loop = at + 1;
    }
    function guess(name) {
      const { fault } = cases[at], finished = () => solved.every(Boolean);
      if (solved[at]) {
        const more = finished() ? "" : " Press Next case.";
        return say(`This case is solved: it is ${fault}.${more}`);
      }
      if (name !== fault) {
        wrong[at].add(name);
        return say(`Not ${name}: there ${tells[name]}. Look again.`);
      }
      solved[at] = true;
      const score = cases.filter((_, n) => solved[n] && !wrong[n].size).length;
      say(`Yes, ${fault}: ${tells[fault]}.` +
        (finished() ? ` That was the last case: ${score} of ${cases.length} at first sight.` : ""));
    }
    function show(n) {
      at = n;
      say(`Case ${n + 1} of ${cases.length}: what is broken?`);
    }
    function again() {
      solved = cases.map(() => false);
      wrong = cases.map(() => new Set());
      show(0);
    }
    of("next").addEventListener("click", () => show(at + 1));
    of("again").addEventListener("click", again);
    again();
  };
})();

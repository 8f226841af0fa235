// Bare: runs the hero on one forest and says how many answers are right.
(() => {
  const { explore, range } = looplab, parents = range(12).map(n => Math.max(0, n - 1));
  let answers = [];
  const player = explore.player(explore.find("player"), { last: 16, change: show });
  function show() {
    const now = answers[player.loop - 1];
    const right = now ? now.filter(answer => answer === 0).length : 0;
    explore.find("words").textContent = `Loop ${player.loop}: ${right} of 12 right.`;
  }
  (async () => {
    const model = await explore.open("hero");
    const ready = await model.prepare(parents.map((up, own) => [own, up]), { seed: 1 });
    let state = ready.start;
    for (const loop of range(16)) {
      ({ state } = await model.step(state, ready));
      const { data } = await model.answer(state, ready);
      answers[loop] = range(12).map(t => {
        const own = data.slice(12 * t, 12 * t + 12);
        return own.indexOf(Math.max(...own));
      });
    }
    show();
  })();
})();

// The microscope's run: its numbers by name, the answers, and who is shown as a ghost.
(() => {
  const { range } = looplab;

  // meta: meta.py says what is in it. data: what `unpack` returns.
  function microscopeRun(meta, data) {
    const { loops, layers, labels, names, targets, classes } = meta;
    const tokens = labels.length;
    const has = name => name in data;
    const channel = (who, name) => data[who + "." + name];
    const hasAnswers = who => has(who + ".answers") || has(who + ".top");
    const other = has("other.points");

    // The held loop of this run, else the other run at the same loop: {who, loop, name} or null.
    function ghostOf(state) {
      if (state.held) {
        return { who: "main", loop: state.held_loop, name: `loop ${state.held_loop}` };
      }
      if (!other) return null;
      return { who: "other", loop: Math.min(state.loop, meta.other_loops), name: "the other run" };
    }

    // The likeliest answer: {id, name, p}.
    function answer(who, loop, token) {
      if (!classes) {
        const id = channel(who, "top").at(loop, token, 0);
        return { id, name: names[id], p: channel(who, "top_p").at(loop, token, 0) };
      }
      const probability = channel(who, "answers");
      let best = 0, p = -1;
      for (const c of range(classes)) {
        const q = probability.at(loop, token, c);
        if (q > p) { p = q; best = c; }
      }
      return { id: best, name: names[best], p };
    }
    const isRight = (who, loop, token) => answer(who, loop, token).id === targets[token];
    const rightCount = (who, loop) => range(tokens).filter(t => isRight(who, loop, t)).length;
    const finalCount = (who, loop) => {
      const last = who === "main" ? loops : meta.other_loops;
      return range(tokens).filter(t => answer(who, loop, t).id === answer(who, last, t).id).length;
    };

    return {
      meta, loops, layers, labels, names, targets, classes, tokens, other,
      has, channel, hasAnswers, ghostOf, answer, isRight, rightCount, finalCount,
    };
  }

  Object.assign(looplab, { microscopeRun });
})();

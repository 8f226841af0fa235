// The microscope in words: the sentence under the picture, the same as microscope.py's.
(() => {
  const { number, percent } = looplab;

  // What a token answers at a loop, and whether that is right.
  function microscopeAnswer(run, loop, token) {
    const { names, targets } = run, { name, p } = run.answer("main", loop, token);
    const verdict = !targets ? "" : run.isRight("main", loop, token) ? ", which is right"
      : `; right is ${names[targets[token]]}`;
    return `${nameOf(run, token)} answers ${name} (${percent(p)})${verdict}.`;
  }

  function nameOf({ labels, meta: { forest } }, token) {
    if (!forest) return `Token ${labels[token]}`;
    const depth = forest.spots[token][1];
    const steps = `${depth} step${depth > 1 ? "s" : ""} below its root`;
    return `Node ${labels[token]}, ${depth ? steps : "a root"},`;
  }

  function microscopeWords(run, state) {
    const { loops, layers, targets, tokens } = run;
    const { loop, token } = state;
    const count = (who, at) => targets
      ? `${run.rightCount(who, at)} of ${tokens} answers are right`
      : `${run.finalCount(who, at)} of ${tokens} answers are the final ones`;
    const said = [
      loop === 0 ? "Loop 0, the start state before any pass." : `Loop ${loop} of ${loops}.`,
    ];
    if (run.hasAnswers("main")) {
      said.push(count("main", loop) + ".");
      said.push(microscopeAnswer(run, loop, token));
    }
    const distance = 10 ** run.channel("main", "distance").at(loop, layers - 1, token);
    if (loop === loops) said.push("This last loop stands for the fixed point.");
    else if (Number.isFinite(distance)) {
      said.push(`Its state is ${number(distance)} of its length from the fixed point.`);
    }
    const ghost = run.ghostOf(state);
    if (ghost) {
      const told = run.hasAnswers(ghost.who) ? ": " + count(ghost.who, ghost.loop) : "";
      const beside = ghost.who === "main" ? "Held beside it, " : "Beside it, ";
      said.push(beside + ghost.name + told + ".");
    }
    return said.join(" ");
  }

  Object.assign(looplab, { microscopeAnswer, microscopeWords });
})();

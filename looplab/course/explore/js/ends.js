// How a run of a random stack ended: `judge` of experiments/random_stacks.py in the browser.
(() => {
  const { range } = looplab;

  const length = (of, at, width) => {
    let sum = 0;
    for (let i = at; i < at + width; i += 1) sum += of[i] * of[i];
    return Math.sqrt(sum);
  };
  const apart = (a, b, at, width) => {
    let sum = 0;
    for (let i = at; i < at + width; i += 1) sum += (a[i] - b[i]) ** 2;
    return Math.sqrt(sum);
  };
  const mean = all => all.reduce((a, b) => a + b, 0) / all.length;
  // The lower of the two in the middle, as torch's; NaN where one is.
  const median = all => (all.some(Number.isNaN)
    ? NaN : [...all].sort((a, b) => a - b)[Math.floor((all.length - 1) / 2)]);

  // Every row of `states` [row, width] at length 1.
  function directions(states, width) {
    const out = new Float64Array(states.length);
    for (let at = 0; at < states.length; at += width) {
      const by = Math.max(length(states, at, width), 1e-12);
      for (let i = at; i < at + width; i += 1) out[i] = states[i] / by;
    }
    return out;
  }

  // `limit_by_period` for the row at `at` of states [loop][row, width]: ["fixed point", 1],
  // ["orbit", period] or ["other", 0].
  function limit(states, at, width, { tolerance, lasting }) {
    const quarter = Math.floor(states.length / 4), half = states.slice(-2 * quarter);
    const end = half.slice(quarter);
    const scale = Math.max(mean(end.map(state => length(state, at, width))), 2.3e-308);
    const middle = new Float64Array(at + width);
    for (let i = at; i < at + width; i += 1) middle[i] = mean(end.map(state => state[i]));
    const spread = Math.max(...end.map(state => apart(state, middle, at, width))) / scale;
    if (spread <= tolerance) return ["fixed point", 1];

    const away = range(quarter).map(n => Math.max(...range(quarter).map(late =>
      apart(half[quarter + late], half[quarter + late - n - 1], at, width))) / scale);
    let furthest = 0, period = 0;
    for (let n = 0; n < quarter && !period; n += 1) {
      const next = n + 1 < quarter ? away[n + 1] : Infinity;
      if (furthest > tolerance && away[n] <= tolerance && away[n] <= next) period = n + 1;
      furthest = Math.max(furthest, away[n]);
    }
    const steps = range(2 * quarter - 1).map(n => apart(half[n + 1], half[n], at, width));
    const most = some => Math.max(...some);
    const lasts = most(steps.slice(quarter)) >= lasting * most(steps.slice(0, quarter));
    return period && lasts ? ["orbit", period] : ["other", 0];
  }

  // states: [loop][layer, token, width]; shape: {tokens, width}; rules: the thresholds of
  // random_stacks.py. Returns what an Outcome says, with `limits`, [kind, period] of each token.
  looplab.ends = (states, { tokens, width }, rules) => {
    const size = tokens * width, last = states.at(-1), layers = last.length / size;
    const ends = states.map(all => all.subarray((layers - 1) * size));
    const rows = range(tokens).map(token => token * width);
    const half = ends[Math.floor(ends.length / 2)], [before, end] = ends.slice(-2);
    const growth = median(rows.map(at => length(end, at, width) / length(half, at, width)));
    if (!states.every(all => all.every(Number.isFinite)) || !(growth <= rules.explodes)) {
      return { kind: "explodes", period: 0, growth, resting: NaN, cosine: NaN, step: NaN,
        limits: [] };
    }
    const ways = ends.map(state => directions(state, width));
    const limits = rows.map(at => limit(ways, at, width, rules));
    const of = kind => limits.filter(([name]) => name === kind);
    const resting = of("fixed point").length / tokens, turning = of("orbit").map(one => one[1]);
    const points = directions(last, width);
    const cosine = mean(rows.map(at => Math.min(...range(layers).map(layer => {
      let sum = 0;
      for (let i = at; i < at + width; i += 1) sum += points[i] * points[layer * size + i];
      return sum;
    }))));
    let kind = "no rest";
    if (cosine > rules.degenerate) kind = "degenerate";
    else if (resting >= rules.share) kind = "cycle";
    else if (resting + turning.length / tokens >= rules.share) kind = "orbit";
    const count = one => turning.filter(other => other === one).length;
    // The most common one, of several the shortest.
    const better = (a, b) => (count(b) - count(a) || a - b) > 0;
    const period = kind === "orbit" ? turning.reduce((a, b) => (better(a, b) ? b : a)) : 0;
    const step = median(rows.map(at => apart(end, before, at, width) / length(end, at, width)));
    return { kind, period, growth, resting, cosine, step, limits };
  };
  Object.assign(looplab, { lengthOf: length, apart, directions, median });
})();

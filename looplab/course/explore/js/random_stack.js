// A stack of random weights, looped in float64: experiments/random_stacks.py in the browser.
//
// The models of the other pages run in float32 over ONNX. A stack that does not rest magnifies
// rounding, and in float32 some of its labels would differ from one device to the next; a layer of
// 32 numbers is small enough for plain loops over arrays.
(() => {
  const { engine, range } = looplab;

  // One seed's dice for one part of a stack; they fall the same everywhere.
  const dice = (seed, part) => engine.uniform(1000 * seed + part);

  // `count` numbers from N(0, std²), two from each turn of a circle (Box and Muller).
  function normals(next, count, std) {
    const out = new Float64Array(count);
    for (let n = 0; n < count; n += 2) {
      const far = std * Math.sqrt(-2 * Math.log(1 - next())), turn = 2 * Math.PI * next();
      out[n] = far * Math.cos(turn);
      if (n + 1 < count) out[n + 1] = far * Math.sin(turn);
    }
    return out;
  }

  // As random_stacks.random_stack draws: every matrix from N(0, 1/fan-in), to be multiplied by a
  // gain; the tokens' table from N(0, 1); a start from N(0, std²) without what is beyond 3 std.
  // One seed is one throw: norms, injections and gains share it, and so do the first layers of
  // stacks of different size.
  function draw({ seed, depth }, { width, tokens, vocab, startStd }) {
    const matrix = (next, rows, columns) => normals(next, rows * columns, columns ** -0.5);
    const layers = range(depth).map(n => {
      const next = dice(seed, 100 + n);
      return {
        qkv: matrix(next, 3 * width, width), out: matrix(next, width, width),
        up: matrix(next, 4 * width, width), down: matrix(next, width, 4 * width),
      };
    });
    const table = normals(dice(seed, 1), vocab * width, 1), pick = dice(seed, 2);
    const x = new Float64Array(tokens * width);
    for (const token of range(tokens)) {
      const id = Math.floor(pick() * vocab);
      x.set(table.subarray(id * width, (id + 1) * width), token * width);
    }
    const next = dice(seed, 3), noise = new Float64Array(tokens * width);
    for (const n of noise.keys()) {
      do [noise[n]] = normals(next, 1, startStd); while (Math.abs(noise[n]) > 3 * startStd);
    }
    return { layers, mix: matrix(dice(seed, 4), width, 2 * width), x, noise };
  }

  // The normal distribution's Φ: a table in steps of 1/64, and Taylor's series from the nearest.
  const STEP = 1 / 64, FAR = 9;
  const density = a => 0.3989422804014327 * Math.exp(-a * a / 2);
  const DENSITY = Float64Array.from(range(FAR / STEP + 1), n => density(n * STEP));
  const PHI = new Float64Array(DENSITY.length).fill(0.5);
  for (let n = 1; n < PHI.length; n += 1) {
    const a = (n - 0.5) * STEP, rise = h => series(a, density(a), h);
    PHI[n] = PHI[n - 1] + rise(STEP / 2) - rise(-STEP / 2);
  }

  // Φ(a + h) - Φ(a) for |h| <= 1/128, to the seventh power of h: what is left out is below 1e-18.
  function series(a, d, h) {
    const b = a * a;
    return d * h * (1 + h * (-a / 2 + h * ((b - 1) / 6 + h * (a * (3 - b) / 24
      + h * (((b - 6) * b + 3) / 120 + h * (a * (b * (10 - b) - 15) / 720
      + (h * (((b - 15) * b + 45) * b - 15)) / 5040))))));
  }

  function gelu(x) {
    const size = Math.abs(x);
    if (!(size < FAR - STEP)) return x > 0 ? x : x * 0;   // x * 0: what is no number stays none
    const nearest = Math.round(size / STEP), a = nearest * STEP;
    const phi = PHI[nearest] + series(a, DENSITY[nearest], size - a);
    return x * (x > 0 ? phi : 1 - phi);
  }

  // out[row, o] = gain Σ_i from[row, i] matrix[o, i], for matrices [outs, ins]; outs in fours, since
  // four sums at a time do not wait for each other.
  function multiply(out, from, matrix, rows, outs, ins, gain) {
    for (let o = 0; o < outs; o += 4) {
      const b = o * ins, c = b + ins, d = c + ins, e = d + ins;
      for (let row = 0; row < rows; row += 1) {
        const a = row * ins, to = row * outs + o;
        let first = 0, second = 0, third = 0, fourth = 0;
        for (let i = 0; i < ins; i += 1) {
          const value = from[a + i];
          first += value * matrix[b + i]; second += value * matrix[c + i];
          third += value * matrix[d + i]; fourth += value * matrix[e + i];
        }
        out[to] = gain * first; out[to + 1] = gain * second;
        out[to + 2] = gain * third; out[to + 3] = gain * fourth;
      }
    }
  }

  // x / sqrt(mean(x²) + eps) in each row of `from`, written to `out`.
  function norm(out, from, width, eps) {
    for (let start = 0; start < from.length; start += width) {
      let sum = 0;
      for (let i = start; i < start + width; i += 1) sum += from[i] * from[i];
      const by = 1 / Math.sqrt(sum / width + eps);
      for (let i = start; i < start + width; i += 1) out[i] = from[i] * by;
    }
  }

  // The pair (i, i + half) of a head's numbers turns by token * 10000^(-i / half); in float32, as
  // the table of looplab.model.layers is made.
  function turns(tokens, half) {
    const angle = (token, i) => Math.fround(token * Math.fround(10000 ** (-i / half)));
    const table = of => Float64Array.from({ length: tokens * half },
      (_, n) => Math.fround(of(angle(Math.floor(n / half), n % half))));
    return { cos: table(Math.cos), sin: table(Math.sin) };
  }

  // Causal attention of `heads` heads: qkv [token, 3 width] is turned in place, out [token, width].
  function attend(out, qkv, { cos, sin }, tokens, width, heads) {
    const size = width / heads, half = size / 2, wide = 3 * width;
    for (let token = 0; token < tokens; token += 1) {
      for (let part = token * wide; part < token * wide + 2 * width; part += size) {
        for (let i = 0; i < half; i += 1) {
          const a = qkv[part + i], b = qkv[part + half + i], n = token * half + i;
          qkv[part + i] = a * cos[n] - b * sin[n];
          qkv[part + half + i] = a * sin[n] + b * cos[n];
        }
      }
    }
    const weights = new Float64Array(tokens);
    out.fill(0);
    for (let head = 0; head < width; head += size) {
      for (let query = 0; query < tokens; query += 1) {
        let most = -Infinity, total = 0;
        for (let key = 0; key <= query; key += 1) {
          let sum = 0;
          const [q, k] = [query * wide + head, key * wide + width + head];
          for (let i = 0; i < size; i += 1) sum += qkv[q + i] * qkv[k + i];
          weights[key] = sum / Math.sqrt(size);
          if (!(weights[key] <= most)) most = weights[key];
        }
        for (let key = 0; key <= query; key += 1) {
          total += weights[key] = Math.exp(weights[key] - most);
        }
        for (let key = 0; key <= query; key += 1) {
          const share = weights[key] / total, v = key * wide + 2 * width + head;
          for (let i = 0; i < size; i += 1) out[query * width + head + i] += share * qkv[v + i];
        }
      }
    }
  }

  // placement: {before, after, onSum, loopEnd}, a row of looplab.model.norms; injection: "none",
  // "random" or "half-half"; drawn: what `draw` returns. Yields, loop by loop, the states behind
  // every layer, [layer, token, width].
  function* loops({ placement, injection, gain, depth }, drawn, { width, tokens, heads, eps }) {
    const { layers, mix, x, noise } = drawn, { before, after, onSum, loopEnd } = placement;
    const size = tokens * width, table = turns(tokens, width / heads / 2);
    const [read, branch, both] = [size, size, 2 * size].map(n => new Float64Array(n));
    const [qkv, mixed, hidden] = [3 * size, size, 4 * size].map(n => new Float64Array(n));
    const z = Float64Array.from(injection === "none" ? x : noise);

    function inject() {
      if (injection === "none") return;
      if (injection === "half-half") {
        for (let i = 0; i < size; i += 1) z[i] = (z[i] + x[i]) / 2;
        return;
      }
      for (let token = 0; token < tokens; token += 1) {
        const a = token * width;
        both.set(z.subarray(a, a + width), 2 * a);
        both.set(x.subarray(a, a + width), 2 * a + width);
      }
      multiply(z, both, mix, tokens, width, 2 * width, gain);
    }
    function add() {
      if (after && !onSum) norm(branch, branch, width, eps);
      for (let i = 0; i < size; i += 1) z[i] += branch[i];
      if (after && onSum) norm(z, z, width, eps);
    }
    function layer({ qkv: three, out, up, down }) {
      const reads = () => { if (before) norm(read, z, width, eps); else read.set(z); };
      reads();
      multiply(qkv, read, three, tokens, 3 * width, width, gain);
      attend(mixed, qkv, table, tokens, width, heads);
      multiply(branch, mixed, out, tokens, width, width, gain);
      add();
      reads();
      multiply(hidden, read, up, tokens, 4 * width, width, gain);
      for (let i = 0; i < hidden.length; i += 1) hidden[i] = gelu(hidden[i]);
      multiply(branch, hidden, down, tokens, width, 4 * width, gain);
      add();
    }

    while (true) {
      const states = new Float64Array(depth * size);
      inject();
      for (let n = 0; n < depth; n += 1) {
        layer(layers[n]);
        states.set(z, n * size);
      }
      if (loopEnd) norm(z, z, width, eps);
      yield states;
    }
  }

  Object.assign(looplab, { stack: { draw, loops, gelu } });
})();

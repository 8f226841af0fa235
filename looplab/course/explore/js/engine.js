// The engine: a model's graphs under onnxruntime-web. The loop is whoever calls `step` again.
//
//   const model = await looplab.engine.load("hero");          // model.about: its about.json
//   const ready = await model.prepare(tokens, { seed: 1 });   // { x, start, ... }
//   let state = ready.start;
//   ({ state, layers, attention } = await model.step(state, ready));
//   const logits = await model.answer(state, ready);
//
// tokens: [number, ...], or [[number, number], ...] for a model with two symbols a token. All else
// are tensors, { data: Float32Array, dims }: states and x [1, token, width], layers [layer, 1,
// token, width], attention [layer, 1, head, token, token], logits [1, token, answer].
//
// Everything comes as classic scripts that hand over text (base64 of gzip), since a page that is
// opened from a disk may load neither modules nor files.
(() => {
  const HERE = new URL(".", document.currentScript.src);
  const waiting = new Map(), loaded = new Map();

  // A script beside this one, once; where it hands over a parcel, that.
  function script(name) {
    if (!loaded.has(name)) loaded.set(name, new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = new URL(`${name}.js`, HERE);
      element.onload = () => { resolve(waiting.get(name)); waiting.delete(name); };
      element.onerror = () => {
        loaded.delete(name);                     // so that a second try is one
        reject(new Error(`${name}.js could not be loaded: is all of the site there?`));
      };
      document.head.append(element);
    }));
    return loaded.get(name);
  }
  const take = (name, parcel) => waiting.set(name, parcel);

  async function unpack(text) {
    const packed = atob(text), bytes = new Uint8Array(packed.length);
    for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  }

  let started = null;
  async function start() {
    for (const needed of ["WebAssembly", "DecompressionStream"]) {
      if (!(needed in window)) throw new Error(`this browser is too old, it has no ${needed}`);
    }
    const [parcel] = await Promise.all([script("runtime"), script("ort.wasm.min")]);
    const [glue, wasm] = await Promise.all([unpack(parcel.glue), unpack(parcel.wasm)]);
    const module = URL.createObjectURL(new Blob([glue], { type: "text/javascript" }));
    ort.env.logLevel = "error";
    Object.assign(ort.env.wasm, {
      numThreads: 1,                             // more of them would need special headers
      wasmBinary: wasm.buffer, wasmPaths: { mjs: module },
    });
    return ort;
  }
  // One runtime for all models; a start that failed is tried again.
  const runtime = () => (started ??= start().catch(error => { started = null; throw error; }));

  // The runtime takes one run at a time: each waits for the one before it.
  let last = Promise.resolve();
  function oneByOne(work) {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  }

  // A number in [0, 1) at each call, the same ones for the same seed (mulberry32).
  function uniform(seed) {
    let a = seed >>> 0;
    return () => {
      a = (a + 0x6d2b79f5) | 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }
  // `count` draws of a normal distribution, drawn again beyond `cut` times its deviation.
  function normal(count, seed, { std, cut }) {
    const draw = uniform(seed), out = new Float32Array(count);
    for (let i = 0; i < count;) {
      const one = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
      if (Math.abs(one) <= cut) out[i++] = std * one;
    }
    return out;
  }

  function checked(tokens, { vocab, fields, longest }, sees) {
    const count = tokens.length;
    if (!count) throw new Error("no tokens: expected at least one");
    if (longest && count > longest) throw new Error(
      `${count} tokens: this model's graphs take up to ${longest}`);
    if (sees === "grid" && !Number.isInteger(Math.sqrt(count))) throw new Error(
      `${count} cells: a grid has a square number of them`);
    for (const token of tokens) {
      const symbols = fields === 1 ? [token] : token;
      if (fields > 1 && symbols?.length !== fields) throw new Error(
        `token ${JSON.stringify(token)}: expected ${fields} symbols`);
      for (const id of symbols) if (!Number.isInteger(id) || id < 0 || id >= vocab) throw new Error(
        `token id ${id}: this model knows whole numbers from 0 to ${vocab - 1}`);
    }
    return count;
  }

  // Who sees whom on a square grid, row by row: a cell itself and its four neighbours.
  function neighbours(cells) {
    const side = Math.sqrt(cells), out = new Uint8Array(cells * cells);
    for (let a = 0; a < cells; a++) for (let b = 0; b < cells; b++) {
      const down = Math.abs(Math.floor(a / side) - Math.floor(b / side));
      out[a * cells + b] = down + Math.abs((a % side) - (b % side)) <= 1;
    }
    return out;
  }

  const loading = new Map();
  async function open(name) {
    const [ort, { about, graphs }] = await Promise.all([runtime(), script(`models/${name}`)]);
    const sessions = {};
    for (const part of Object.keys(about.parts)) {
      const bytes = await unpack(graphs[part]);
      sessions[part] = await oneByOne(() => ort.InferenceSession.create(bytes));
    }
    const run = (part, given) => {
      const feeds = {};
      for (const input of about.parts[part].inputs) feeds[input] = given[input];
      return oneByOne(() => sessions[part].run(feeds));
    };

    async function prepare(tokens, { seed = 0 } = {}) {
      const { fields } = about.tokens, count = checked(tokens, about.tokens, about.sees);
      const ids = BigInt64Array.from(tokens.flat(), BigInt);
      const dims = fields === 1 ? [1, count] : [1, count, fields];
      const given = { tokens: new ort.Tensor("int64", ids, dims) };
      if (about.sees) given.sees = new ort.Tensor("bool", neighbours(count), [count, count]);
      const made = await run("prelude", given), { width } = about;
      const start = made.start ?? new ort.Tensor(
        "float32", normal(count * width, seed, about.start), [1, count, width]);
      return { ...given, x: made.x, start };
    }
    async function step(state, ready) {
      const { next, layers, attention } = await run("core", { ...ready, state });
      return { state: next, layers, attention };
    }
    const answer = async (state, ready) => (await run("answer", { ...ready, state })).logits;
    return { about, prepare, step, answer };
  }

  // A model, loaded once; raises Error with a sentence where a file is missing.
  function load(name) {
    if (!loading.has(name)) loading.set(name, open(name).catch(error => {
      loading.delete(name);
      throw error;
    }));
    return loading.get(name);
  }

  looplab.engine = { load, take, uniform };
})();

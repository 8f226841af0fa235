// The first piece: the name that all pieces share, and numbers from the wire to words.
//
// embed.py joins the pieces in one order. Each but this one is a function around itself that takes
// from `looplab` what earlier pieces put there, and adds its own.
const looplab = {
  painters: {},  // kind of view -> (meta, data) => painter; view.js says what a painter is
  makers: {},    // kind of block on a page -> (element, payload) => nothing; fills it
};

(() => {
  // layout: name -> [offset, bytes per number, shape, low, step]; the highest code means "missing".
  // As payload.py packs them. Returns name -> { at(...index), shape }.
  function unpack(layout, bytes) {
    const out = {};
    for (const [name, [offset, size, shape, low, step]] of Object.entries(layout)) {
      const count = shape.reduce((a, b) => a * b, 1);
      const raw = bytes.slice(offset, offset + count * size);
      const codes = size === 2 ? new Uint16Array(raw.buffer) : raw;
      const missing = size === 2 ? 65535 : 255;
      const values = Float64Array.from(codes, c => (c === missing ? NaN : low + c * step));
      const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
      const at = (...index) => values[index.reduce((sum, n, i) => sum + n * strides[i], 0)];
      out[name] = { at, shape };
    }
    return out;
  }

  const range = n => Array.from({ length: n }, (_, i) => i);
  const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
  const percent = p => Math.floor(p * 100 + 0.5) + " %";
  const number = x =>
    !Number.isFinite(x) ? "–" : !x ? "0" : x >= 0.01 && x < 99.5 ? x.toPrecision(2) : x.toExponential(1);

  Object.assign(looplab, { unpack, range, clamp, percent, number });
})();

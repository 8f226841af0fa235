// The live widget: traits of the model are the state, jslink moves them, nothing waits for Python.
const TRAITS = ["loop", "token", "layer", "head", "held", "held_loop"];
const bytesOf = sent => sent instanceof DataView
  ? new Uint8Array(sent.buffer, sent.byteOffset, sent.byteLength) : new Uint8Array(sent);

function initialize({ model }) {
  const hold = () => {                       // holding pins the loop that is shown now
    if (model.get("held") === (model.get("held_loop") >= 0)) return;
    model.set("held_loop", model.get("held") ? model.get("loop") : -1);
    model.save_changes();
  };
  const speed = () => {
    model.set("interval", model.get("intervals")[model.get("speed")]);
    model.save_changes();
  };
  model.on("change:held", hold);
  model.on("change:speed", speed);
}

function render({ model, el }) {
  const state = () => {
    const s = Object.fromEntries(TRAITS.map(name => [name, model.get(name)]));
    s.held = s.held && s.held_loop >= 0;
    return s;
  };
  const change = patch => { model.set(patch); model.save_changes(); };
  const shown = looplab.view(el, model.get("meta"), bytesOf(model.get("data")), state, change);
  const events = TRAITS.map(name => "change:" + name).join(" ");
  model.on(events, shown.draw);
  return () => { model.off(events, shown.draw); shown.close(); };
}
export default { initialize, render };

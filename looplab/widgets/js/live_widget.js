// The live widget: traits of the model are the state, jslink moves them, nothing waits for Python.
const TRAITS = ["loop", "token", "layer", "head", "held", "held_loop", "cursor"];
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
  let notice = "";                           // what came of the last edit
  const state = () => {
    const s = Object.fromEntries(TRAITS.map(name => [name, model.get(name)]));
    s.held = s.held && s.held_loop >= 0;
    return { ...s, notice };
  };
  // An edit is made in Python, which then sends other data and what it has done.
  const change = ({ edit, ...patch }) => {
    notice = edit ? "Waiting for the kernel ..." : "";
    if (edit) { model.send({ edit }); draw(); }
    else { model.set(patch); model.save_changes(); }
  };
  const open = () =>
    looplab.view(el, model.get("meta"), bytesOf(model.get("data")), state, change);
  let shown = open();
  const renew = () => {
    const focused = el.contains(el.getRootNode().activeElement);
    shown.close(); shown = open();
    if (focused) el.querySelector("canvas").focus({ preventScroll: true });
  };
  const hear = message => { notice = message.notice; draw(); };
  const draw = () => shown.draw(), events = TRAITS.map(name => "change:" + name).join(" ");
  model.on(events, draw); model.on("change:data", renew); model.on("msg:custom", hear);
  return () => {
    model.off(events, draw); model.off("change:data", renew); model.off("msg:custom", hear);
    shown.close();
  };
}
export default { initialize, render };

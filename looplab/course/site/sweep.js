// Move one widget's slider over every frame as a drag does, then its menus; what did not change.
widget => {
  const wrong = [], slider = widget.querySelector('input[type=range]');
  const canvas = widget.querySelector('canvas'), words = widget.querySelector('.looplab-words');
  const set = (control, value, kind) => {
    control.value = value;
    control.dispatchEvent(new Event(kind, { bubbles: true }));
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Uint32Array(pixels.data.buffer).reduce((sum, pixel) => (sum * 31 + pixel) | 0, 0);
  };
  let before = set(slider, slider.min, 'input') + words.textContent;
  for (let loop = +slider.min + 1; loop <= +slider.max; loop++) {
    const now = set(slider, loop, 'input') + words.textContent;
    if (now === before) wrong.push(`nothing changed at ${loop}`);
    if (widget.querySelector('output').textContent !== String(loop)) wrong.push(
      `the number beside the slider is not ${loop}`);
    before = now;
  }
  for (const menu of [...widget.querySelectorAll('select')].slice(1)) {  // the first is the speed
    const start = menu.value;
    const shown = [...menu.options].map(option => set(menu, option.value, 'change'));
    if (new Set(shown).size < shown.length) wrong.push(
      `${shown.length} choices of a menu show ${new Set(shown).size} pictures`);
    set(menu, start, 'change');
  }
  return wrong;
}

// The style sheet of everything around a canvas: the white card, words, bars of controls.
looplab.SHEET = `
  .looplab-box { background: #fff; color: ${looplab.INK}; color-scheme: light;
    padding: 12px 14px 8px; border-radius: 6px; font: 13px/1.45 ${looplab.FONT};
    box-sizing: border-box; position: relative; }
  .looplab-box .looplab-box { padding: 0; }
  .looplab-canvas { display: block; width: 100%; border-radius: 4px; touch-action: manipulation; }
  .looplab-canvas:focus { outline: 3px solid #0072B2; outline-offset: 3px; }
  .looplab-tip { position: absolute; max-width: 260px; padding: 4px 9px; pointer-events: none;
    color: #fff; background: ${looplab.INK}; border-radius: 4px; z-index: 2; }
  .looplab-tip:empty { display: none; }
  .looplab-words { margin: 10px 0 2px; min-height: 2.9em; color: ${looplab.INK}; }
  .looplab-live { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  .looplab-bar { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center;
    margin-bottom: 10px; }
  .looplab-bar input[type=range] { flex: 1 1 110px; min-width: 0; height: 28px;
    accent-color: #0072B2; }
  .looplab-bar button, .looplab-bar select { font: inherit; min-height: 32px; padding: 3px 11px;
    max-width: 100%; color: ${looplab.INK}; background: #f2f2f2; border: 1px solid #767676;
    border-radius: 4px; }
  .looplab-bar button:not(:disabled), .looplab-bar select { cursor: pointer; }
  .looplab-bar button:disabled { color: #6e6e6e; border-color: #c4c4c4; }
  .looplab-bar :focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
  .looplab-bar output { min-width: 2.2em; text-align: right; font-variant-numeric: tabular-nums; }
  .looplab-bar label { display: inline-flex; gap: 6px; align-items: center; max-width: 100%; }
  .looplab-top { position: sticky; top: var(--looplab-top, 0); z-index: 1; background: #fff;
    padding: 6px 0; margin: -6px 0 4px; }`;

// Colours: the ink, the colour and marker of each layer, and the shades of a number.
(() => {
  const { clamp } = looplab;
  const INK = "#1a1a1a", SOFT = "#595959", RULE = "#d4d4d4", GHOST = "#6a3d7c";
  const PATH = "#8a8a8a";                          // where the state came from
  const BLUE = [0, 114, 178], ORANGE = [188, 76, 0], GREEN = "#00704f";
  const FONT = '"Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif';
  // Okabe-Ito colours without yellow; each with its own marker and dash, so colour is never alone.
  const STYLES = [
    ["#0072B2", "circle", []], ["#D55E00", "square", [7, 3]], ["#009E73", "diamond", [2, 2.5]],
    ["#CC79A7", "up", [9, 3, 2, 3]], ["#56B4E9", "down", [4, 4]], ["#E69F00", "hexagon", [12, 4]],
    ["#000000", "star", [1, 3]],
  ];
  const style = layer => STYLES[layer % STYLES.length];     // [colour, marker, dash]

  // "#rrggbb" -> [r, g, b]
  const rgbOf = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
  // White for 0, the colour for 1.
  const shade = (share, rgb) => {
    const q = clamp(share, 0, 1), mix = c => Math.round(255 + (c - 255) * q);
    return `rgb(${rgb.map(mix).join(",")})`;
  };
  // The other half of a cell, where the eye could tell the two shades apart.
  const shadeBeside = (value, before, rgb) =>
    Math.abs(value - before) < 0.02 ? undefined : shade(before, rgb);
  // What can be read on a ground of this colour.
  const inkOn = colour => {
    const [r, g, b] = rgbOf(colour);
    return 0.299 * r + 0.587 * g + 0.114 * b < 140 ? "#fff" : INK;
  };

  Object.assign(looplab, { INK, SOFT, RULE, GHOST, PATH, BLUE, ORANGE, GREEN, FONT });
  Object.assign(looplab, { style, rgbOf, shade, shadeBeside, inkOn });
})();

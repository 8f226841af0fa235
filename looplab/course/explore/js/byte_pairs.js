// A byte-pair tokenizer, as `tokenizer.json` says it: text to ids and back.
(() => {
  const { range } = looplab;

  // A byte's character: itself where it can be seen, or the next free one from 256 on.
  const SEEN = [[33, 126], [161, 172], [174, 255]];
  let free = 256;
  const LETTERS = range(256).map(byte =>
    String.fromCharCode(SEEN.some(([a, b]) => byte >= a && byte <= b) ? byte : free++));
  const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));
  // Pairs are never joined across the pieces that this finds: a word with the space before it.
  const PIECES = new RegExp("'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}" +
    "\\p{N}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+", "gu");

  // tokens: the text of each id; merges: [left id, right id], the earliest first; special: texts
  // that are one token wherever they stand.
  looplab.bytePairs = ({ tokens, merges, special }) => {
    const ids = new Map(tokens.map((token, id) => [token, id]));
    const key = (left, right) => left * tokens.length + right;
    const ranks = new Map(merges.map(([left, right], rank) => [key(left, right), rank]));
    const joined = merges.map(([left, right]) => ids.get(tokens[left] + tokens[right]));
    const reader = new TextDecoder();

    function merge(piece) {
      const found = Array.from(new TextEncoder().encode(piece), byte => ids.get(LETTERS[byte]));
      while (found.length > 1) {
        let first = Infinity, at = -1;
        for (let n = 1; n < found.length; n += 1) {
          const rank = ranks.get(key(found[n - 1], found[n]));
          if (rank < first) [first, at] = [rank, n - 1];
        }
        if (at < 0) break;
        found.splice(at, 2, joined[first]);
      }
      return found;
    }

    const plain = text => (text.match(PIECES) ?? []).flatMap(merge);
    const ends = special.map(word => word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");
    function encode(text) {
      if (!ends) return plain(text);
      return text.split(new RegExp(`(${ends})`, "u"))
        .flatMap((part, n) => (n % 2 ? [ids.get(part)] : plain(part)));
    }

    const bytes = id => (special.includes(tokens[id])
      ? [] : Array.from(tokens[id], letter => BYTES.get(letter)));
    const decode = some => reader.decode(Uint8Array.from(Array.from(some).flatMap(bytes)));
    return { encode, decode };
  };
})();

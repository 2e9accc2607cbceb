/**
 * Characters by name or number, as HTML has them; of the names those that models write.
 */

const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]{2,8}));/y;
const ENTITIES = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©",
  reg: "®", trade: "™", hellip: "…", mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’",
  ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", times: "×", divide: "÷", deg: "°",
  plusmn: "±", larr: "←", uarr: "↑", rarr: "→", darr: "↓", le: "≤", ge: "≥", ne: "≠",
  euro: "€", pound: "£", middot: "·", bull: "•", sect: "§", para: "¶", infin: "∞",
};

/**
 * The character that is named, or numbered, here.
 *
 * @param {string} text
 * @param {number} at
 * @returns {[string, number]|null} it, and the length of its name
 */
export function readEntity(text, at) {
  ENTITY.lastIndex = at;
  const found = ENTITY.exec(text);
  if (!found) return null;
  const [whole, decimal, hex, name] = found;
  if (name !== undefined) {
    return Object.hasOwn(ENTITIES, name) ? [ENTITIES[name], whole.length] : null;
  }
  const code = decimal ? parseInt(decimal, 10) : parseInt(hex, 16);
  const fine = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return [fine ? String.fromCodePoint(code) : "\ufffd", whole.length];
}

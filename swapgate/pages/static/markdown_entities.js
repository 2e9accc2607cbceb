/**
 * HTML's named characters, those that models write.
 */

/** @type {Object<string, string>} */
export const ENTITIES = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©",
  reg: "®", trade: "™", hellip: "…", mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’",
  ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", times: "×", divide: "÷", deg: "°",
  plusmn: "±", larr: "←", uarr: "↑", rarr: "→", darr: "↓", le: "≤", ge: "≥", ne: "≠",
  euro: "€", pound: "£", middot: "·", bull: "•", sect: "§", para: "¶", infin: "∞",
};

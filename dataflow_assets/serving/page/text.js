// From text to what is seen. Text from documents reaches the page as text alone: nothing here makes markup out of words, and
// what is shown is the text to the letter. Positions count code points; a string of this language counts UTF-16 units.

const MAX_EDITS = 600; // words that go or come, beyond which two texts are shown without marks
const GLIMPSE = 400; // code points that the words of a question are gathered in
const BEFORE = 120; // code points shown before the first of them, at most
const SHOWN = 1200; // code points of a result in the list
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key === "className" ? "class" : key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

export const number = (value) => value.toLocaleString("en");

/** Text with the spans marked; those that begin before the one before them ended are left out. */
export function marked(points, spans) {
  const parts = [];
  let at = 0;
  for (const [start, end] of spans) {
    if (start < at || end <= start || start >= points.length) continue;
    parts.push(points.slice(at, start).join(""), element("mark", {}, points.slice(start, end).join("")));
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return parts;
}

/** Text with headings and fenced code set apart by their looks. `state` goes from one piece of a document to the next. */
export function dressed(text, spans, state) {
  if (state.plain) return marked(Array.from(text), spans);
  const runs = [];
  for (const line of text.split(/(?<=\n)/)) {
    const kind = kindOfLine(line.trimEnd(), state), last = runs.at(-1);
    if (last?.kind === kind && kind !== "heading") for (const point of line) last.points.push(point);
    else runs.push({ kind, points: Array.from(line) });
  }
  const parts = [];
  let at = 0;
  for (const { kind, points } of runs) {
    const from = at, mine = spans.map(([start, end]) => [Math.max(0, start - from), end - from]).filter(([, end]) => end > 0);
    parts.push(...(kind ? [element("span", { className: kind }, ...marked(points, mine))] : marked(points, mine)));
    at += points.length;
  }
  return parts;
}

function kindOfLine(line, state) {
  const [, fence, words] = FENCE.exec(line) || [];
  if (state.fence) {
    // A stretch may begin within code: a fence that names a language opens, whatever stood before.
    if (fence && fence[0] === state.fence[0] && fence.length >= state.fence.length && !words.trim()) state.fence = null;
    return "code";
  }
  if (fence && !(fence[0] === "`" && words.includes("`"))) {
    state.fence = fence;
    return "code";
  }
  return /^#{1,6} /.test(line) ? "heading" : "";
}

export const isPlain = (markup) => markup === "text" || markup === "rst";

/** The stretch of a result in which most of the question's words stand together, without empty lines. */
export function glimpse(one) {
  const points = Array.from(one.text), spans = one.highlights, state = { plain: /\.(rst|te?xt|log)$/i.test(one.source_uri) };
  const word = spans.map(([start, end]) => points.slice(start, end).join("").toLowerCase());
  let best = 0, most = 0;
  spans.forEach(([start], i) => {
    const near = new Set(word.filter((_, j) => spans[j][0] >= start && spans[j][1] <= start + GLIMPSE)).size;
    if (near > most) [best, most] = [start, near];
  });
  let from = 0;
  if (best > BEFORE) {
    const line = points.lastIndexOf("\n", best - 1) + 1;
    from = best - line <= BEFORE ? line : best - BEFORE;
    while (from > line && from < best && !/\s/.test(points[from - 1])) from++;
  }
  if (from === 0) {
    // The title stands above already.
    const head = Array.from(/^(\s*#{1,6} .*\n\s*)?/.exec(one.text)[0]).length;
    if (!spans.some(([start]) => start < head)) from = head;
  }
  dressed(points.slice(0, from).join(""), [], state); // whether the stretch begins within code
  const to = Math.min(points.length, from + SHOWN);
  const shown = spans.filter(([start]) => start >= from).map(([start, end]) => [start - from, end - from]);
  const parts = dressed(points.slice(from, to).join(""), shown, state);
  for (const part of parts) if (part.className === "code") part.className = "code inline";
  const tidy = (part, i) => {
    if (typeof part !== "string") return part;
    const close = (parts[i - 1]?.className === "heading" ? part.replace(/^\s*\n/, "") : part).replace(/\n\s*\n/g, "\n\n");
    const joined = state.plain ? close : close.replace(/([^\n])\n(?=[^\s|*#>+\d`/-])/g, "$1 "); // lines that a paragraph was broken into
    return joined.replace(/\n\n/g, "\n");
  };
  return [from > 0 && points[from - 1] !== "\n" ? "… " : "", ...parts.map(tidy)];
}

/** Where something lies; a link where a browser may follow it. */
export function place(uri, link) {
  if (!/^https?:\/\//i.test(link || uri)) return element("bdi", {}, uri);
  return element("a", { href: link || uri, rel: "noopener noreferrer", target: "_blank" }, uri);
}

/** What two texts have in common and what they don't, by words; texts that differ too much are shown as they are. */
export function difference(before, after) {
  const a = before.split(/(\s+)/), b = after.split(/(\s+)/), steps = edits(a, b);
  if (!steps) return [[before], [after]];
  const left = [], right = [];
  for (const [kind, word] of steps) {
    if (kind === "kept") { left.push(word); right.push(word); }
    else if (kind === "del") left.push(element("del", {}, word));
    else right.push(element("ins", {}, word));
  }
  return [left, right];
}

// The fewest words that go and come (Myers, "An O(ND) difference algorithm and its variations", 1986); null where they are many.
function edits(a, b) {
  const trail = [], reach = new Int32Array(2 * MAX_EDITS + 3), middle = MAX_EDITS + 1;
  const comes = (k, d, from) => k === -d || (k !== d && from[middle + k - 1] < from[middle + k + 1]);
  for (let d = 0; d <= MAX_EDITS; d++) {
    trail.push(reach.slice());
    for (let k = -d; k <= d; k += 2) {
      let x = comes(k, d, reach) ? reach[middle + k + 1] : reach[middle + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reach[middle + k] = x;
      if (x >= a.length && x - k >= b.length) return walkBack(a, b, trail, comes, middle);
    }
  }
  return null;
}

function walkBack(a, b, trail, comes, middle) {
  const steps = [];
  let x = a.length, y = b.length;
  for (let d = trail.length - 1; d >= 0; d--) {
    const k = x - y, added = comes(k, d, trail[d]), before = added ? k + 1 : k - 1, from = d ? trail[d][middle + before] : 0;
    while (x > (d ? from : 0) && y > (d ? from - before : 0) && x > 0 && y > 0 && a[x - 1] === b[y - 1]) { steps.push(["kept", a[--x]]); y--; }
    if (d === 0) break;
    if (added) steps.push(["ins", b[--y]]);
    else steps.push(["del", a[--x]]);
  }
  return steps.reverse();
}

// What the page does. Text from documents reaches the page as text alone: nothing here makes markup out of words.
"use strict";

const byId = (id) => document.getElementById(id);
const query = byId("query"), status = byId("status"), results = byId("results"), glance = byId("glance");
const reader = byId("reader"), door = byId("door");
const FILTERS = ["library", "doc_type", "language", "tags", "since", "until", "mode"];
const WAIT = 150; // milliseconds after the last key before a search begins
const WINDOW = 20000; // code points of a document fetched at a time
const GLIMPSE = 240; // code points of a result that are shown at most before the first word that was found
const MAX_DIFF = 1200; // words on either side beyond which a difference is shown whole

let running = null, timer = 0, shown = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key === "className" ? "class" : key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

class Refused extends Error {}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(path, { ...options, headers, credentials: "omit" });
  const said = await answer.json().catch(() => ({ detail: `The service answered with ${answer.status}.` }));
  if (answer.status === 401) letIn(key !== null);
  if (!answer.ok) throw new Refused(said.detail || said.title);
  return said;
}

function letIn(wrong) {
  byId("door-said").textContent = wrong ? "The service does not know this key." : "";
  sessionStorage.removeItem("key");
  if (!door.open) door.showModal();
}

byId("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", byId("key").value.trim());
  byId("key").value = "";
  door.close();
  start();
});

function say(words, wrong = false) {
  status.textContent = words;
  status.classList.toggle("wrong", wrong);
}

// ---- libraries at a glance

async function lookAtLibraries() {
  const { libraries } = await ask("v1/libraries");
  const select = byId("library"), chosen = select.value || wanted().get("library") || "";
  select.replaceChildren(element("option", { value: "" }, "all"), ...libraries.map((one) => element("option", {}, one.name)));
  select.value = libraries.some((one) => one.name === chosen) ? chosen : "";
  glance.replaceChildren(...libraries.map(libraryCard));
  if (!libraries.length) say("There is no library here yet.");
}

function libraryCard(one) {
  const card = element("article", { className: "library" }, element("h3", {}, one.name));
  const told = one.quality;
  if (told) {
    const score = Math.round(told.overall_score * 100);
    card.append(
      element("meter", { min: "0", max: "100", low: "60", high: "85", optimum: "100", value: String(score), "aria-label": "Quality" }),
      element("p", {}, `Quality ${score} of 100: ${number(told.valid)} of ${number(told.documents)} documents are valid, ` +
        `${number(told.rejected)} rejected, ${number(told.duplicates)} duplicates, ${number(told.corrected)} texts mended.`));
  }
  card.append(element("p", {}, `${number(one.points)} passages. ` + (one.fresh_as_of ? `Last change ${one.fresh_as_of} UTC.` : "Never run.")));
  return card;
}

const number = (value) => value.toLocaleString("en");

// ---- searching

function wanted() {
  return new URLSearchParams(location.hash.slice(1));
}

function parameters() {
  const said = new URLSearchParams();
  if (query.value.trim()) said.set("query", query.value.trim());
  for (const name of FILTERS) {
    const field = byId(name), value = field.value.trim();
    if (value && field.checkValidity() && !(name === "mode" && value === "hybrid")) said.set(name, value);
  }
  return said;
}

function search(wait = 0) {
  clearTimeout(timer);
  timer = setTimeout(searchNow, wait);
}

// The address tells what is looked for and looked at, so that it can be sent to somebody.
function remember(said, opened = null) {
  if (opened) said.set("open", opened);
  history.replaceState(null, "", said.size ? `#${said}` : location.pathname);
}

async function searchNow() {
  const open = wanted().get("open");
  const said = parameters();
  remember(said);
  running?.abort();
  if (!said.has("query")) {
    results.replaceChildren();
    glance.hidden = false;
    say("");
    return;
  }
  const mine = (running = new AbortController());
  try {
    const answer = await ask(`v1/search?${said}`, { signal: mine.signal });
    if (mine.signal.aborted) return;
    glance.hidden = true;
    results.replaceChildren(...answer.results.map(resultItem));
    const notes = (answer.notes || []).join(" ");
    const opened = answer.results.find((one) => one.chunk_id === open);
    if (opened) await openDocument(opened);
    say(`${answer.results.length || "No"} result${answer.results.length === 1 ? "" : "s"} in ${answer.took_ms.toFixed(1)} ms. ${notes}`);
  } catch (error) {
    if (error.name === "AbortError") return;
    results.replaceChildren();
    say(error instanceof Refused ? error.message : "The service does not answer.", true);
  }
}

function resultItem(one) {
  const open = element("button", { type: "button" }, one.title || one.source_uri);
  open.addEventListener("click", () => openDocument(one));
  const path = one.heading_path.filter((heading) => heading !== one.title).join(" › ");
  const page = one.first_page ? `page ${one.first_page}` : "";
  const facts = [one.library, one.doc_type, one.language !== "und" ? one.language : "", one.role || "", page].filter(Boolean);
  const item = element("li", {}, element("h3", {}, open), element("p", { className: "facts" }, place(one), path ? ` › ${path}` : ""));
  item.append(element("p", { className: "text" }, ...glimpse(one)));
  const badges = element("p", { className: "facts" });
  for (const fact of facts) badges.append(element("span", { className: "badge" }, fact), " ");
  if (one.corrected_text !== null) badges.append(element("span", { className: "badge" }, "mended"), " ");
  badges.append(`score ${one.score.toFixed(3)}`);
  item.append(badges);
  return item;
}

// The stretch around the first word that was found, without empty lines.
function glimpse(one) {
  const first = one.highlights.length ? one.highlights[0][0] : 0, points = Array.from(one.text);
  let from = first > GLIMPSE ? first - GLIMPSE / 2 : 0;
  while (from > 0 && from < first && !/\s/.test(points[from - 1])) from++;
  const spans = one.highlights.map(([start, end]) => [start - from, end - from]);
  const parts = marked(points.slice(from).join(""), spans);
  const close = (part) => (typeof part === "string" ? part.replace(/\n\s*\n/g, "\n") : part);
  return from > 0 ? ["… ", ...parts.map(close)] : parts.map(close);
}

function place(one) {
  const link = one.link || one.source_uri;
  if (!/^https?:\/\//i.test(link)) return one.source_uri;
  return element("a", { href: link, rel: "noopener noreferrer", target: "_blank" }, one.source_uri);
}

// Positions count code points; a string of this language counts UTF-16 units.
function marked(text, spans) {
  const points = Array.from(text), parts = [];
  let at = 0;
  for (const [start, end] of spans) {
    if (start < at) continue;
    parts.push(points.slice(at, start).join(""), element("mark", {}, points.slice(start, end).join("")));
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return parts;
}

// ---- a document

async function openDocument(one) {
  try {
    const start = Math.max(0, one.start_position - WINDOW / 2);
    const found = await ask(`v1/documents/${one.document_id}?start=${start}&length=${WINDOW}`);
    shown = { found, result: one, view: "original" };
    if (!reader.open) reader.showModal();
    remember(parameters(), one.chunk_id);
    byId("reader-text").focus();
    drawDocument();
  } catch (error) {
    say(error instanceof Refused ? error.message : "The service does not answer.", true);
  }
}

function drawDocument(follow = true) {
  const { found, result, view } = shown, mended = found.chunks.filter((chunk) => chunk.corrected_text !== null).length;
  byId("reader-title").textContent = found.title || found.source_uri;
  byId("reader-facts").replaceChildren(place({ ...found, link: result.link }),
    ` · quality ${Math.round(found.quality_score * 100)} of 100 · ${number(found.character_count)} characters · ` +
    (mended ? `${mended} of ${found.chunks.length} passages here mended` : "nothing here was mended") +
    found.issues.map((issue) => ` · ${issue.message}`).join(""));
  for (const button of reader.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
    button.disabled = button.dataset.view !== "original" && !mended;
  }
  const text = byId("reader-text"), pieces = documentPieces(found, result);
  text.replaceChildren(...pieces.map((piece) => drawPiece(piece, view)));
  if (found.start > 0) text.prepend(moreButton("Show what is before", Math.max(0, found.start - WINDOW), found.start));
  if (found.end < found.character_count) text.append(moreButton("Show what follows", found.end, found.end + WINDOW));
  const passage = text.querySelector(".passage");
  if (follow) (passage?.querySelector("mark") ?? passage)?.scrollIntoView({ block: "center" });
}

// The text cut at its chunks; what lies between them is kept. Chunks may overlap: the later one gives way.
function documentPieces(found, result) {
  const points = Array.from(found.text || ""), pieces = [];
  let at = found.start;
  const cut = (from, to) => points.slice(from - found.start, to - found.start).join("");
  for (const chunk of found.chunks) {
    const start = Math.max(chunk.start_position, at), end = Math.min(chunk.end_position, found.end);
    if (end <= start) continue;
    if (start > at) pieces.push({ text: cut(at, start) });
    const whole = start === chunk.start_position && end === chunk.end_position;
    const here = chunk.chunk_id === result.chunk_id;
    pieces.push({ text: cut(start, end), corrected: whole ? chunk.corrected_text : null, here, spans: here && whole ? result.highlights : [] });
    at = end;
  }
  if (at < found.end) pieces.push({ text: cut(at, found.end) });
  return pieces;
}

function drawPiece(piece, view) {
  const kind = piece.here ? "text passage" : "text";
  if (view === "beside" && piece.corrected != null) {
    const [before, after] = difference(piece.text, piece.corrected);
    return element("div", { className: "pair" }, element("div", { className: kind }, ...before), element("div", { className: kind }, ...after));
  }
  if (view === "corrected" && piece.corrected != null) return element("span", { className: kind }, piece.corrected);
  return element("span", { className: kind }, ...marked(piece.text, piece.spans || []));
}

function moreButton(words, from, to) {
  const button = element("button", { type: "button", className: "more" }, words);
  button.addEventListener("click", async () => {
    const more = await ask(`v1/documents/${shown.found.document_id}?start=${from}&length=${Math.max(1, to - from)}`);
    const first = from < shown.found.start, [head, tail] = first ? [more, shown.found] : [shown.found, more];
    const chunks = new Map([...head.chunks, ...tail.chunks].map((chunk) => [chunk.chunk_id, chunk]));
    shown.found = { ...tail, start: head.start, end: tail.end, text: head.text + tail.text, chunks: [...chunks.values()] };
    const text = byId("reader-text"), height = text.scrollHeight, top = text.scrollTop;
    drawDocument(false);
    text.scrollTop = first ? top + text.scrollHeight - height : top;
  });
  return button;
}

// The longest common run of words; texts that are too long for that are shown as they are.
function difference(before, after) {
  const a = before.split(/(\s+)/), b = after.split(/(\s+)/);
  if (a.length > MAX_DIFF || b.length > MAX_DIFF) return [[before], [after]];
  const rows = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      rows[i][j] = a[i] === b[j] ? rows[i + 1][j + 1] + 1 : Math.max(rows[i + 1][j], rows[i][j + 1]);
  const left = [], right = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) { left.push(a[i++]); right.push(b[j++]); }
    else if (j >= b.length || (i < a.length && rows[i + 1][j] >= rows[i][j + 1])) left.push(element("del", {}, a[i++]));
    else right.push(element("ins", {}, b[j++]));
  }
  return [left, right];
}

for (const button of reader.querySelectorAll("[data-view]"))
  button.addEventListener("click", () => { shown.view = button.dataset.view; drawDocument(); });
byId("close").addEventListener("click", () => reader.close());
reader.addEventListener("close", () => remember(parameters()));
reader.addEventListener("click", (event) => { if (event.target === reader) reader.close(); });

// ---- keyboard

document.addEventListener("keydown", (event) => {
  if (reader.open || door.open || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|SELECT)$/.test(document.activeElement?.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); query.focus(); query.select(); return; }
  if (event.key === "Escape" && document.activeElement !== query) { query.focus(); return; }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || (typing && document.activeElement !== query)) return;
  const buttons = [...results.querySelectorAll("h3 button")], at = buttons.indexOf(document.activeElement);
  if (!buttons.length) return;
  event.preventDefault();
  (at + step < 0 ? query : buttons[Math.min(at + step, buttons.length - 1)]).focus();
});

// ---- beginning

byId("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
query.addEventListener("input", () => search(WAIT));
for (const name of FILTERS) byId(name).addEventListener("input", () => search(WAIT));

function restore() {
  const said = wanted();
  query.value = said.get("query") || "";
  for (const name of FILTERS) if (name !== "library") byId(name).value = said.get(name) || (name === "mode" ? "hybrid" : "");
}

async function start() {
  try {
    await lookAtLibraries();
    await searchNow();
  } catch (error) {
    say(error instanceof Refused ? error.message : "The service does not answer.", true);
  }
}

window.addEventListener("hashchange", () => { restore(); byId("library").value = wanted().get("library") || ""; searchNow(); });
restore();
start();

// A result opened in its document: the passage marked, the original beside the corrected text.
import { Refused, ask } from "./service.js";
import { difference, dressed, element, isPlain, number, place } from "./text.js";

const WINDOW = 20000; // code points of a document fetched at a time
const byId = (id) => document.getElementById(id);
const reader = byId("reader"), text = byId("reader-text");

let shown = null; // { found: the document, result, view }
let asked = 0; // which of several openings is the latest

export const isOpen = () => reader.open;
export const close = () => reader.close();
export const opened = () => (reader.open ? shown?.result.chunk_id : null);

/** Opens a result. `where` says which of how many it is, or nothing where it is none of those listed. */
export async function openDocument(result, where = null) {
  const mine = ++asked, start = Math.max(0, result.start_position - WINDOW / 2);
  const found = await ask(`v1/documents/${result.document_id}?start=${start}&length=${WINDOW}`);
  if (mine !== asked) return false;
  shown = { found, result, view: shown?.view ?? "original" };
  byId("steps").hidden = !where;
  if (where) {
    byId("where").textContent = `${where.at + 1} of ${where.of}`;
    byId("before").disabled = where.at === 0;
    byId("after").disabled = where.at + 1 === where.of;
  }
  say("");
  if (!reader.open) reader.showModal();
  text.focus();
  draw();
  return true;
}

const say = (words) => { byId("reader-said").textContent = words; };
const mended = () => shown.found.chunks.filter((chunk) => chunk.corrected_text !== null).length;

function draw(follow = true) {
  const { found, result } = shown, count = mended(), view = count ? shown.view : "original";
  byId("reader-title").textContent = found.title || found.source_uri;
  const facts = [found.library, `quality ${Math.round(found.quality_score * 100)} of 100`, `${number(found.character_count)} characters`];
  if (count) facts.push(`${count} of ${found.chunks.length} passages here mended`);
  facts.push(...found.issues.map((issue) => issue.message));
  byId("reader-facts").replaceChildren(place(found.source_uri, result.link), ` · ${facts.join(" · ")}`);
  byId("views").hidden = !count;
  byId("change").hidden = view === "original";
  for (const button of reader.querySelectorAll("[data-view]"))
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  const state = { plain: isPlain(found.markup) };
  text.replaceChildren(...pieces(found, result).map((piece) => drawPiece(piece, view, state)));
  if (found.text === null) text.append(element("p", { className: "facts" }, "This document has no text."));
  if (found.start > 0) text.prepend(moreButton("Show what is before", Math.max(0, found.start - WINDOW), found.start));
  if (found.end < found.character_count) text.append(moreButton("Show what follows", found.end, found.end + WINDOW));
  if (!follow) return;
  const passage = text.querySelector(".passage"), word = passage?.querySelector("ins, del, mark");
  // The whole passage where it fits; else its beginning, or the first word that was found where that lies further down.
  const fits = passage && passage.offsetHeight < text.clientHeight * 0.8;
  const deep = word && word.offsetTop - passage.offsetTop > text.clientHeight * 0.6;
  (fits || !deep ? passage : word)?.scrollIntoView({ block: fits || deep ? "center" : "start" });
}

// The text cut at its chunks; what lies between them is kept. Chunks may overlap: the later one gives way.
function pieces(found, result) {
  const points = Array.from(found.text || ""), made = [];
  let at = found.start;
  const cut = (from, to) => points.slice(from - found.start, to - found.start).join("");
  for (const chunk of found.chunks) {
    const start = Math.max(chunk.start_position, at), end = Math.min(chunk.end_position, found.end);
    if (end <= start) continue;
    if (start > at) made.push({ text: cut(at, start) });
    const whole = start === chunk.start_position && end === chunk.end_position;
    const here = chunk.chunk_id === result.chunk_id, first = start - chunk.start_position;
    const spans = here ? result.highlights.map(([from, to]) => [from - first, to - first]).filter(([from]) => from >= 0) : [];
    made.push({ text: cut(start, end), corrected: whole ? chunk.corrected_text : null, here, spans });
    at = end;
  }
  if (at < found.end) made.push({ text: cut(at, found.end) });
  return made;
}

function drawPiece(piece, view, state) {
  const kind = piece.here ? "text passage" : "text";
  if (view !== "original" && piece.corrected != null) {
    const [before, after] = difference(piece.text, piece.corrected);
    dressed(piece.text, [], state); // whether what follows is code
    if (view === "corrected") return element("div", { className: kind, dir: "auto" }, ...after);
    return element("div", { className: "pair" },
      element("div", { className: kind, dir: "auto", role: "group", "aria-label": "Original" }, ...before),
      element("div", { className: kind, dir: "auto", role: "group", "aria-label": "Corrected" }, ...after));
  }
  return element("div", { className: kind, dir: "auto" }, ...dressed(piece.text, piece.spans || [], state));
}

function moreButton(words, from, to) {
  const button = element("button", { type: "button", className: "more" }, words);
  button.addEventListener("click", async () => {
    button.disabled = true;
    const before = shown;
    try {
      const more = await ask(`v1/documents/${shown.found.document_id}?start=${from}&length=${Math.max(1, to - from)}`);
      if (shown !== before) return;
      const first = from < shown.found.start, [head, tail] = first ? [more, shown.found] : [shown.found, more];
      const chunks = new Map([...head.chunks, ...tail.chunks].map((chunk) => [chunk.chunk_id, chunk]));
      shown.found = { ...tail, start: head.start, end: tail.end, text: head.text + tail.text, chunks: [...chunks.values()] };
      const height = text.scrollHeight, top = text.scrollTop;
      say("");
      draw(false);
      text.scrollTop = first ? top + text.scrollHeight - height : top;
      text.focus({ preventScroll: true });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      button.disabled = false;
      say(error.message);
    }
  });
  return button;
}

// The first change below what is seen, and after the last one the first again.
function nextChange() {
  const changes = [...text.querySelectorAll("ins, del")], middle = text.getBoundingClientRect().top + text.clientHeight / 2;
  const next = changes.find((change) => change.getBoundingClientRect().top > middle + 2) ?? changes[0];
  for (const change of text.querySelectorAll(".here")) change.classList.remove("here");
  next?.classList.add("here");
  next?.scrollIntoView({ block: "center" });
}

for (const button of reader.querySelectorAll("[data-view]"))
  button.addEventListener("click", () => { shown.view = button.dataset.view; draw(); });
byId("change").addEventListener("click", nextChange);
byId("close").addEventListener("click", close);
reader.addEventListener("click", (event) => { if (event.target === reader) close(); });

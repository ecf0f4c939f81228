// The field, the filters, the list of results and the libraries at a glance; the address tells what is looked for and looked at.
import { close, isOpen, openDocument, opened } from "./reader.js";
import { Refused, ask, useKey, whenTurnedAway } from "./service.js";
import { element, glimpse, number, place } from "./text.js";

const byId = (id) => document.getElementById(id);
const query = byId("query"), status = byId("status"), list = byId("results"), glance = byId("glance"), more = byId("more");
const reader = byId("reader"), door = byId("door");
const FILTERS = ["library", "doc_type", "language", "tags", "since", "until", "mode"];
const WAIT = 150; // milliseconds after the last key before a search begins
const STEP = 10; // results at first, and how many more at a time
const MOST = 100; // results that the service gives at most

let running = null, timer = 0, retry = 0;
let results = []; // what is listed
let answered = ""; // the question that they answer
let read = null; // the chunk that was opened last

// ---- what is said

function say(words, wrong = false) {
  if (status.textContent !== words) status.textContent = words;
  status.classList.toggle("wrong", wrong);
}

/** Says why something did not work; what may work later is tried again by itself. */
function excuse(error, again) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refused)) {
    say("The page made a mistake. Load it anew.", true);
    throw error;
  }
  say(error.seconds === null ? error.message : `${error.message} The page tries again by itself.`, true);
  byId("again").hidden = false;
  byId("again").onclick = error.status === 401 ? () => letIn(false) : again;
  byId("again").textContent = error.status === 401 ? "Enter a key" : "Try again";
  clearTimeout(retry);
  if (error.seconds !== null) retry = setTimeout(again, error.seconds * 1000);
}

function fine() {
  clearTimeout(retry);
  byId("again").hidden = true;
}

// ---- the key

function letIn(wrong) {
  if (isOpen()) close();
  byId("door-said").textContent = wrong ? "The service does not know this key." : "";
  if (!door.open) door.showModal();
}

whenTurnedAway(letIn);
byId("door-close").addEventListener("click", () => door.close());
byId("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value.trim());
  byId("key").value = "";
  door.close();
  start();
});

// ---- libraries at a glance

async function lookAtLibraries() {
  const { libraries } = await ask("v1/libraries");
  const select = byId("library"), chosen = select.value || wanted().get("library") || "";
  select.replaceChildren(element("option", { value: "" }, "all"), ...libraries.map((one) => element("option", {}, one.name)));
  select.value = libraries.some((one) => one.name === chosen) ? chosen : "";
  byId("libraries").replaceChildren(...libraries.map(libraryCard));
  glance.hidden = !libraries.length || query.value.trim() !== "";
  fine();
  if (libraries.length) return true;
  say("There is no library here yet. Name one in the catalog, and run it with: dataflow run");
  return false;
}

function libraryCard(one) {
  const card = element("li", { className: "card" }, element("h3", {}, one.name)), told = one.quality;
  if (!told) {
    card.append(element("p", { className: "facts" }, "Not searchable yet: ", element("code", {}, `dataflow run ${one.name}`)));
    return card;
  }
  const score = Math.round(told.overall_score * 100);
  const parts = [[told.rejected, "rejected", "rejected"], [told.duplicates, "duplicate", "duplicates"], [told.corrected, "text mended", "texts mended"]];
  const others = parts.filter(([count]) => count).map(([count, one, many]) => `${number(count)} ${count === 1 ? one : many}`);
  card.append(
    element("p", { className: "score" }, element("strong", {}, String(score)), " of 100 quality"),
    element("meter", { min: "0", max: "100", low: "60", high: "85", optimum: "100", value: String(score), "aria-label": `Quality of ${one.name}` }),
    element("p", { className: "facts" }, [`${number(told.valid)} of ${number(told.documents)} documents valid`, ...others].join(", ") + "."),
    element("p", { className: "facts" }, `${number(one.points)} passage${one.points === 1 ? "" : "s"}`, ...(one.fresh_as_of ? [", changed ", ago(one.fresh_as_of)] : []), one.retired ? ", no longer in the catalog" : ""));
  const here = element("button", { type: "button" }, "Search here", element("span", { className: "unseen" }, `, in ${one.name} only`));
  here.addEventListener("click", () => { byId("library").value = one.name; query.focus(); search(); });
  const over = element("details", {}, element("summary", {}, "More figures"));
  over.addEventListener("toggle", () => { if (over.open && over.children.length === 1) lookCloser(one.name, over); });
  card.append(element("p", {}, here), over);
  return card;
}

/** Shows the findings, how well questions find what they should, and the figures over time. */
async function lookCloser(library, details) {
  try {
    const { reports } = await ask(`v1/evaluation?library=${encodeURIComponent(library)}&limit=5`);
    const { findings = [], evaluations = [] } = reports[0]?.metrics ?? {}, measured = evaluations.filter((one) => one.in_use).at(-1);
    const share = (value) => `${Math.round(value * 100)} %`;
    if (measured) {
      details.append(element("p", { className: "facts" }, `${number(measured.questions)} ${measured.kind === "golden" ? "golden queries" : "test questions"}: ` +
        `${share(measured.recall)} of what they should find is among the first ${measured.k}; nDCG ${measured.ndcg.toFixed(2)}.`));
    }
    details.append(element("ul", { className: "facts" }, ...findings.slice(0, 5).map((one) => element("li", {}, `${number(one.count)} × ${one.message} ${one.suggestion}`))));
    const row = (kind, cells) => element("tr", {}, ...cells.map((cell) => element(kind, kind === "th" ? { scope: "col" } : {}, cell)));
    details.append(element("table", {}, element("caption", { className: "unseen" }, "Figures of the last runs that changed something"),
      element("thead", {}, row("th", ["Run", "Quality", "Documents", "Passages"])),
      element("tbody", {}, ...reports.map((one) => row("td", [one.generated_at.slice(0, 10), String(Math.round(one.overall_score * 100)), number(one.documents), number(one.chunks)])))));
  } catch (error) {
    excuse(error, () => { fine(); say(""); lookCloser(library, details); });
  }
}

function ago(said) {
  const at = new Date(`${said.replace(" ", "T")}Z`), seconds = (at - Date.now()) / 1000;
  const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(unit === "second" ? 0 : Math.round(seconds / length), unit);
  return element("time", { datetime: at.toISOString(), title: `${said} UTC` }, words);
}

// ---- searching

const wanted = () => new URLSearchParams(location.hash.slice(1));

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
  timer = setTimeout(() => { remember(); searchNow(); }, wait);
}

// What is typed replaces the address; what is opened is a step of its own, so that the browser's Back closes it.
function remember(open = null, step = false) {
  const said = parameters();
  if (open) said.set("open", open);
  const address = said.size ? `#${said}` : location.pathname;
  if (step) history.pushState({ open: true }, "", address);
  else history.replaceState(history.state, "", address);
}

async function searchNow(count = STEP) {
  clearTimeout(timer);
  running?.abort();
  document.title = `${query.value.trim() || "Search"} - dataflow`;
  const said = parameters(), filtered = FILTERS.filter((name) => said.has(name));
  byId("filters-shown").textContent = filtered.length ? `Filters (${filtered.length})` : "Filters";
  byId("unfilter").hidden = !filtered.length;
  glance.hidden = said.has("query") || !byId("libraries").children.length;
  if (!said.has("query")) {
    answered = "";
    show([], count);
    byId("suggested").replaceChildren();
    fine();
    say("");
    return;
  }
  const mine = (running = new AbortController());
  list.setAttribute("aria-busy", "true");
  try {
    const answer = await ask(`v1/search?${said}&top_k=${count}`, { signal: mine.signal });
    if (mine.signal.aborted) return;
    fine();
    answered = said.toString();
    show(answer.results, count);
    suggest(answer.understood);
    const found = `${answer.results.length || "No"} result${answer.results.length === 1 ? "" : "s"}`;
    const advice = answer.results.length ? "" : filtered.length ? "Other words, or fewer filters, may find more. " : "Other words may find more. ";
    const named = wanted().get("library") || ""; // by an address that was sent by somebody who may see more
    const elsewhere = named === byId("library").value ? "" : `There is no library ${named.slice(0, 100)} here; all were searched. `;
    say(`${found} in ${answer.took_ms.toFixed(1)} ms. ${elsewhere}${advice}${(answer.notes || []).join(" ")}`);
  } catch (error) {
    excuse(error, () => searchNow(count));
  } finally {
    if (mine === running) list.removeAttribute("aria-busy");
  }
}

function show(found, count) {
  results = found;
  list.replaceChildren(...found.map(resultItem));
  more.hidden = found.length < count || count >= MOST;
  for (const [known, values] of [["languages", found.map((one) => one.language)], ["known-tags", found.flatMap((one) => one.tags)]]) {
    const kept = new Set([...[...byId(known).children].map((option) => option.value), ...values]);
    byId(known).replaceChildren(...[...kept].sort().slice(0, 200).map((value) => element("option", { value })));
  }
}

/** Offers the filters that would fit the question; none is set by itself. */
function suggest(understood) {
  const kinds = byId("doc_type").value ? [] : (understood?.suggested_filters.doc_type ?? []);
  byId("suggested").replaceChildren(...kinds.map((kind) => {
    const button = element("button", { type: "button", className: "chip" }, `Only ${kind} pages`);
    button.addEventListener("click", () => { byId("doc_type").value = kind; query.focus(); search(); });
    return button;
  }));
}

function resultItem(one) {
  const open = element("button", { type: "button", "aria-haspopup": "dialog", dir: "auto" }, one.title || one.source_uri);
  open.addEventListener("click", () => openResult(one, { step: true }));
  const path = one.heading_path.filter((heading) => heading !== one.title).join(" › ");
  const pages = one.first_page === null ? "" : one.last_page > one.first_page ? `pages ${one.first_page} to ${one.last_page}` : `page ${one.first_page}`;
  const facts = [one.doc_type === "other" ? "" : one.doc_type, one.language === "und" ? "" : one.language, one.role, pages,
    one.corrected_text === null ? "" : "mended", `score ${one.score.toFixed(2)}`].filter(Boolean);
  return element("li", { className: "card" }, element("h3", {}, open),
    element("p", { className: "facts", dir: "auto" }, place(one.source_uri, one.link), path ? ` › ${path}` : ""),
    element("p", { className: "text", dir: "auto" }, ...glimpse(one)),
    element("p", { className: "facts" }, element("span", { className: "badge" }, one.library), ` ${facts.join(" · ")}`));
}

more.addEventListener("click", async () => {
  const before = results.length;
  await searchNow(Math.min(MOST, before + STEP));
  (list.querySelectorAll("h3 button")[before] ?? query).focus();
});

// ---- a document

async function openResult(one, { step = false } = {}) {
  const at = results.findIndex((other) => other.chunk_id === one.chunk_id);
  try {
    if (!(await openDocument(one, at < 0 ? null : { at, of: results.length }))) return;
    fine();
    read = one.chunk_id;
    remember(read, step);
  } catch (error) {
    excuse(error, () => { fine(); say(""); openResult(one, { step }); });
  }
}

/** Opens a passage that the address names, also where the question no longer finds it. */
async function openNamed(chunk) {
  let one = results.find((other) => other.chunk_id === chunk);
  try {
    one ??= { ...(await ask(`v1/chunks/${encodeURIComponent(chunk)}?before=0&after=0`)), chunk_id: chunk, highlights: [], link: "" };
    await openResult(one);
  } catch (error) {
    if (error.status !== 404 && error.status !== 422) { excuse(error, () => openNamed(chunk)); return; }
    say("The passage that the address names is not there any more.", true);
    remember();
  }
}

function step(by) {
  const at = results.findIndex((one) => one.chunk_id === opened()), next = results[at + by];
  if (at >= 0 && next) openResult(next);
}

byId("before").addEventListener("click", () => step(-1));
byId("after").addEventListener("click", () => step(1));
reader.addEventListener("close", () => {
  const at = results.findIndex((one) => one.chunk_id === read);
  if (wanted().has("open")) {
    if (history.state?.open) history.back();
    else remember();
  }
  (list.querySelectorAll("h3 button")[at] ?? query).focus();
});

// ---- keyboard

document.addEventListener("keydown", (event) => {
  if (door.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isOpen()) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
    return;
  }
  const focused = document.activeElement, typing = /^(INPUT|SELECT)$/.test(focused?.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); query.focus(); query.select(); return; }
  if (event.key === "Escape" && focused !== query) { query.focus(); return; }
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...list.querySelectorAll("h3 button")], at = buttons.indexOf(focused);
  if (!by || !buttons.length || (at < 0 && (focused !== query || by < 0))) return;
  event.preventDefault();
  (at + by < 0 ? query : buttons[Math.min(at + by, buttons.length - 1)]).focus();
});

// ---- beginning

byId("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
query.addEventListener("input", () => search(WAIT));
for (const name of FILTERS) byId(name).addEventListener("input", () => search(WAIT));
byId("unfilter").addEventListener("click", () => {
  for (const name of FILTERS) byId(name).value = name === "mode" ? "hybrid" : "";
  query.focus();
  search();
});
byId("filters-shown").addEventListener("click", (event) => {
  const shown = event.target.getAttribute("aria-expanded") !== "true";
  event.target.setAttribute("aria-expanded", String(shown));
  byId("filters").classList.toggle("shown", shown);
});

function restore() {
  const said = wanted();
  query.value = said.get("query") || "";
  for (const name of FILTERS) byId(name).value = said.get(name) || (name === "mode" ? "hybrid" : "");
  for (const name of ["library", "doc_type", "mode"]) if (byId(name).selectedIndex < 0) byId(name).selectedIndex = 0;
}

/** Does what the address says: at the beginning, and where Back, Forward or a person changed it. */
async function arrive() {
  restore();
  const open = wanted().get("open");
  if (!open && isOpen()) close();
  if (parameters().toString() !== answered) await searchNow();
  if (open && open !== opened()) await openNamed(open);
}

async function start() {
  restore();
  try {
    if (await lookAtLibraries()) await arrive();
  } catch (error) {
    excuse(error, start);
  }
}

window.addEventListener("popstate", arrive);
start();

// How the page asks the service, and what becomes of a refusal. The key is kept by this tab alone.

export class Refused extends Error {
  constructor(status, words, seconds) {
    super(words);
    this.status = status;
    this.seconds = seconds; // after which it may be tried again; null where that is of no use
  }
}

let turnedAway = () => {};

/** Says who is to be told when the service asks for a key; the argument tells whether one was shown. */
export function whenTurnedAway(told) {
  turnedAway = told;
}

export const useKey = (key) => sessionStorage.setItem("key", key);

export async function ask(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The service does not answer.", 3);
  }
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    sessionStorage.removeItem("key");
    turnedAway(key !== null);
    throw new Refused(401, "This service asks for a key.", null);
  }
  const passing = answer.status === 429 || answer.status >= 500;
  const wait = Math.min(60, Number(answer.headers.get("Retry-After")) || 5);
  throw new Refused(answer.status, said.detail || said.title || `The service answered with ${answer.status}.`, passing ? wait : null);
}

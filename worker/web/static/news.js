// Listens for news (server-sent events), fetches the page as it is now, and gives it to `show`.
const GAP = 400; // milliseconds between two fetches at least
const REST = 6; // and this many times what the last one took, so that many open pages do not keep a server busy
const LONGEST_GAP = 10000;
const LONGEST_WAIT = 35000; // for an answer, longer than the server waits for its database: else the network is cut
const QUIET = 30000; // then it is fetched all the same

const live = document.getElementById("live");
let show;
let source;
let running = false;
let again = false;
let next = 0; // not to be fetched before, by a clock that nobody sets
let resting = false; // in the background

function say(on) {
  live.dataset.live = on ? "on" : "off";
  live.textContent = on ? "live" : "not live";
}

async function refresh() {
  again = running;
  if (running) return;
  running = true;
  await new Promise((done) => setTimeout(done, Math.max(0, next - performance.now())));
  const began = performance.now();
  try {
    const signal = AbortSignal.timeout(LONGEST_WAIT);
    const answer = await fetch(location.href, { headers: { "X-Live": "1" }, signal });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.redirected) return location.reload(); // signed out: to the form
    if (answer.ok) show(fresh);
    say(answer.ok && source?.readyState === EventSource.OPEN);
  } catch {
    say(false);
  } finally {
    next = began + Math.min(LONGEST_GAP, Math.max(GAP, REST * (performance.now() - began)));
    running = false;
    if (again) refresh();
  }
}

// The browser comes back by itself after a broken connection, but not after an answer that was no stream.
function listen() {
  if (resting || (source && source.readyState !== EventSource.CLOSED)) return;
  source = new EventSource("/events");
  source.addEventListener("open", () => {
    say(true);
    refresh();
  });
  source.addEventListener("message", refresh);
  source.addEventListener("error", () => {
    say(false);
    if (source.readyState !== EventSource.CLOSED) return;
    refresh(); // refused: who is signed out sees the form, and no patient any more
    setTimeout(listen, 3000);
  });
}

// A browser has six connections to a host for all its tabs. Those in the background that keep none say so by `rests`.
export function follow(showFresh, { rests = false } = {}) {
  show = showFresh;
  const look = () => {
    resting = rests && document.hidden;
    if (!resting) return listen();
    source?.close();
    say(false); // until it is seen, and listens, again
  };
  look();
  document.addEventListener("visibilitychange", look);
  setInterval(() => resting || refresh(), QUIET);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && listen());
}

// Puts what is new in place of what is old and says otherwise; keeps the focus where it is.
export function put(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const key = old.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  old.replaceWith(fresh);
  if (key) fresh.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

export function putById(fresh, ids, home) {
  for (const id of ids) {
    const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && now) put(old, now);
    else if (old) old.remove();
    else if (now && home) home.append(now);
  }
}

export function waiting(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")}`;
  return `${Math.floor(seconds / 86400)} d`;
}

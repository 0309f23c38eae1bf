// Keeps the worklist as it is now, cell by cell, so that focus, scrolling and what was typed stay where they are.
import { keys } from "./keys.js";
import { follow, put, putById, waiting } from "./news.js";

const NEW_FOR = 60000; // milliseconds that a newly raised study is marked
const changing = document.getElementById("changing");
const news = document.getElementById("news");
let ahead = 0; // of the server's clock over ours, in milliseconds

const table = () => document.getElementById("worklist");
const rows = () => [...table().tBodies[0].rows].filter((row) => row.dataset.study);
const link = (row) => row?.querySelector("a[data-key]");
const raised = (root) => new Map([...root.querySelectorAll("tr.is-raised")].map((row) => [row.id, row]));

function setClock(root) {
  ahead = Date.parse(root.getElementById("worklist").dataset.now) - Date.now();
}

// A row that stays is changed only in the cells that say something else.
function putRow(old, fresh) {
  if (old.cells.length !== fresh.cells.length) return put(old, fresh);
  old.className = fresh.className;
  [...old.cells].forEach((cell, at) => {
    const now = fresh.cells[at];
    const times = [cell, now].map((each) => each.querySelector(":scope.c-waiting > time"));
    if (times[0] && times[1]) times[0].dateTime = times[1].dateTime;
    else put(cell, now.cloneNode(true));
  });
}

function putRows(old, fresh) {
  const before = new Map([...old.rows].map((row) => [row.id, row]));
  let at = old.rows[0] ?? null;
  for (const row of [...fresh.rows]) {
    const known = before.get(row.id);
    before.delete(row.id);
    if (!known) {
      old.insertBefore(row, at);
      continue;
    }
    if (known === at) at = at.nextElementSibling;
    else old.insertBefore(known, at);
    putRow(known, row);
  }
  for (const gone of before.values()) gone.remove();
}

// A study that left the list, as somebody read it, leaves the focus to the one that took its place.
function keepingFocus(change) {
  const key = document.activeElement.dataset?.key;
  const place = rows().findIndex((row) => row.contains(document.activeElement));
  change();
  if (!key || document.activeElement.dataset?.key === key) return;
  const same = changing.querySelector(`[data-key="${CSS.escape(key)}"]`);
  (same ?? link(rows()[Math.min(Math.max(place, 0), rows().length - 1)]))?.focus({ preventScroll: true });
}

function show(fresh) {
  if (!fresh.getElementById("worklist")) return;
  const before = raised(changing);
  setClock(fresh);
  keepingFocus(() => {
    putRows(table().tBodies[0], fresh.querySelector("#worklist tbody"));
    putById(fresh, ["strip", "found", "pages"], changing);
  });
  tick();
  tell([...raised(changing).values()].filter((row) => !before.has(row.id)));
}

function tell(risen) {
  const count = document.getElementById("found").dataset.raised;
  document.title = document.title.replace(/^(\(\d+\) )?/, count === "0" ? "" : `(${count}) `);
  if (!risen.length) return;
  const names = risen.slice(0, 3).map((row) => link(row).textContent);
  news.textContent = `${risen.length} ${risen.length === 1 ? "study" : "studies"} newly raised: ${names.join(", ")}`;
  for (const row of risen) {
    row.dataset.new = "";
    setTimeout(() => delete row.dataset.new, NEW_FOR);
  }
}

function tick() {
  const now = Date.now() + ahead;
  for (const time of document.querySelectorAll(".c-waiting time")) {
    const text = waiting(Math.max(0, Math.floor((now - Date.parse(time.dateTime)) / 1000)));
    if (time.textContent !== text) time.textContent = text;
  }
}

function step(by) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  link(next)?.focus();
}

setClock(document);
setInterval(tick, 1000);
follow(show);
keys({ j: () => step(1), k: () => step(-1), "/": () => document.getElementById("filter").select() });
table().addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  step(by);
});
document.getElementById("filter").addEventListener("keydown", (event) => {
  if (event.key === "Escape") link(rows()[0])?.focus();
});
for (const radio of document.querySelectorAll(".shows input")) {
  radio.addEventListener("change", () => radio.form.requestSubmit());
}

// Keeps a study as it is now, and shows the activation map over a film or takes it away again.
import { keys } from "./keys.js";
import { follow, putById, waiting } from "./news.js";

const news = document.getElementById("news");

function said() {
  return document.getElementById("history").querySelector(".results .last")?.id;
}

// A form that somebody is at, or has filled in, is left alone.
function isInUse(id) {
  const part = document.getElementById(id);
  const filled = [...part.querySelectorAll("input, textarea")].some(
    (field) => field.type !== "hidden" && (field.checked !== field.defaultChecked || field.value !== field.defaultValue),
  );
  return filled || part.contains(document.activeElement);
}

function stateOfFilms(root) {
  return root.getElementById("films").dataset.state;
}

function show(fresh) {
  const before = said();
  putById(fresh, ["facts", "history"]);
  for (const id of ["actions", "answers"]) if (!isInUse(id)) putById(fresh, [id]);
  if (stateOfFilms(document) !== stateOfFilms(fresh)) putById(fresh, ["films"]);
  watchFilms();
  if (said() !== before) news.textContent = "A new result was said of this study.";
}

function isUnreadable(film) {
  film.alt = `${film.alt.split(":")[0]}: no picture, it was purged or cannot be read`;
  film.classList.add("unreadable");
}

function watchFilms() {
  for (const film of document.querySelectorAll(".frame .film:not([data-watched])")) {
    film.dataset.watched = "";
    film.addEventListener("error", () => isUnreadable(film));
    if (film.complete && film.naturalWidth === 0) isUnreadable(film);
  }
}

function look(button, shown) {
  const film = button.closest("figure").querySelector("img");
  button.setAttribute("aria-pressed", String(shown));
  film.src = shown ? film.dataset.map : film.dataset.film;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.map");
  if (button) look(button, button.getAttribute("aria-pressed") !== "true");
});

function lookAtAll() {
  const buttons = [...document.querySelectorAll("button.map")];
  const shown = buttons.some((button) => button.getAttribute("aria-pressed") !== "true");
  for (const button of buttons) look(button, shown);
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-waiting]")) {
    time.textContent = waiting(Math.max(0, Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000)));
  }
}, 1000);
watchFilms();
follow(show, { rests: true });
keys({ h: lookAtAll, u: () => document.getElementById("up").click() });

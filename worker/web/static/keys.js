// Letters and signs as keys. They can be switched off, as speech input types them by accident (WCAG 2.1.4).
const KEPT = "letters-are-keys";
const help = document.getElementById("keys");
const letters = document.getElementById("letters");

letters.checked = localStorage.getItem(KEPT) !== "no";
letters.addEventListener("change", () => localStorage.setItem(KEPT, letters.checked ? "yes" : "no"));

function isTyped(target) {
  return target.closest("input:not([type=radio], [type=checkbox]), textarea, select") !== null;
}

export function keys(actions) {
  const all = {
    ...actions,
    "?": () => {
      help.open = !help.open;
      if (help.open) help.querySelector("summary").focus();
    },
  };
  document.addEventListener("keydown", (event) => {
    const action = Object.hasOwn(all, event.key) && all[event.key];
    if (!action || !letters.checked || event.ctrlKey || event.altKey || event.metaKey || isTyped(event.target)) return;
    event.preventDefault();
    action();
  });
}

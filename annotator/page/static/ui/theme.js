/** Dark or light: follows the system until the person chooses, then remembers the choice. */

const KEY = "slicewise-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

/** Apply the theme now and whenever the system's changes. */
export function startTheme(signal) {
  apply();
  // Gradio listens too and applies the system's theme; ours must come after it.
  system.addEventListener("change", () => setTimeout(apply), { signal });
}

export function toggleTheme() {
  localStorage.setItem(KEY, current() === "dark" ? "light" : "dark");
  apply();
}

export function current() {
  return localStorage.getItem(KEY) ?? (system.matches ? "dark" : "light");
}

function apply() {
  const dark = current() === "dark";
  document.body.classList.toggle("dark", dark);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
}

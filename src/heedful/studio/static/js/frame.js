// Every page: the theme, which follows the system until it is chosen.
import { by } from "./dom.js";

const root = document.documentElement;
const kept = localStorage.getItem("heedful.theme");
if (kept) root.dataset.theme = kept;
by("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("heedful.theme", root.dataset.theme);
});

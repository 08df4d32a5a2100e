// Light or dark: as the system says, or as the reader chose. The choice is a cookie, so the next page comes in it at once.
const system = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
const show = () => root.classList.toggle("is-dark", isDark());

export function themes() {
  const button = document.querySelector("[data-theme-toggle]");
  if (!button) return;
  button.hidden = false;
  show();
  system.addEventListener("change", show);
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    const isSystems = (root.dataset.theme === "dark") === system.matches;
    document.cookie = `theme=${isSystems ? "" : root.dataset.theme}; path=/; max-age=${isSystems ? 0 : 31536000}; samesite=lax`;
    show();
  });
}

// Sets the theme before anything is painted. A classic script in the head on purpose: a module would come too late.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const chosen = () => localStorage.getItem("theme");
  const apply = () => {
    document.documentElement.dataset.theme = paper.matches ? "light" : chosen() || (system.matches ? "dark" : "light");
    document.dispatchEvent(new CustomEvent("signoff:theme"));
  };
  apply();
  system.addEventListener("change", apply);
  paper.addEventListener("change", apply);
  addEventListener("storage", apply); // another tab chose
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    // Back to what the system says: forget the choice, so that the page follows the system again.
    if ((next === "dark") === system.matches) localStorage.removeItem("theme");
    else localStorage.setItem("theme", next);
    apply();
  });
})();

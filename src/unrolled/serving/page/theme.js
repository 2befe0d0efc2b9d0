// Before the first paint, so that a page in the dark never flashes; a classic script for the same reason.
(() => {
  try {
    const chosen = localStorage.getItem("unrolled.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // a browser that keeps nothing follows the system
  }
})();

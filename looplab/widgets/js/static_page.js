// Fills every block that embed.py wrote, once, as soon as the page has been read.
(() => {
  const mount = () => {
    for (const el of document.querySelectorAll("[data-looplab]:not([data-mounted])")) {
      el.dataset.mounted = "";
      looplab.makers[el.dataset.looplab](el, JSON.parse(el.querySelector("script").textContent));
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  else mount();
})();

// Fills every block that embed.py wrote, once, as soon as the page has been read.
(() => {
  const makers = {
    stepper: (el, { data, meta, start, speeds }) =>
      looplab.standalone(el, meta, Uint8Array.from(atob(data), c => c.charCodeAt(0)), start, speeds),
    game: (el, payload) => looplab.game(el, payload),
  };
  const mount = () => {
    for (const el of document.querySelectorAll("[data-looplab]:not([data-mounted])")) {
      el.dataset.mounted = "";
      makers[el.dataset.looplab](el, JSON.parse(el.querySelector("script").textContent));
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  else mount();
})();

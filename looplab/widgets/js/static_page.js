// Fills every block that embed.py wrote, once, as soon as the page has been read.
(() => {
  const mount = () => {
    for (const element of document.querySelectorAll("[data-looplab]:not([data-mounted])")) {
      const make = looplab.makers[element.dataset.looplab];
      if (!make) continue;                   // another script on this page knows this kind
      element.dataset.mounted = "";
      make(element, JSON.parse(element.querySelector("script").textContent));
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  else mount();
})();

// Keeps the pages for a visit without a network. SITE, above, is this state of the folder: pages
// and scripts are kept at once, what is large (runtime, models) when a page has used it.
const HERE = new URL("./", self.location).href, NAME = `looplab-explore-${SITE.version}`;

self.addEventListener("install", event => event.waitUntil((async () => {
  const cache = await caches.open(NAME);
  await cache.addAll(SITE.files);
  await self.skipWaiting();
})()));

self.addEventListener("activate", event => event.waitUntil((async () => {
  for (const name of await caches.keys()) {
    if (name.startsWith("looplab-explore-") && name !== NAME) await caches.delete(name);
  }
  await self.clients.claim();
})()));

self.addEventListener("fetch", event => {
  const { url, method } = event.request;
  if (method !== "GET" || !url.startsWith(HERE)) return;
  event.respondWith((async () => {
    const cache = await caches.open(NAME), bare = url.split("#")[0].split("?")[0];
    return await cache.match(bare) ?? fetch(event.request);
  })());
});

// A page says what it has loaded; answers when all of it is kept.
self.addEventListener("message", event => event.waitUntil((async () => {
  const cache = await caches.open(NAME), kept = new Set((await cache.keys()).map(one => one.url));
  const more = event.data.filter(url => url.startsWith(HERE) && !kept.has(url));
  await cache.addAll(more);
  event.source.postMessage("kept");
})()));

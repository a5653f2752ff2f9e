// Keeps the page for use without a connection. Written by the export: version and files.

const VERSION = "{{version}}";
const FILES = {{files}};

const NAME = `tl-player ${self.registration.scope} ${VERSION}`;
const addresses = FILES.map((file) => new URL(file, self.registration.scope).href);
const page = new URL("./", self.registration.scope).href;

self.addEventListener("install", (event) => event.waitUntil(keepAll().then(() => self.skipWaiting())));

self.addEventListener("activate", (event) => event.waitUntil(removeOld().then(() => self.clients.claim())));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = request.url.split(/[?#]/)[0];
  const wanted = request.mode === "navigate" && address === `${page}index.html` ? page : address;
  if (request.method !== "GET" || !addresses.includes(wanted)) return;
  event.respondWith(kept(wanted).then((response) => response ?? fetch(request)));
});

async function keepAll() {
  const cache = await caches.open(NAME);
  // What the page has just loaded comes from the browser's own store where the host allows it.
  await Promise.all(
    addresses.map(async (address) => {
      const response = await fetch(address, { cache: address === page ? "no-cache" : "default" });
      if (!response.ok) throw new Error(`${address}: ${response.status}`);
      await cache.put(address, response);
    }),
  );
}

async function kept(address) {
  const cache = await caches.open(NAME);
  return cache.match(address);
}

async function removeOld() {
  const mine = `tl-player ${self.registration.scope} `;
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(mine) && name !== NAME).map((name) => caches.delete(name)));
}

// headroom-sw.js - the browser's tier: a service worker that keeps static assets, and pages for when there is no network.
//
// Serve it from the root of your site, so that all of the site is its scope, and register it:
//
//   navigator.serviceWorker.register('/headroom-sw.js?offline=/offline.html&assets=/static/,/img/')
//
//   offline   a page to show when neither the network nor a kept page can answer; fetched when the worker is installed
//   assets    paths whose files are kept, besides scripts, styles, fonts, images and manifests
//   pages     0: pages are not kept, only `offline` is shown (default 1)
//   entries   how many answers are kept at most (default 200)
//   bytes     how many bytes of bodies at most (default 20000000); an answer over a tenth of it is not kept
//
// navigator.serviceWorker.controller.postMessage({ headroom: 'clear' }) forgets everything: call it when a user signs out.
//
// It goes by what answers say, as any private cache does (RFC 9111, RFC 5861): max-age, Age, Expires, no-store, no-cache, must-revalidate,
//   stale-while-revalidate, stale-if-error, Vary. What says nothing of the kind is not kept. Invariants: (1) only answers of this site to GET
//   without Authorization, with status 200, are kept; of pages only those that are not private; (2) what varies by something that scripts
//   cannot see (Cookie, Authorization, *) is not kept; (3) what is kept is bounded, the oldest goes first; (4) whatever fails here, the request
//   goes to the network as if there were no worker; (5) an unsafe request that succeeds drops what is kept of its address.
'use strict';

const settings = new URL(self.location.href).searchParams;
const number = (name, otherwise) => (/^\d+$/.test(settings.get(name) ?? '') ? Number(settings.get(name)) : otherwise);
const OFFLINE = settings.get('offline');
const ASSETS = (settings.get('assets') ?? '').split(',').filter(Boolean);
const PAGES = settings.get('pages') !== '0';
const ENTRIES = number('entries', 200);
const BYTES = number('bytes', 20_000_000);
const CACHE = 'headroom-1';
const SHELL = 'headroom-offline-1';  // the offline page alone: never evicted
const KEPT_AT = 'x-headroom-kept-at';  // milliseconds, on our copies only
const SIZE = 'x-headroom-size';
const OFFLINE_SECONDS = 30 * 86400;  // the longest that something is shown for want of a network
const KINDS = new Set(['script', 'style', 'font', 'image', 'manifest']);
const UNSEEN = new Set(['*', 'cookie', 'authorization']);
const FAILURES = new Set([500, 502, 503, 504]);

function directives(value) {
  const found = new Map();
  for (const part of (value ?? '').split(',')) {
    const [name, argument] = part.split('=', 2).map(text => text.trim().replace(/^"|"$/g, ''));
    if (name) found.set(name.toLowerCase(), argument ?? '');
  }
  return found;
}

// Seconds of a directive; what is no number is 0: the reading that keeps less.
function seconds(control, name) {
  if (!control.has(name)) return undefined;
  const text = control.get(name);
  return /^\d+$/.test(text) ? Math.min(Number(text), 2 ** 31) : 0;
}

function lifetime(headers, control) {
  const age = seconds(control, 'max-age');
  if (age !== undefined) return age;
  const expires = headers.get('expires');
  if (expires === null) return undefined;
  const end = Date.parse(expires), begin = Date.parse(headers.get('date') ?? '');
  return Number.isNaN(end) ? 0 : Math.max(0, (end - (Number.isNaN(begin) ? Date.now() : begin)) / 1000);
}

// How good a kept answer still is: 'fresh', 'refresh' (good, but ask anew behind it) or 'stale'; and whether it may stand in.
function judge(response, now = Date.now()) {
  const control = directives(response.headers.get('cache-control'));
  const kept = Number(response.headers.get(KEPT_AT)) || 0;
  const sent = Date.parse(response.headers.get('date') ?? '');  // the browser's own cache hands on old answers without an Age of theirs
  const told = Number.parseInt(response.headers.get('age') ?? '0', 10) || 0;
  const age = Math.max(0, told, Number.isNaN(sent) ? 0 : (kept - sent) / 1000) + Math.max(0, (now - kept) / 1000);
  const over = age - (lifetime(response.headers, control) ?? 0);
  const strict = control.has('must-revalidate') || control.has('no-cache');
  const fresh = over < 0 && !control.has('no-cache');
  return {
    state: fresh ? 'fresh' : !strict && over < (seconds(control, 'stale-while-revalidate') ?? 0) ? 'refresh' : 'stale',
    onFailure: fresh || (!strict && over < (seconds(control, 'stale-if-error') ?? 0)),
    offline: fresh || (!strict && over < OFFLINE_SECONDS),
  };
}

function mayKeep(request, response) {
  if (response.status !== 200 || response.type !== 'basic' || response.redirected) return false;
  const control = directives(response.headers.get('cache-control'));
  if (control.has('no-store') || (request.mode === 'navigate' && (!PAGES || control.has('private')))) return false;
  const varies = (response.headers.get('vary') ?? '').toLowerCase().split(',').map(name => name.trim());
  if (varies.some(name => UNSEEN.has(name))) return false;
  const says = lifetime(response.headers, control);
  const later = control.has('no-cache') || says !== undefined || seconds(control, 'stale-if-error') !== undefined;
  return later && Number(response.headers.get('content-length') ?? 0) <= BYTES / 10;
}

// One change of what is kept after the other.
let last = Promise.resolve();
function inTurn(change) {
  last = last.then(change).catch(() => {});
  return last;
}

async function makeRoom(cache) {
  const requests = await cache.keys();  // the oldest first
  const sizes = await Promise.all(requests.map(async request => Number((await cache.match(request))?.headers.get(SIZE)) || 0));
  let bytes = sizes.reduce((sum, size) => sum + size, 0);
  for (let i = 0; i < requests.length && (requests.length - i > ENTRIES || bytes > BYTES); i++) {
    bytes -= sizes[i];
    await cache.delete(requests[i]);
  }
}

async function keep(request, response) {
  const body = await response.arrayBuffer();
  if (body.byteLength > BYTES / 10) return inTurn(async () => (await caches.open(CACHE)).delete(request));
  const headers = new Headers(response.headers);
  headers.set(KEPT_AT, String(Date.now()));
  headers.set(SIZE, String(body.byteLength));
  headers.delete('content-encoding');  // the body is decoded by now
  headers.set('content-length', String(body.byteLength));
  return inTurn(async () => {
    const cache = await caches.open(CACHE);
    await cache.delete(request);  // so that it is the youngest
    await cache.put(request, new Response(body, {status: response.status, statusText: response.statusText, headers}));
    await makeRoom(cache);
  });
}

// From the network, by way of the browser's own cache; `again`: asked of the server, with the conditions it knows.
async function load(event, again) {
  const {request} = event;
  const response = await (again && request.mode !== 'navigate' ? fetch(request, {cache: 'no-cache'}) : fetch(request));
  if (mayKeep(request, response)) event.waitUntil(keep(request, response.clone()));
  else if (response.ok || response.status === 404 || response.status === 410) event.waitUntil(inTurn(async () => (await caches.open(CACHE)).delete(request)));
  return response;
}

async function kept(request) {
  try {
    return await (await caches.open(CACHE)).match(request);
  } catch {
    return undefined;
  }
}

// Behind the answer that is shown; one at a time for an address.
const refreshing = new Set();
function refresh(event) {
  const {url} = event.request;
  if (refreshing.has(url)) return;
  refreshing.add(url);
  event.waitUntil(load(event, true).catch(() => {}).finally(() => refreshing.delete(url)));
}

async function asset(event) {
  const copy = await kept(event.request);
  const good = copy && judge(copy);
  if (good?.state === 'fresh') return copy;
  if (good?.state === 'refresh') {
    refresh(event);
    return copy;
  }
  return fromNetwork(event, copy, good);
}

async function fromNetwork(event, copy, good) {
  try {
    const response = await load(event, copy !== undefined);
    return copy && good.onFailure && FAILURES.has(response.status) ? copy : response;
  } catch (failed) {
    if (copy && good.offline) return copy;
    throw failed;
  }
}

async function page(event) {
  const copy = await kept(event.request);
  try {
    return await fromNetwork(event, copy, copy && judge(copy));
  } catch {
    const shell = OFFLINE && (await (await caches.open(SHELL)).match(OFFLINE));
    return shell || Response.error();
  }
}

async function unsafe(event) {
  const response = await fetch(event.request);
  if (response.ok || response.type === 'opaqueredirect') event.waitUntil(inTurn(async () => (await caches.open(CACHE)).delete(event.request.url, {ignoreVary: true})));
  return response;
}

function isAsset(request, url) {
  return KINDS.has(request.destination) || ASSETS.some(path => url.pathname.startsWith(path));
}

self.addEventListener('fetch', event => {
  const {request} = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (!['GET', 'HEAD', 'OPTIONS', 'TRACE'].includes(request.method)) return event.respondWith(unsafe(event));
  if (request.method !== 'GET' || request.headers.has('range') || request.headers.has('authorization')) return;
  if (['no-store', 'reload', 'only-if-cached'].includes(request.cache) && request.mode !== 'navigate') return;
  if (request.mode === 'navigate') {
    if (PAGES || OFFLINE) event.respondWith(page(event));
  } else if (isAsset(request, url)) {
    event.respondWith(asset(event));
  }
});

self.addEventListener('install', event => {
  const shell = async () => {
    if (OFFLINE) await (await caches.open(SHELL)).add(new Request(OFFLINE, {cache: 'no-cache'}));
    await self.skipWaiting();
  };
  event.waitUntil(shell());
});

self.addEventListener('activate', event => {
  const begin = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith('headroom-') && name !== CACHE && name !== SHELL) await caches.delete(name);
    }
    await self.clients.claim();
  };
  event.waitUntil(begin());
});

self.addEventListener('message', event => {
  if (event.data?.headroom !== 'clear') return;
  event.waitUntil(inTurn(() => caches.delete(CACHE)).then(() => event.source?.postMessage({headroom: 'cleared'})));
});

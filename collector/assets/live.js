// A browser shares six connections to a site among all its tabs, and keeps pages that were left for a while: only
// a page that is seen may hold a connection for news.
let source;
let fresh = !document.hidden;

htmx.createEventSource = (address) => {
  source?.close();
  source = new EventSource(address, { withCredentials: true });
  if (document.hidden) source.close();
  return source;
};

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
  } else if (source?.readyState === EventSource.CLOSED) {
    // The extension opens another one; without an event it has no error to complain of.
    source.onerror();
  }
});

// What changed while nobody listened was told to nobody.
document.addEventListener("htmx:sseOpen", () => {
  if (!fresh) {
    for (const place of document.querySelectorAll("[hx-trigger^='sse:']")) {
      htmx.trigger(place, place.getAttribute("hx-trigger"));
    }
  }
  fresh = false;
});

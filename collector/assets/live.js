// A browser shares six connections to a site among all its tabs, and keeps pages that were left for a while: only
// a page that is seen may hold a connection for news.
htmx.createEventSource = (address) => {
  const source = new EventSource(address, { withCredentials: true });
  const turn = () => {
    if (document.hidden) {
      source.close();
    } else if (source.readyState === EventSource.CLOSED) {
      document.removeEventListener("visibilitychange", turn);
      // The extension opens another one; without an event it has no error to complain of.
      source.onerror();
    }
  };
  document.addEventListener("visibilitychange", turn);
  return source;
};

// What changed while nobody listened was told to nobody.
let listened = false;
document.addEventListener("htmx:sseOpen", () => {
  if (listened) {
    for (const place of document.querySelectorAll("[hx-trigger^='sse:']")) {
      htmx.trigger(place, place.getAttribute("hx-trigger"));
    }
  }
  listened = true;
});

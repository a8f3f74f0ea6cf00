// Until a person chooses light or dark, the page follows the system; Chainlit's own default can only be one of the two.
localStorage.getItem("vite-ui-theme") ?? localStorage.setItem("vite-ui-theme", "system");

// Chainlit's link from a message to its record is a bug and says "Debug in Literal AI". Ours says what it does.
const REVIEW = 'a[href*="/logs/threads/"]';
const WORDS = navigator.language.startsWith("de") ? "In der Aufzeichnung ansehen" : "Show in the record";

new MutationObserver(() => {
  for (const link of document.querySelectorAll(`${REVIEW}:not([aria-label])`)) {
    link.setAttribute("aria-label", WORDS);
  }
  for (const tip of document.querySelectorAll('[data-radix-popper-content-wrapper] p, [role="tooltip"]')) {
    if (tip.textContent.startsWith("Debug in Literal")) tip.textContent = WORDS;
  }
}).observe(document.documentElement, { childList: true, subtree: true });

// On a phone the list of threads is closed, and Chainlit leaves it to that list to put a new thread into the address:
// a reload would begin another one. The app names the thread with each answer that begins.
addEventListener("message", ({ source, data }) => {
  if (source !== window || typeof data?.verbatimThread !== "string" || location.pathname !== "/") return;
  if (document.getElementById("thread-history")) return;
  history.replaceState(history.state, "", `/thread/${encodeURIComponent(data.verbatimThread)}`);
});

// The review pages send whoever is not signed in here, with the page that was wanted in `next`. Chainlit goes to its start
// page after signing in; this goes on to the wanted one instead.
const next = new URLSearchParams(location.search).get("next") ?? "";
if (location.pathname === "/login" && next.startsWith("/literal/")) {
  for (const move of ["pushState", "replaceState"]) {
    const plain = history[move];
    history[move] = function (state, title, url) {
      if (url && new URL(url, location.href).pathname === "/") return location.replace(next);
      return plain.call(this, state, title, url);
    };
  }
}

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

// Who is not signed in is sent to /login: from the review pages with the page that was wanted in `next`, from a thread by
// Chainlit, which forgets it. After signing in it goes to its start page; this goes on to the wanted one instead.
const WANTED = "verbatim wanted";
addEventListener("pagehide", () => {
  if (location.pathname.startsWith("/thread/")) sessionStorage.setItem(WANTED, location.pathname);
  else if (location.pathname !== "/login") sessionStorage.removeItem(WANTED);
});

const next = new URLSearchParams(location.search).get("next") ?? "";
const wanted = next.startsWith("/literal/") ? next : sessionStorage.getItem(WANTED);
if (location.pathname === "/login" && wanted) {
  for (const move of ["pushState", "replaceState"]) {
    const plain = history[move];
    history[move] = function (state, title, url) {
      if (url && new URL(url, location.href).pathname === "/") {
        sessionStorage.removeItem(WANTED);
        return location.replace(wanted);
      }
      return plain.call(this, state, title, url);
    };
  }
}

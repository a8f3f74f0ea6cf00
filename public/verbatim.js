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

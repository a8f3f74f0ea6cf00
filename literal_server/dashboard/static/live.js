// Fills a thread in while one watches: told of news, the page reads itself anew and takes over what is different.
// What a reader has opened, selected, scrolled to or begun to write stays as it is.
import { isNear, load, watch } from "./later.js";
import { localise } from "./pages.js";
import { showPanel } from "./steps.js";
import { Idiomorph } from "./vendor/idiomorph.js";

const { news, after } = document.querySelector("script[data-news]").dataset;
const RETRY = 10_000; // milliseconds, after an answer that is no stream

const keep = {
  // A form may hold what somebody is writing; a moment is shown in the reader's own zone.
  beforeNodeMorphed: (old, fresh) => {
    if (old instanceof HTMLFormElement || (old.matches?.(".panel") && hasMoved())) return false;
    if (old instanceof HTMLTimeElement && old.dateTime === fresh.dateTime) return false;
    if (!old.dataset?.loaded || old.id !== fresh.id) return true;
    // Each news moves all bars: rows that nobody looks at are read again when somebody does.
    if (old.matches(".rows .later") && old.dataset.loaded !== fresh.dataset.revision && !isNear(old)) {
      delete old.dataset.loaded;
      return true;
    }
    Object.assign(old.dataset, { part: fresh.dataset.part, revision: fresh.dataset.revision });
    load(old); // a part that was read before, if anything in it is new
    return false;
  },
  // What is open stays open, and what is not here yet keeps the height that is kept free for it. Which step is selected,
  // and the forms that went with it, are the reader's.
  beforeAttributeUpdated: (name, element) =>
    name !== "style" &&
    !(name === "open" && element instanceof HTMLDetailsElement) &&
    !(name === "aria-current" && element.dataset.step),
  beforeNodeRemoved: (old) => old.id !== "step-review",
};

// A page is read as it was opened, since it holds what is around that step; what it tells of that step alone is left out
// when another one is selected by now.
const opened = location.href;
const hasMoved = () => location.href !== opened;
function asOpened(page) {
  const own = page.querySelector('[data-step][aria-current="step"]');
  if (!own || own.dataset.step === document.querySelector('[data-step][aria-current="step"]')?.dataset.step) return;
  const forms = page.getElementById("step-review");
  forms?.replaceWith(...forms.querySelectorAll(".remark"));
}

let reading = null; // the page that is under way
async function refresh() {
  const hint = document.querySelector(".news");
  if (hint) {
    hint.hidden = false; // a player that plays is not changed under its watcher
    return;
  }
  const main = document.querySelector("main");
  const address = main.querySelector(".sides") ? location.href : opened;
  const response = await fetch(address, { headers: { accept: "text/html" } });
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  asOpened(page);
  Idiomorph.morph(main, page.querySelector("main"), { callbacks: keep });
  localise(main);
  watch(main);
  if (main.querySelector(".panel") && hasMoved()) await showPanel();
}

let latest = after;
let source = null;
function follow() {
  source?.close();
  source = null;
  if (document.hidden) return; // a browser has few connections to a server, and a page that nobody sees needs none
  source = new EventSource(`${news}?after=${encodeURIComponent(latest)}`);
  source.onmessage = async (event) => {
    latest = event.lastEventId;
    // One page at a time: what comes meanwhile is in the next.
    await reading;
    reading = refresh().catch(() => {}); // the next news brings it
  };
  source.onerror = ({ target }) => {
    // The browser opens the next stream by itself, unless the answer was none.
    if (target.readyState === EventSource.CLOSED && document.querySelector("h1 .live")) setTimeout(follow, RETRY);
  };
}
document.addEventListener("visibilitychange", follow);
follow();

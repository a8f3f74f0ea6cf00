// Reads the later parts of a long thread as they come into view, and what is in large folds when they are opened.
import { localise } from "./pages.js";

const GUESSED = 60; // pixels of a step in the transcript, of which many are one line
const NEAR = 1200; // pixels above and below what is seen

export function isNear(part) {
  const { top, bottom } = part.getBoundingClientRect();
  return bottom > -NEAR && top < innerHeight + NEAR;
}

const underWay = new WeakMap(); // what is being read, or was

export function load(part) {
  if (part.dataset.loaded !== part.dataset.revision) {
    part.dataset.loaded = part.dataset.revision;
    underWay.set(part, read(part));
  }
  return underWay.get(part);
}

async function read(part) {
  const response = await fetch(part.dataset.part).catch(() => null);
  if (!response?.ok) {
    delete part.dataset.loaded; // its link stays, and the next look tries again
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  part.replaceChildren(...page.body.childNodes);
  part.style.minHeight = "";
  localise(part);
  watch(part);
  part.dispatchEvent(new Event("filled", { bubbles: true }));
}

const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => load(target)),
  { rootMargin: `${NEAR}px 0px` },
);

// What is not here yet takes about the height that it will have, so that the scrollbar tells the truth and one jump
// down a long thread does not read all that is skipped. Rows are of one height, messages and folded steps are guessed.
let height = 0; // of one step; measured once, since to measure while some signs are flat yet would move the page
function reserve(part) {
  height ||= part.closest(".rows")?.querySelector(".row")?.offsetHeight || GUESSED;
  part.style.minHeight = `${height * part.dataset.steps}px`;
}

export function watch(root) {
  for (const part of root.querySelectorAll(".later:not([data-loaded])")) {
    reserve(part);
    seen.observe(part);
  }
  // In a closed fold nothing comes into view.
  root.querySelectorAll(".folded:not([data-loaded])").forEach((part) => seen.observe(part));
}
if (!document.querySelector(".player")) watch(document); // it goes to its moment first

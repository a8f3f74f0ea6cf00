// The arrow keys walk the steps of a thread in every reading. Which one is selected stands in the address and in the
// links to the other readings, so that it is the same in all of them.
import { restore } from "./drafts.js";
import { load } from "./later.js";
import { isTyping, localise, remember } from "./pages.js";

const SELECTED = '[aria-current="step"]';
const forms = document.getElementById("step-forms"); // absent where nobody may review
const sides = document.querySelector(".sides");
const panel = document.querySelector(".panel");

// What of a step can have the focus, and is looked at first.
function face(element) {
  return element.querySelector(":scope > summary") ?? element;
}

function select(element) {
  for (const old of document.querySelectorAll(SELECTED)) old.removeAttribute("aria-current");
  element.setAttribute("aria-current", "step");
  remember(element.dataset.step);
  face(element).focus({ preventScroll: true });
  face(element).scrollIntoView({ block: "nearest" });
  return panel ? showPanel() : moveForms(element);
}

// Forms to review the selected step go with the selection; what was typed into them comes back with its step.
function moveForms(element) {
  if (!forms) return;
  const old = document.getElementById("step-review");
  old?.replaceWith(...old.querySelectorAll(".remark"));
  const made = forms.content.firstElementChild.cloneNode(true);
  for (const field of made.querySelectorAll('[name="step"]')) field.value = element.dataset.step;
  (element.querySelector(":scope > .inside") ?? element).append(made);
  restore(made);
}

let wanted = 0; // the latest panel that was asked for: who walks fast sees the last one
export async function showPanel() {
  const mine = ++wanted;
  const response = await fetch(location.href).catch(() => null);
  const page = response?.ok ? new DOMParser().parseFromString(await response.text(), "text/html") : null;
  if (mine !== wanted) return;
  if (!page?.querySelector(".panel")) {
    location.reload(); // signed out, or the thread is gone: the page says so itself
    return;
  }
  panel.replaceChildren(...page.querySelector(".panel").childNodes);
  localise(panel);
  restore(panel);
}

function walked() {
  if (!sides) {
    const all = document.querySelectorAll("main [data-step], main .later:not([data-loaded])");
    return [...all].filter((one) => one.checkVisibility());
  }
  // The chat stands beside the calls: they are walked in the order in which it happened.
  return JSON.parse(sides.dataset.order).map((step) => sides.querySelector(`[data-step="${CSS.escape(step)}"]`) ?? step);
}

// Where to begin when nothing is selected, or nothing that is shown here: a place, and half a step before it.
function start(steps) {
  if (sides) return Number(sides.dataset.place) - 0.5;
  return steps.findIndex((one) => one.getBoundingClientRect().bottom > 0) - 0.5; // what is before the reader's eyes
}

async function step(by) {
  const steps = walked();
  const selected = new URLSearchParams(location.search).get("currentStepId");
  const at = steps.findIndex((one) => (one.dataset?.step ?? one) === selected);
  const next = steps[at < 0 ? start(steps) + by / 2 : at + by];
  if (typeof next === "string") {
    remember(next); // one of very many calls that is not in the page
    location.reload();
  } else if (next?.matches(".later")) {
    await load(next);
    const inside = [...next.querySelectorAll("[data-step]")].filter((one) => one.checkVisibility());
    if (inside.length) select(inside.at(by > 0 ? 0 : -1));
  } else if (next) {
    select(next);
  } else if (sides) {
    const turn = by > 0 ? document.querySelector('a[rel="next"]')?.href : sides.dataset.up;
    if (turn) location.replace(turn);
  }
}

// A message that is longer than the window is read to its end before the next step has its turn.
function goesOn(by) {
  const selected = document.querySelector(SELECTED);
  if (!selected || panel) return false;
  const read = selected.querySelector("[data-step]") ? face(selected) : selected;
  const { top, bottom } = read.getBoundingClientRect();
  const isSeen = bottom > 0 && top < innerHeight;
  if (!isSeen || (by > 0 ? bottom <= innerHeight : top >= 0)) return false;
  scrollBy({ top: by * innerHeight * 0.6 });
  return true;
}

function fold(open) {
  const selected = document.querySelector(SELECTED);
  if (!selected) return;
  if (selected.matches("details") && selected.open !== open) selected.open = open;
  else if (!open) {
    const outer = selected.parentElement.closest("[data-step]");
    if (outer) select(outer);
  }
}

// On a phone the panel stands above the rows, and has a link back to the one that it tells of.
function isAbove() {
  return panel.offsetLeft === document.querySelector(".rows").offsetLeft;
}

let walking = Promise.resolve(); // a part that is being read comes first
if (!document.querySelector(".player")) {
  document.addEventListener("keydown", (event) => {
    if (isTyping(event) || event.shiftKey || event.target.closest("pre, audio, video")) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) {
      event.preventDefault();
      walking = walking.then(() => goesOn(by) || step(by));
    } else if (!panel && !sides && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      event.preventDefault();
      fold(event.key === "ArrowRight");
    }
  });
  document.addEventListener("click", async (event) => {
    const link = event.target.closest(panel ? ".row a[data-step]" : ".pick");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !(panel || forms)) return;
    event.preventDefault();
    const shown = select(link.closest("[data-step]"));
    if (panel) {
      await shown;
      if (isAbove()) panel.scrollIntoView();
      return;
    }
    const made = document.querySelector("#step-review");
    made.querySelector("textarea").focus({ preventScroll: true });
    made.scrollIntoView({ block: "nearest" });
  });
}

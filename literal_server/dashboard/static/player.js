// Plays a thread back as it happened: messages appear and stream at their recorded pace, work fills its bar beside them.
import { remember } from "./pages.js";

const player = document.querySelector(".player");
const length = Number(player.dataset.seconds);
const pauses = JSON.parse(player.dataset.pauses);
const controls = player.querySelector(".controls");
const play = controls.querySelector(".play");
const scrub = controls.querySelector(".scrub");
const shownMoment = controls.querySelector(".moment");
const speed = controls.querySelector("select");
const skip = controls.querySelector(".skip-idle");

const cues = [...player.querySelectorAll(".cue")].map((element) => {
  const prose = element.querySelector(".prose");
  return {
    element,
    step: (element.dataset.step ? element : element.querySelector("[data-step]"))?.dataset.step,
    prose,
    stream: null, // what stands in for the prose while it streams
    text: "",
    bar: element.querySelector(".bar"),
    after: element.querySelectorAll(".after, .more"),
    start: Number(element.dataset.start),
    end: Number(element.dataset.end),
    share: null, // how much of it is drawn: below 0 before it begins
  };
});

// Recorded time and time as it is shown: the same, but for the pauses that are skipped.
const skipped = () => (skip?.checked ? pauses : []);
const toShown = (moment) =>
  skipped().reduce((shown, [start, end]) => shown - Math.max(0, Math.min(moment, end) - start), moment);
const toRecorded = (shown) =>
  skipped().reduce((moment, [start, end]) => (moment > start ? moment + (end - start) : moment), shown);

let moment = 0; // seconds since the thread began
let running = 0; // the last frame's own time, 0 while paused

function write(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - minutes * 60).toFixed(1).padStart(4, "0")}`;
}

function streamOf(cue) {
  const stream = cue.prose.cloneNode();
  stream.hidden = false;
  stream.classList.add("typed", "streaming");
  cue.text = cue.prose.textContent.trim();
  return stream;
}

function draw() {
  let newest = null;
  for (const cue of cues) {
    const begun = moment >= cue.start;
    const over = moment >= cue.end;
    const share = over ? 1 : begun ? (moment - cue.start) / (cue.end - cue.start) : -1;
    if (cue.prose && begun) newest = cue.element;
    if (share === cue.share) continue; // of thousands few change from one frame to the next
    cue.share = share;
    cue.element.hidden = !begun;
    if (cue.bar) cue.bar.setAttribute("width", `${(100 * Math.max(0, share)).toFixed(1)}%`);
    for (const part of cue.after) part.hidden = !over;
    if (cue.prose) {
      const streaming = begun && !over;
      if (streaming) {
        cue.stream ??= streamOf(cue);
        cue.stream.textContent = cue.text.slice(0, Math.round(cue.text.length * share));
        if (!cue.stream.isConnected) cue.prose.after(cue.stream);
      } else {
        cue.stream?.remove();
      }
      cue.prose.hidden = streaming;
    }
  }
  const total = toShown(length);
  scrub.value = String(total ? Math.round((1000 * toShown(moment)) / total) : 0);
  scrub.setAttribute("aria-valuetext", `${write(toShown(moment))} of ${write(total)}`);
  shownMoment.textContent = `${write(toShown(moment))} / ${write(total)}`;
  return newest;
}

function go(to) {
  moment = Math.min(Math.max(0, to), length);
  return draw();
}

function pause() {
  running = 0;
  play.textContent = "▶";
  play.setAttribute("aria-label", "Play");
  const address = new URL(location.href);
  address.searchParams.set("t", moment.toFixed(1));
  // A comment is about the moment that is on the stage, unless its writer says otherwise.
  const about = document.getElementById("seconds");
  if (about) about.value = moment.toFixed(1);
  history.replaceState(null, "", address);
}

// The step that began before this moment, or after it.
function walk(by) {
  const begun = cues.filter(({ step, start }) => step && (by > 0 ? start > moment : start < moment));
  const next = begun.sort((one, two) => by * (one.start - two.start))[0];
  if (!next) return;
  go(next.start)?.scrollIntoView({ block: "nearest" });
  remember(next.step);
  pause();
}

function frame(now) {
  if (!running) return;
  const passed = (Math.max(0, now - running) / 1000) * Number(speed.value);
  running = now;
  const newest = go(toRecorded(toShown(moment) + passed));
  const bottom = newest?.getBoundingClientRect().bottom ?? 0;
  if (bottom > innerHeight - 24) scrollBy({ top: bottom - innerHeight + 24 });
  if (moment >= length) pause();
  else requestAnimationFrame(frame);
}

function toggle() {
  if (running) {
    pause();
    return;
  }
  if (moment >= length) go(0);
  running = performance.now();
  play.textContent = "❚❚";
  play.setAttribute("aria-label", "Pause");
  requestAnimationFrame(frame);
}

play.addEventListener("click", toggle);
scrub.addEventListener("input", () => go(toRecorded((Number(scrub.value) / 1000) * toShown(length))));
scrub.addEventListener("change", () => running || pause());
skip?.addEventListener("change", () => draw());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, button, a, summary")) return;
  if (event.key === " ") toggle();
  else if (event.key === "ArrowRight") go(toRecorded(toShown(moment) + 5));
  else if (event.key === "ArrowLeft") go(toRecorded(Math.max(0, toShown(moment) - 5)));
  else if (event.key === "ArrowDown") walk(1);
  else if (event.key === "ArrowUp") walk(-1);
  else return;
  event.preventDefault();
});
controls.querySelector(".link-here").addEventListener("click", async (event) => {
  pause();
  await navigator.clipboard.writeText(location.href);
  event.target.textContent = "Copied";
});

controls.hidden = false;
const given = new URLSearchParams(location.search);
const selected = cues.find(({ step }) => step && step === given.get("currentStepId"));
const asked = Number(given.get("t") ?? selected?.start ?? 0);
go(Number.isFinite(asked) ? asked : 0);

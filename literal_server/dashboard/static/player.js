// Plays a thread back as it happened: messages appear and stream at their recorded pace, work fills its bar beside them.
// Of a long thread the scene that is on is here, and the one after it is read in time; others when they are looked at.
import { load, watch } from "./later.js";
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

function cueOf(element) {
  const prose = element.querySelector(".prose");
  return {
    element,
    step: (element.dataset.step ? element : element.querySelector("[data-step]"))?.dataset.step,
    prose,
    stream: null, // what stands in for the prose while it streams
    text: "",
    bar: element.querySelector(".bar"),
    fails: element.matches(".failed"),
    after: element.querySelectorAll(".after, .more"),
    start: Number(element.dataset.start),
    end: Number(element.dataset.end),
    share: null, // how much of it is drawn: below 0 before it begins
  };
}

const cuesIn = (element) => [...element.querySelectorAll(".cue")].map(cueOf);
const scenes = [...player.querySelectorAll(".scene")].map((element) => ({
  element,
  start: Number(element.dataset.start),
  cues: element.matches(".later") ? null : cuesIn(element), // null until it is read
}));
const sceneAt = (moment) => scenes.findLastIndex(({ start }) => start <= moment);

// Answers whether a scene is here now.
async function ready(scene) {
  if (!scene.cues) await load(scene.element);
  return scene.cues !== null;
}
player.addEventListener("filled", ({ target }) => {
  const scene = scenes.find(({ element }) => element === target);
  if (!scene) return; // what was in a fold
  scene.cues = cuesIn(target);
  draw();
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

function drawCue(cue) {
  const begun = moment >= cue.start;
  const over = moment >= cue.end;
  const share = over ? 1 : begun ? (moment - cue.start) / (cue.end - cue.start) : -1;
  if (share === cue.share) return; // of thousands few change from one frame to the next
  cue.share = share;
  cue.element.hidden = !begun;
  if (cue.bar) cue.bar.setAttribute("width", `${(100 * Math.max(0, share)).toFixed(1)}%`);
  for (const part of cue.after) part.hidden = !over;
  if (cue.fails) cue.element.classList.toggle("failed", over);
  if (!cue.prose) return;
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

// Puts on the stage what has begun by now, and answers the newest of it: a message rather than work that began with it.
function draw() {
  let newest = null;
  for (const { element, start, cues } of scenes) {
    if (element.hidden !== (moment < start)) element.hidden = moment < start;
    for (const cue of cues ?? []) {
      drawCue(cue);
      const isNewer = !newest || cue.start > newest.start || (cue.prose && cue.start === newest.start);
      if (moment >= cue.start && isNewer) newest = cue;
    }
  }
  const total = toShown(length);
  scrub.value = String(total ? Math.round((1000 * toShown(moment)) / total) : 0);
  scrub.setAttribute("aria-valuetext", `${write(toShown(moment))} of ${write(total)}`);
  shownMoment.textContent = `${write(toShown(moment))} / ${write(total)}`;
  return newest?.element;
}

function go(to) {
  moment = Math.min(Math.max(0, to), length);
  return draw();
}

function pause() {
  cancelAnimationFrame(coming);
  running = 0;
  awaited = null;
  play.textContent = "▶";
  play.setAttribute("aria-label", "Play");
  const address = new URL(location.href);
  address.searchParams.set("t", moment.toFixed(1));
  // A comment is about the moment that is on the stage, unless its writer says otherwise.
  const about = document.getElementById("seconds");
  if (about) about.value = moment.toFixed(1);
  history.replaceState(null, "", address);
}

// Jumps to a moment and shows what is new there. Who drags through a long thread has scenes read one at a time, the one
// where he stops last.
let seeking = false;
async function seek(to) {
  go(to);
  if (seeking) return;
  seeking = true;
  let at;
  do {
    at = sceneAt(moment);
    if (at >= 0) await ready(scenes[at]);
  } while (at !== sceneAt(moment));
  seeking = false;
  draw()?.scrollIntoView({ block: "nearest" });
}

// The step that began before this moment, or after it, in whichever scene it is.
async function walk(by) {
  for (let at = sceneAt(moment); scenes[at] && (await ready(scenes[at])); at += by) {
    const begun = scenes[at].cues.filter(({ step, start }) => step && (by > 0 ? start > moment : start < moment));
    const next = begun.sort((one, two) => by * (one.start - two.start))[0];
    if (!next) continue;
    go(next.start)?.scrollIntoView({ block: "nearest" });
    remember(next.step);
    pause();
    return;
  }
}

// Time stands still until the scene that is on is here; the next one is read while this one plays. Each is asked for once:
// a server that is gone is not asked again with every frame.
let foreseen = null;
let awaited = null;
function isHere(at) {
  const [scene, next] = [scenes[at], scenes[at + 1]];
  if (next && next !== foreseen) ready((foreseen = next));
  if (!scene || scene.cues) return true;
  if (scene !== awaited) ready((awaited = scene)).then((came) => came || pause());
  return false;
}

let coming = 0; // the frame that is asked for
function frame(now) {
  const passed = (Math.max(0, now - running) / 1000) * Number(speed.value);
  const next = toRecorded(toShown(moment) + passed);
  running = now;
  coming = requestAnimationFrame(frame);
  if (!isHere(sceneAt(next))) return;
  const bottom = go(next)?.getBoundingClientRect().bottom ?? 0;
  if (bottom > innerHeight - 24) scrollBy({ top: bottom - innerHeight + 24 });
  if (moment >= length) pause();
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
  coming = requestAnimationFrame(frame);
}

play.addEventListener("click", toggle);
scrub.addEventListener("input", () => {
  const share = Number(scrub.value) / 1000;
  seek(share < 1 ? toRecorded(share * toShown(length)) : length); // reckoned, the end may come out a hair too early
});
scrub.addEventListener("change", () => running || pause());
skip?.addEventListener("change", () => draw());
let walking = Promise.resolve(); // a scene that is being read comes first
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, button, a, summary")) return;
  if (event.key === " ") toggle();
  else if (event.key === "ArrowRight") seek(toRecorded(toShown(moment) + 5));
  else if (event.key === "ArrowLeft") seek(toRecorded(Math.max(0, toShown(moment) - 5)));
  else if (event.key === "ArrowDown") walking = walking.then(() => walk(1));
  else if (event.key === "ArrowUp") walking = walking.then(() => walk(-1));
  else return;
  event.preventDefault();
});
controls.querySelector(".link-here").addEventListener("click", async (event) => {
  pause();
  await navigator.clipboard.writeText(location.href);
  event.target.textContent = "Copied";
});

controls.hidden = false;
const newest = go(Number(player.dataset.at));
watch(player);
if (moment && !location.hash) newest?.scrollIntoView({ block: "nearest" });

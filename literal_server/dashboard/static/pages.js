// Times in the reader's own zone, the step that the address asks for brought into view, keys to switch the reading.
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export function localise(part) {
  for (const element of part.querySelectorAll("time[datetime]:not([title])")) {
    const moment = new Date(element.dateTime);
    if (!Number.isNaN(moment.valueOf())) {
      element.title = element.textContent;
      element.textContent = format.format(moment);
    }
  }
}
localise(document);

const current = document.querySelector('[aria-current="step"]');
if (current && !location.hash) {
  // Of a step that holds others its first line is what the reader looks for.
  const face = current.querySelector(":scope > summary") ?? current;
  face.scrollIntoView({ block: "center" });
  face.focus({ preventScroll: true });
}

export function isTyping(event) {
  const field = "input:not([type=checkbox]), textarea, select, dialog[open]";
  return event.ctrlKey || event.metaKey || event.altKey || event.target.closest(field);
}

// The selected step stands in the address and in the links to the other readings: it is the same in all of them.
export function remember(step) {
  const address = new URL(location.href);
  address.searchParams.set("currentStepId", step);
  address.searchParams.delete("t");
  address.hash = "";
  history.replaceState(null, "", address);
  for (const link of document.querySelectorAll(".readings a")) {
    const other = new URL(link.href);
    other.searchParams.set("currentStepId", step);
    link.href = other;
  }
}

document.addEventListener("keydown", (event) => {
  if (isTyping(event) || event.target.closest("pre")) return;
  const reading = document.querySelector(`.readings a[data-key="${CSS.escape(event.key)}"]`);
  if (reading) location.assign(reading.href);
});

document.documentElement.classList.add("scripted"); // shows the buttons that only work with a script
document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});

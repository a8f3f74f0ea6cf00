// Times in the reader's own zone, the step that the address asks for brought into view, keys to walk and to switch.
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
  current.setAttribute("tabindex", "-1");
  current.scrollIntoView({ block: "center" });
  current.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, pre")) return;
  const reading = document.querySelector(`.readings a[data-key="${event.key}"]`);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (reading) location.assign(reading.href);
  const rows = step ? [...document.querySelectorAll(".row a")] : [];
  if (rows.length) {
    const next = rows[rows.findIndex((row) => row.matches("[aria-current]")) + step];
    if (next) location.replace(next.href);
    event.preventDefault();
  }
});

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

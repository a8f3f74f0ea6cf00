// Times in the reader's own zone, and the step that the address asks for brought into view.
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const element of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(element.dateTime);
  if (!Number.isNaN(moment.valueOf())) {
    element.title = element.textContent;
    element.textContent = format.format(moment);
  }
}

const current = document.querySelector('[aria-current="step"]');
if (current) {
  current.setAttribute("tabindex", "-1");
  current.scrollIntoView({ block: "center" });
  current.focus({ preventScroll: true });
}

// The list of threads: how many each view has, told when the page is there already; keys to walk the rows.
import { isTyping } from "./pages.js";

const rows = [...document.querySelectorAll(".list tbody tr")];
const open = (row) => row?.querySelector("th a");

document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  const at = rows.findIndex((row) => row.classList.contains("cursor"));
  const step = { j: 1, k: -1 }[event.key];
  if (step && rows.length) {
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
    rows[at]?.classList.remove("cursor");
    next.classList.add("cursor");
    next.scrollIntoView({ block: "nearest" });
    open(next).focus({ preventScroll: true });
  } else if (event.key === "x" && at >= 0) {
    rows[at].querySelector("input[name=thread]").click();
  } else if (event.key === "/") {
    event.preventDefault();
    document.getElementById("q").focus();
  }
});

const nav = document.querySelector("[data-counts]");
if (nav) {
  const response = await fetch(nav.dataset.counts);
  const counts = response.ok ? await response.json() : {};
  for (const place of document.querySelectorAll("[data-count]")) {
    const count = counts[place.dataset.count];
    if (count === undefined) continue;
    place.textContent = place.hidden ? `${count} found.` : count;
    place.hidden = false;
  }
}

// The list of threads: how many each view has, told when the page is there already; keys to walk the rows.
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

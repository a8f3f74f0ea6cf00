// The list of threads: how many each view has, told when the page is there already.
const nav = document.querySelector("[data-counts]");
const places = [...document.querySelectorAll("[data-count]")];
if (nav) {
  const response = await fetch(nav.dataset.counts);
  const counts = response.ok ? await response.json() : {};
  for (const place of places) {
    const count = counts[place.dataset.count];
    if (count === undefined) continue;
    place.textContent = place.hidden ? `${count} found.` : count;
    place.hidden = false;
  }
}

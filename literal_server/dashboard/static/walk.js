// `j` and `k` walk the threads of the list that one came from.
import { isTyping } from "./pages.js";

const links = [...document.querySelectorAll("a[data-walk]")];

// The readings of a thread have addresses of their own: the list is remembered for as long as the tab is open.
const here = new URLSearchParams(location.search);
const kept = new URLSearchParams([...here].filter(([name]) => name === "q" || name === "sort"));
if (!links.length || kept.size) sessionStorage.setItem("list", kept);
const list = new URLSearchParams(sessionStorage.getItem("list") ?? "");
for (const link of links) {
  const address = new URL(link.href);
  for (const [name, value] of list) address.searchParams.set(name, value);
  link.href = address;
}

document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  const link = links.find((one) => one.dataset.walk === event.key);
  if (link) location.assign(link.href);
});

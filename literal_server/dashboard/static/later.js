// Reads the later parts of a long thread as they come into view.
import { localise } from "./pages.js";

const NEAR = "1200px 0px";

export async function load(part) {
  if (part.dataset.loaded === part.dataset.revision) return;
  part.dataset.loaded = part.dataset.revision;
  const response = await fetch(part.dataset.part).catch(() => null);
  if (!response?.ok) {
    delete part.dataset.loaded; // its link stays, and the next look tries again
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  part.replaceChildren(...page.body.childNodes);
  localise(part);
  watch(part);
}

const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => load(target)),
  { rootMargin: NEAR },
);

export function watch(root) {
  for (const part of root.querySelectorAll(".later:not([data-loaded])")) seen.observe(part);
}
watch(document);

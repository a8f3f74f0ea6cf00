// What is typed into a review and not sent yet stays with its step while one walks on, for as long as the tab is open.
const FIELDS = ".review input:not([type=hidden], [name=seconds]), .review textarea";

function keyOf(field) {
  return ["draft", location.pathname, field.form.elements.step?.value ?? "", field.form.ariaLabel, field.name].join(" ");
}

export function restore(root) {
  for (const field of root.querySelectorAll(FIELDS)) field.value ||= sessionStorage.getItem(keyOf(field)) ?? "";
}

document.addEventListener("input", ({ target }) => {
  if (target.matches(FIELDS)) sessionStorage.setItem(keyOf(target), target.value);
});

// What was sent is dropped when a page of the thread is back: on a page that tells of a mistake it is still there.
const SENT = "sent";
document.addEventListener("submit", ({ target }) => {
  const fields = [...target.elements].filter((one) => one.matches(FIELDS));
  if (fields.length) sessionStorage.setItem(SENT, JSON.stringify(fields.map(keyOf)));
});
for (const key of JSON.parse(sessionStorage.getItem(SENT) ?? "[]")) sessionStorage.removeItem(key);
sessionStorage.removeItem(SENT);
restore(document);

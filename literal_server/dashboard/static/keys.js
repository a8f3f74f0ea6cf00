// Keys that act: score, comment, tag and mark without a mouse, and the list of all keys.
const dialog = document.getElementById("keys");
const opener = document.querySelector("button[data-keys]");
if (opener) {
  opener.hidden = false;
  opener.addEventListener("click", () => dialog.showModal());
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input, textarea, select");
  if (field && event.key === "Escape") field.blur();
  if (field || dialog.open) return;
  if (event.key === "?") dialog.showModal();
  const wanted = document.querySelector(`[data-focus="${CSS.escape(event.key)}"]`);
  const pressed = document.querySelector(`[data-click="${CSS.escape(event.key)}"]`);
  if (wanted) {
    event.preventDefault(); // else the letter would be typed into it
    for (let fold = wanted.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    wanted.focus();
    wanted.scrollIntoView({ block: "center" });
  }
  pressed?.click();
});

// The boxes in front of threads: all at once, and buttons that can be pressed when something is selected.
const form = document.getElementById("selection");
const boxes = [...document.querySelectorAll('input[name="thread"]')];
const all = document.querySelector("[data-select-all]");

function show() {
  const count = boxes.filter((box) => box.checked).length;
  form.querySelector("[data-selected]").textContent = count ? `${count} selected:` : "Nothing is selected.";
  for (const button of form.querySelectorAll("button")) button.disabled = !count;
  all.checked = count === boxes.length;
  all.indeterminate = count > 0 && count < boxes.length;
}

if (form && all) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  for (const box of boxes) box.addEventListener("change", show);
  window.addEventListener("pageshow", show); // a browser that goes back remembers what was checked
  show();
}

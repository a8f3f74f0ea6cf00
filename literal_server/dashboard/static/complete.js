// Completion of the filter while one types: fields, comparisons and known names; a combobox that keys alone can use.
const input = document.querySelector("input[data-completions]");
const list = document.getElementById("options");
const COMPARISONS = ["=", "!=", "~", "!~", ">", ">=", "<", "<=", "in ("];
const JOINTS = ["and", "or", "not"];
const MOST = 8;
let known;
let choices = []; // { from, text, shown }: what is put into the input from where on
let active = -1;

const fetched = () => (known ??= fetch(input.dataset.completions).then((answer) => (answer.ok ? answer.json() : { fields: [], values: {} })));
const quoted = (value) => (/^[\w@][\w@.:+-]*$/.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`);
const fits = (value, begun) => value.toLowerCase().includes(begun.toLowerCase()) && value !== begun;

function offers(before, { fields, values }) {
  const score = before.match(/\bscore\["?([^"\]]*)$/i);
  if (score) {
    const from = before.length - score[1].length - (before.includes('["') ? 1 : 0);
    return (values.score ?? []).filter((one) => fits(one, score[1])).map((one) => ({ from, text: `"${one.replace(/["\\]/g, "\\$&")}"]`, shown: one }));
  }
  const value = before.match(/\b([a-z_]+)\s*(?:!?[=~]|in\s*\([^)]*?)\s*("?)([^"\s,()]*)$/i);
  if (value && values[value[1].toLowerCase()]) {
    const from = before.length - value[3].length - value[2].length;
    return values[value[1].toLowerCase()].filter((one) => fits(one, value[3])).map((one) => ({ from, text: `${quoted(one)} `, shown: one }));
  }
  const compared = before.match(/(?:^|[\s(])([a-z_.]+)\s+([!=~<>]*)$/i);
  if (compared && fields.includes(compared[1].toLowerCase())) {
    const from = before.length - compared[2].length;
    return COMPARISONS.filter((one) => one.startsWith(compared[2]) && one !== compared[2]).map((one) => ({ from, text: one.endsWith("(") ? one : `${one} `, shown: one }));
  }
  const word = before.match(/(?:^|[\s(])([a-z_.]+)$/i);
  if (!word) return [];
  const begun = word[1].toLowerCase();
  const from = before.length - begun.length;
  return [...fields, ...JOINTS].filter((one) => one.startsWith(begun) && one !== begun).map((one) => ({ from, text: one === "score" ? 'score["' : `${one} `, shown: one }));
}

function close() {
  choices = [];
  active = -1;
  list.hidden = true;
  list.replaceChildren();
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

async function suggest() {
  const told = await fetched();
  const found = offers(input.value.slice(0, input.selectionStart), told).slice(0, MOST);
  close();
  if (!found.length || document.activeElement !== input) return;
  choices = found;
  list.append(
    ...found.map((choice, number) => {
      const option = document.createElement("li");
      option.id = `option-${number}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.textContent = choice.shown;
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault(); // the input keeps the focus
        take(number);
      });
      return option;
    }),
  );
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
}

function mark(number) {
  list.children[active]?.setAttribute("aria-selected", "false");
  active = (number + choices.length) % choices.length;
  const option = list.children[active];
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", option.id);
}

function take(number) {
  const { from, text } = choices[number];
  const after = input.value.slice(input.selectionStart);
  input.value = input.value.slice(0, from) + text + after.trimStart();
  input.setSelectionRange(from + text.length, from + text.length);
  suggest();
}

if (input && list) {
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id, "aria-expanded": "false" })) {
    input.setAttribute(name, value);
  }
  input.addEventListener("input", suggest);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && choices.length) {
      event.preventDefault(); // the first one only closes the list
      event.stopPropagation();
    }
    if (event.key === "Escape") close();
    if (event.key === "ArrowDown" && !choices.length) suggest();
    if (!choices.length) return;
    if (event.key === "ArrowDown") mark(active + 1);
    else if (event.key === "ArrowUp") mark(active < 0 ? -1 : active - 1);
    else if (event.key === "Enter" && active >= 0) take(active);
    else if (event.key === "Tab" && !event.shiftKey) take(Math.max(active, 0));
    else return;
    event.preventDefault();
  });
}

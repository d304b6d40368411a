// Small conveniences: copy a command, fill in a common reason, print what is folded.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange(); // no clipboard without https: select the text instead
    range.selectNodeContents(button.parentElement.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});

document.addEventListener("change", (event) => {
  const list = event.target.closest("[data-fills]");
  if (!list || !list.value) return;
  const field = list.form.elements[list.dataset.fills];
  field.value = field.value.trim() ? `${field.value.trim()}\n${list.value}` : list.value;
  list.value = "";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
});

// On paper nothing can be unfolded: what is folded is printed, and folded again afterwards.
const paper = matchMedia("print");
const unfolded = new Set();
paper.addEventListener("change", () => {
  // What would be fetched on opening stays folded: it would come too late.
  const folded = document.querySelectorAll("main details:not([open], .pop, [hx-get], :has([hx-get]))");
  if (paper.matches) folded.forEach((each) => { each.open = true; unfolded.add(each); });
  else unfolded.forEach((each) => { each.open = false; unfolded.delete(each); });
});

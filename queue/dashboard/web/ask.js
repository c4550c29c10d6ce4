// Asks before a change, has it made, and says what has become of it.

const dialog = document.getElementById("ask");
const input = document.getElementById("ask-input");
const yes = document.getElementById("ask-yes");
const fault = document.getElementById("ask-fault");
let asked = null; // what is open

// ask has act make a change, with what was typed. It resolves to whether it was made. What act throws is shown, and
// the dialog stays as it is. more has a field {label, value}, and danger for what cannot be taken back.
export function ask(title, text, doing, act, more = {}) {
  const { field, danger } = more;
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-text").textContent = text;
  document.getElementById("ask-field").hidden = !field;
  document.getElementById("ask-label").textContent = field ? field.label : "";
  yes.textContent = doing;
  yes.classList.toggle("danger", Boolean(danger));
  yes.disabled = false;
  input.value = field && field.value ? field.value : "";
  blame("");
  dialog.returnValue = "no";
  dialog.showModal();
  (field ? input : document.getElementById("ask-no")).focus();
  asked = { act, field };
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function blame(text) {
  fault.textContent = text;
  fault.hidden = !text;
  input.setAttribute("aria-invalid", String(Boolean(text)));
}

dialog.querySelector("form").addEventListener("submit", async (e) => {
  if (e.submitter !== yes) return;
  e.preventDefault();
  const mine = asked;
  yes.disabled = true;
  blame("");
  try {
    await mine.act(input.value.trim());
    if (asked === mine) dialog.close("yes");
  } catch (err) {
    if (asked !== mine) return;
    blame(err.message);
    if (mine.field) input.focus();
  } finally {
    if (asked === mine) yes.disabled = false;
  }
});

// Return in the field is yes, and not the first button.
input.addEventListener("keydown", (e) => {
  if (e.key !== "Enter") return;
  e.preventDefault();
  if (!yes.disabled) dialog.querySelector("form").requestSubmit(yes);
});

let hiding;
export function say(text) {
  let toast = document.getElementById("toast");
  if (!toast) {
    toast = document.createElement("div");
    toast.id = "toast";
    toast.setAttribute("role", "status");
    document.body.append(toast);
  }
  toast.textContent = text;
  clearTimeout(hiding);
  hiding = setTimeout(() => (toast.textContent = ""), 6000);
}

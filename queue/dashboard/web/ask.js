// Asks before a change, and says what has become of it.

const dialog = document.getElementById("ask");

// ask resolves to what was typed ("" without a field), or to null if the person has thought better of it.
export function ask(title, text, yes, field) {
  const input = document.getElementById("ask-input");
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-text").textContent = text;
  document.getElementById("ask-yes").textContent = yes;
  document.getElementById("ask-field").hidden = !field;
  document.getElementById("ask-label").textContent = field ? field.label : "";
  input.value = field && field.value ? field.value : "";
  dialog.returnValue = "no";
  dialog.showModal();
  (field ? input : document.getElementById("ask-no")).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? input.value.trim() : null), { once: true });
  });
}

// Return in the field is yes, and not the first button.
document.getElementById("ask-input").addEventListener("keydown", (e) => {
  if (e.key !== "Enter") return;
  e.preventDefault();
  dialog.close("yes");
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

// Forms and buttons: what is typed goes out, and what comes back wrong is said where it belongs.

// Which field an error is about, where the API does not name one.
const FIELDS_OF = {
  invalid_credentials: ["password"],
  invalid_password: ["currentPassword", "password"],
  weak_password: ["newPassword", "password"],
  password_unchanged: ["newPassword"],
  email_taken: ["email"],
  invalid_code: ["code"],
};

const FIELDS = "input:not([type=checkbox])";

// Calls `send(values)` when the form is submitted, once at a time. A form of one code is emptied
// when that was wrong: it is typed anew, not mended.
export function onSubmit(form, send) {
  for (const input of form.querySelectorAll(FIELDS)) addErrorLine(input);
  for (const input of form.querySelectorAll("[type=password]")) addReveal(input);
  const line = errorLine(`${form.closest("[id]").id}-error`);
  form.append(line);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    clear(form, line);
    const empty = [...form.elements].find((input) => input.required && !input.value.trim());
    if (empty) {
      complain(empty, "Please fill this in.");
      return;
    }
    await busy(form, () => send(valuesOf(form)), (error) => {
      const input = fieldOf(form, error);
      if (input?.name === "code") input.value = "";
      if (input) complain(input, error.message);
      else say(line, error.message);
    });
  });
}

// Calls `act()` when the button is pressed, once at a time; what it throws is said in `line`.
export function onPress(button, line, act) {
  button.addEventListener("click", async () => {
    if (button.ariaBusy === "true") return;
    line.textContent = "";
    await busy(button, act, (error) => say(line, error.message));
  });
}

export function reset(form) {
  form.reset();
  clear(form, form.lastElementChild);
  for (const button of form.querySelectorAll(".reveal")) reveal(button, false);
}

// Saves text as a file.
export function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Authenticator apps show a code as "123 456"; the service takes it without the space.
export const withoutSpaces = (code) => code.replace(/\s/g, "");

// What is typed, by the names of the fields; of a box whether it is ticked.
function valuesOf(form) {
  const values = Object.fromEntries(new FormData(form));
  for (const box of form.querySelectorAll("[type=checkbox]")) values[box.name] = box.checked;
  return values;
}

function fieldOf(form, error) {
  const names = error.field ? [error.field] : (FIELDS_OF[error.code] ?? []);
  return names.map((name) => form.elements[name]).find(Boolean);
}

// A button that shows the password, as long as nothing else is done with the form.
function addReveal(input) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link reveal";
  button.setAttribute("aria-controls", input.id);
  input.parentElement.append(button);
  reveal(button, false);
  button.addEventListener("click", () => reveal(button, input.type === "password"));
}

function reveal(button, isShown) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  input.type = isShown ? "text" : "password";
  button.textContent = isShown ? "Hide" : "Show";
  button.ariaLabel = `${button.textContent} ${input.labels[0].textContent.toLowerCase()}`;
}

async function busy(element, act, refuse) {
  element.ariaBusy = "true";
  try {
    await act();
  } catch (error) {
    if (!error.isTold) refuse(error);
  } finally {
    element.ariaBusy = null;
  }
}

function addErrorLine(input) {
  const line = errorLine(`${input.id}-error`);
  input.after(line);
  const described = input.getAttribute("aria-describedby");
  input.setAttribute("aria-describedby", described ? `${described} ${line.id}` : line.id);
}

function errorLine(id) {
  const line = document.createElement("p");
  line.className = "error";
  line.id = id;
  line.role = "alert";
  line.tabIndex = -1;
  return line;
}

function complain(input, message) {
  input.ariaInvalid = "true";
  input.nextElementSibling.textContent = message;
  input.focus();
}

function say(line, message) {
  line.textContent = message;
  line.focus();
}

function clear(form, line) {
  line.textContent = "";
  for (const input of form.querySelectorAll(FIELDS)) {
    input.ariaInvalid = null;
    input.nextElementSibling.textContent = "";
  }
}

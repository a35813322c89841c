// Forms and buttons: what is typed goes out, and what comes back wrong is said where it belongs.

// Which field an error is about, where the API does not name one.
const FIELD_OF = {
  invalid_credentials: "password",
  weak_password: "password",
  email_taken: "email",
  invalid_code: "code",
};

// Calls `send(values)` when the form is submitted, once at a time. A form of one code is emptied
// when that was wrong: it is typed anew, not mended.
export function onSubmit(form, send) {
  for (const input of form.querySelectorAll("input")) addErrorLine(input);
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
    await busy(form, () => send(Object.fromEntries(new FormData(form))), (error) => {
      const input = form.elements[error.field ?? FIELD_OF[error.code]];
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
}

// Authenticator apps show a code as "123 456"; the service takes it without the space.
export const withoutSpaces = (code) => code.replace(/\s/g, "");

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
  for (const input of form.querySelectorAll("input")) {
    input.ariaInvalid = null;
    input.nextElementSibling.textContent = "";
  }
}

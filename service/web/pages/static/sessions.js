// The list of sessions: where somebody is signed in, and the end of it.

import { callSignedIn } from "./api.js";
import { onPress } from "./forms.js";
import { element, notify } from "./screens.js";

const TIME = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });

export function setUpSessions() {
  onPress(element("end-others"), element("sessions-error"), async () => {
    const { body } = await callSignedIn("POST", "/auth/logout/all", { keepCurrent: true });
    await afterEnding(body.revoked === 1 ? "One session ended." : `${body.revoked} sessions ended.`);
  });
}

export async function showSessions() {
  const { body } = await callSignedIn("GET", "/auth/sessions");
  element("sessions").replaceChildren(...body.sessions.map(row));
  element("end-others").hidden = body.sessions.every((session) => session.current);
}

function row(session) {
  const item = element("session").content.firstElementChild.cloneNode(true);
  const part = (selector) => item.querySelector(selector);
  const device = deviceOf(session.userAgent);
  const address = session.ipAddress ?? "unknown address";
  part("strong").textContent = device;
  part("strong").title = session.userAgent ?? "";
  part(".address").textContent = address;
  setTime(part(".since"), session.createdAt);
  setTime(part(".used"), session.lastUsedAt);
  part(".badge").hidden = !session.current;
  const button = part("button");
  if (session.current) {
    button.remove(); // it ends by signing out
  } else {
    button.ariaLabel = `End the session of ${device} at ${address}`;
    onPress(button, element("sessions-error"), () => end(session.id));
  }
  return item;
}

async function end(id) {
  try {
    await callSignedIn("DELETE", `/auth/sessions/${id}`);
  } catch (error) {
    if (error.code !== "session_not_found") throw error; // it has ended in the meantime
  }
  await afterEnding("Session ended.");
}

// The button that was pressed is gone, so focus goes to the heading of the list.
async function afterEnding(text) {
  await showSessions();
  element("sessions-heading").focus();
  notify(text);
}

function setTime(time, moment) {
  time.dateTime = moment;
  time.textContent = TIME.format(new Date(moment));
}

// Of several marks in a User-Agent, the first one here counts: browsers name their ancestors too.
const BROWSERS = {
  "Edg/": "Edge",
  "OPR/": "Opera",
  "Firefox/": "Firefox",
  "FxiOS/": "Firefox",
  "Chrome/": "Chrome",
  "CriOS/": "Chrome",
  "Safari/": "Safari",
};
const SYSTEMS = {
  Android: "Android",
  iPhone: "iPhone",
  iPad: "iPad",
  Windows: "Windows",
  Macintosh: "Mac",
  CrOS: "ChromeOS",
  Linux: "Linux",
};

function deviceOf(userAgent) {
  const known = (marks) => Object.keys(marks).find((mark) => userAgent?.includes(mark));
  const browser = BROWSERS[known(BROWSERS)];
  const system = SYSTEMS[known(SYSTEMS)];
  if (browser && system) return `${browser} on ${system}`;
  return browser ?? userAgent?.split(/[\s/]/)[0] ?? "Unknown device";
}

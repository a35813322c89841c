// The list of sessions: where somebody is signed in, and the end of it.

import { callSignedIn, forgetEverywhere } from "./api.js";
import { isSure } from "./dialogs.js";
import { onPress } from "./forms.js";
import { element, notify } from "./screens.js";

const TIME = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
const AGO = new Intl.RelativeTimeFormat([], { numeric: "auto" });
const UNITS = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

// `leave(text)` shows that nobody is signed in any more.
export function setUpSessions(leave) {
  onPress(element("end-others"), element("sessions-error"), async () => {
    const sure = await isSure({
      heading: "End all other sessions?",
      text: "Every other device and browser has to sign in again. This one stays signed in.",
      action: "End them",
    });
    if (!sure) return;
    const { body } = await callSignedIn("POST", "/auth/logout/all", { keepCurrent: true });
    await afterEnding(body.revoked === 1 ? "One session ended." : `${body.revoked} sessions ended.`);
  });

  onPress(element("end-all"), element("sessions-error"), async () => {
    const sure = await isSure({
      heading: "Sign out everywhere?",
      text: "Every device and browser has to sign in again, this one too.",
      action: "Sign out everywhere",
    });
    if (!sure) return;
    await callSignedIn("POST", "/auth/logout/all", { keepCurrent: false });
    forgetEverywhere();
    leave("You are signed out everywhere.");
  });
}

export async function showSessions() {
  const { body } = await callSignedIn("GET", "/auth/sessions");
  const ownFirst = body.sessions.toSorted((a, b) => b.current - a.current);
  element("sessions").replaceChildren(...ownFirst.map(row));
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
    onPress(button, element("sessions-error"), () => end(session.id, `${device} at ${address}`));
  }
  return item;
}

async function end(id, which) {
  const sure = await isSure({
    heading: "End this session?",
    text: `${which} has to sign in again.`,
    action: "End session",
  });
  if (!sure) return;
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

// How long ago, with the exact time for those who point at it.
function setTime(time, moment) {
  const then = new Date(moment);
  const seconds = (Date.now() - then) / 1_000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? [];
  time.dateTime = moment;
  time.title = TIME.format(then);
  time.textContent = unit ? AGO.format(-Math.floor(seconds / length), unit) : "just now";
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

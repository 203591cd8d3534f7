// Times by Redis's clock, in words that keep up with the clock.

import { el } from "./dom.js";

let ahead = 0; // how far Redis's clock is ahead of this machine's, in ms

export function setNow(now) {
  ahead = now - Date.now();
}

function words(ms) {
  const seconds = Math.floor(Math.abs(ms) / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function clock(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const [minutes, rest] = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, "0"));
  return hours ? `${hours}:${minutes}:${rest}` : `${minutes}:${rest}`;
}

const forms = {
  ago: (ms) => (ms < 1000 ? "now" : `${words(ms)} ago`),
  late: (ms) => `${words(ms)} late`,
  countdown: (ms) => (ms < 0 ? clock(-ms) : "any moment"),
};

function update(element) {
  const text = forms[element.dataset.form](Date.now() + ahead - Number(element.dataset.at));
  if (element.textContent !== text) element.textContent = text;
}

// A time in one of the forms `ago`, `late` and `countdown`.
export function time(at, form) {
  const date = new Date(at);
  const element = el("time", { dateTime: date.toISOString(), title: zoned(at, { dateStyle: "short", timeStyle: "medium" }), dataset: { at, form } });
  update(element);
  return element;
}

// A time in the time zone that the user has chosen in Airflow's UI.
function zoned(at, style) {
  let timeZone;
  try {
    timeZone = JSON.parse(localStorage.getItem("timezone") ?? '"UTC"');
    return new Date(at).toLocaleString("sv", { timeZone, ...style });
  } catch {
    return new Date(at).toLocaleString("sv", style);
  }
}

// A time of day, with the date if it is not today.
export function exact(at) {
  const full = zoned(at, { dateStyle: "short", timeStyle: "medium" });
  const [day] = zoned(Date.now(), { dateStyle: "short" }).split(" ");
  return el("time", { dateTime: new Date(at).toISOString(), title: full }, full.startsWith(day) ? full.slice(day.length + 1) : full);
}

setInterval(() => document.querySelectorAll("time[data-form]").forEach(update), 1000);

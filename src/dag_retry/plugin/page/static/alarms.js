// What is wrong for all runs at once, above both pages: it needs a human once, and not once for each run.

import { el, keyed } from "./dom.js";
import { time } from "./time.js";

const waiting = (count) => (count === 1 ? "1 run waits" : `${count || "no"} runs wait`);

// Code stands between backticks.
const withCode = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));

const ALARMS = {
  broken: ({ at, why, text, remedy, waiting: count }) => [
    el("strong", {}, "Needs a human: the way to Airflow’s API is broken"),
    el("p", {}, "It broke ", time(at, "ago"), `: ${why}. `, el("b", {}, `${waiting(count)}. `), remedy),
    text && el("p", {}, el("code", {}, text)),
  ],
  missing: ({ at, remedy, waiting: count }) => [
    el("strong", {}, "Needs a human: no sweeper runs"),
    el("p", {}, ...(at ? ["The last one looked ", time(at, "ago")] : ["None has ever run"]), ", and ", el("b", {}, `${waiting(count)} for one`), ": ",
      ...withCode(remedy)),
  ],
};

export function showAlarms(alarms) {
  keyed(document.getElementById("alarms"), alarms, (alarm) => alarm.what, (alarm) => el("div", { className: "alarm" }, ...ALARMS[alarm.what](alarm)));
}

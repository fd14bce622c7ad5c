// Rows by state, as a stacked bar and as a list.

import { byId, make, say } from "./dom.js";
import { count, progress } from "./words.js";

const STATES = [
  ["created", "created", "invitation created"],
  ["already_created", "already created", "by an earlier run"],
  ["duplicate", "duplicate", "repeats another row"],
  ["in_flight", "in flight", "waiting for an answer"],
  ["pending", "pending", "not sent yet"],
  ["deferred", "deferred", "its engagement is full"],
  ["in_doubt", "in doubt", "outcome unknown"],
  ["rejected", "rejected", "invalid, never sent"],
  ["failed", "failed", "refused by the service"],
  ["unread", "not\u00a0read\u00a0yet", "counted"],
];

const parts = new Map();

function build() {
  for (const [state, name, note] of STATES) {
    const number = make("b", {}, "–");
    const small = make("small", {}, note);
    const texts = [number, make("span", {}, name), small];
    const item = make("li", { "data-state": state, hidden: "" }, make("i", { class: state }), ...texts);
    const segment = make("div", { class: state });
    byId("states").append(item);
    byId("stack").append(segment);
    parts.set(state, { number, item, segment, note: small });
  }
}

/** Rows by state, with calls in flight and unread rows as separate states. */
export function byState(status) {
  const counts = Object.fromEntries(STATES.map(([state]) => [state, status[state] ?? 0]));
  const total = status.total === null ? status.rows : Math.max(status.total, status.rows);
  return { ...counts, unread: total - status.rows };
}

export function showRows(status) {
  if (!parts.size) build();
  const counts = byState(status);
  const ofCheckpoint = status.command === "serve" || status.standby !== null; // not of one run
  parts.get("unread").note.textContent = status.total_is_estimate ? "estimated" : "counted";
  say("rows-title", status.standby ? "Rows of the checkpoint" : "Rows");
  for (const [state, { number, item, segment }] of parts) {
    const value = counts[state];
    const text = count(value);
    if (number.textContent !== text) number.textContent = text;
    item.classList.toggle("none", value === 0);
    const isUnknown = status[state] === null || (state === "unread" && status.total === null);
    item.hidden = isUnknown || (state === "already_created" && ofCheckpoint);
    segment.hidden = value === 0;
    segment.style.flexGrow = String(value);
  }
  const { ended, total, percent } = progress(status);
  const about = status.total_is_estimate ? "~" : "";
  const sum = status.standby ? ""
    : total === null ? `${count(ended)} done of ${count(status.rows)} read so far`
    : `${count(ended)} of ${about}${count(total)} done`;
  say("rows-sum", sum);
  const listed = STATES.filter(([state]) => counts[state])
    .map(([state, name]) => `${name} ${count(counts[state])}`);
  const share = percent === null ? "" : `${percent}%: `;
  byId("stack").setAttribute("aria-label", `${share}${sum}; ${listed.join(", ")}`);
}

// Rows without an invitation: by reason with the remedy, and the latest ones.

import { breakable, byId, make, plain, prose } from "./dom.js";
import { clock, count, positionText, some } from "./words.js";

const LONGEST = 50;

const cell = (label, ...children) => make("td", { role: "cell", "data-label": label }, ...children);
const error = (code, path) =>
  cell("Error", make("b", {}, ...breakable(code)),
    ...(path && path !== "$" ? [" ", make("code", { class: "path" }, ...breakable(path))] : []));

function stateOf(state) {
  const mark = make("i", { class: state.replace(/[^a-z_]/g, "") });
  return make("span", { class: "state" }, mark, plain(state).replace("_", " "));
}

const problemRow = ({ state, code, path, rows, mend }) =>
  make("tr", { role: "row" },
    make("td", { role: "cell", "data-label": "Rows", class: "count" }, count(rows)),
    cell("State", stateOf(state)), error(code, path), cell("What to do", make("span", {}, ...prose(mend || "–"))));

const failureRow = ({ position, state, code, path, at }) =>
  make("tr", { role: "row" },
    cell("Time", make("span", { class: "time" }, at === null ? "–" : clock(at))), cell("Row", make("span", {}, ...breakable(positionText(position)))),
    cell("State", stateOf(state)), error(code, path));

/** A table that shows its first rows and is redrawn only when its data changes. */
function table(id, row, names, short) {
  const more = byId(`more-${id}`);
  let whole = false;
  let rows = [];
  let shown = "";
  function show() {
    const body = byId(id).querySelector("tbody");
    body.replaceChildren(...rows.slice(0, whole ? LONGEST : short).map(row));
    more.hidden = rows.length <= short;
    more.setAttribute("aria-expanded", String(whole));
    const all = Math.min(rows.length, LONGEST);
    const those = rows.length > LONGEST ? "the first" : "all";
    more.textContent = whole ? `Show only the first ${short}` : `Show ${those} ${count(all)}`;
  }
  more.addEventListener("click", () => {
    whole = !whole;
    show();
  });
  return (fresh, nothing) => {
    const now = JSON.stringify([fresh, nothing, new Date().toDateString()]);
    if (now === shown) return;
    shown = now;
    rows = fresh;
    const empty = byId(`no-${id}`);
    empty.hidden = rows.length > 0 && rows.length <= LONGEST;
    const all = `${some(rows.length, ...names)}; only the first ${LONGEST} are listed.`;
    empty.textContent = rows.length ? all : nothing;
    byId(id).hidden = rows.length === 0;
    show();
  };
}

const problems = table("problems", problemRow, ["reason", "reasons"], 6);
const failures = table("failures", failureRow, ["row", "rows"], 10);

export function showProblems(status) {
  const nothing = status.rows
    ? "None: no row is rejected, failed, deferred or in doubt."
    : "No rows have been read yet.";
  // In the checkpoint, a call in flight is a row in doubt; it would appear and disappear here constantly.
  const isInFlight = ({ state, code }) => state === "in_doubt" && code === "" && status.in_doubt === 0;
  const those = status.problems.filter((problem) => !isInFlight(problem));
  problems(those, nothing);
  failures(status.failures, those.length ? "None recently." : "None.");
}

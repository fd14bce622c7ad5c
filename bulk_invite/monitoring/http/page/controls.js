// What can be done to the run from here. Every answer is told in words; the server decides.

import { byId, say } from "./dom.js";
import { count, perSecond } from "./words.js";

const KEPT = "bulk-invite.control-token";
const PATIENCE = 10_000;

let status = null;
let connected = false;
let busy = false;
let answered = () => {};

export function startControls(onStatus) {
  answered = onStatus;
  const token = byId("token");
  token.value = sessionStorage.getItem(KEPT) ?? "";
  token.addEventListener("input", () => {
    sessionStorage.setItem(KEPT, token.value.trim());
    token.removeAttribute("aria-invalid");
    allow();
  });
  byId("token-form").addEventListener("submit", (event) => event.preventDefault());
  byId("pause").addEventListener("click", () => ask(isPaused() ? "resume" : "pause", {}));
  byId("rate-auto").addEventListener("click", () => ask("rate", { rate: "auto" }, byId("rate")));
  onNumber("rate-form", "rate", "Write how many calls per second, such as 5 or 0.5.", (rate) => rate > 0,
    (rate) => ask("rate", { rate }, byId("rate")));
  onNumber("flight-form", "flight", "Write how many rows at the same time: a whole number from 1.",
    (rows) => Number.isInteger(rows) && rows > 0,
    (rows) => ask("max-in-flight", { max_in_flight: rows }, byId("flight")));
  const sure = byId("sure");
  byId("drain").addEventListener("click", () => sure.showModal());
  byId("sure-no").addEventListener("click", () => sure.close());
  byId("sure-yes").addEventListener("click", () => {
    sure.close();
    ask("drain", {});
  });
  allow();
}

export function showControls(now, isConnected) {
  status = now;
  connected = isConnected;
  if (status) {
    byId("uncontrollable").hidden = status.controllable;
    byId("controllable").hidden = !status.controllable;
    say("pause", isPaused() ? "Resume" : "Pause");
    const auto = status.rate_setting === "auto";
    say("rate-note", auto
      ? `Now automatic, at most ${perSecond(status.max_rate)}.`
      : `Now ${perSecond(status.rate_setting)}, never exceeded.`);
    say("flight-note", `Now ${count(status.max_in_flight)}.`);
    follow("rate", auto ? "" : String(status.rate_setting));
    follow("flight", String(status.max_in_flight));
  }
  allow();
}

const isPaused = () => status?.state === "paused";
const isEnding = () => status !== null && ["draining", "finished"].includes(status.state);

/** A field shows what is so, until somebody writes into it. */
function follow(id, value) {
  const field = byId(id);
  if (document.activeElement !== field && !field.dataset.written) field.value = value;
}

function onNumber(form, id, mistake, possible, then) {
  const field = byId(id);
  field.addEventListener("input", () => {
    field.dataset.written = "yes";
    field.removeAttribute("aria-invalid");
  });
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    const number = field.value.trim() === "" ? NaN : Number(field.value.trim().replace(",", "."));
    if (possible(number)) then(number);
    else refuse(mistake, field);
  });
}

function whyNot() {
  if (status?.state === "finished") return "The run has ended: there is nothing to control.";
  if (!status || !connected) return "No connection: nothing can be changed.";
  if (status.state === "draining") return "The run is draining and ends by itself.";
  return byId("token").value.trim() ? "" : "Type the control token to use the controls.";
}

/** Which controls make sense now, and why the others do not. */
function allow() {
  const why = whyNot();
  say("hint", why);
  byId("levers").disabled = why !== "";
  byId("rate-auto").setAttribute("aria-pressed", String(status?.rate_setting === "auto"));
  if (isEnding() && byId("sure").open) byId("sure").close();
}

async function ask(what, body, field) {
  if (busy) return;
  busy = true;
  byId("levers").setAttribute("aria-busy", "true");
  tell("", "");
  try {
    const answer = await post(what, body);
    if (field) delete field.dataset.written;
    answered(answer);
    tell(outcome(what, answer), "");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    refuse(error.message, error.status === 401 ? byId("token") : error.status === 400 ? field : undefined);
  } finally {
    busy = false;
    byId("levers").removeAttribute("aria-busy");
  }
}

class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function post(what, body) {
  let response;
  let answer;
  try {
    response = await fetch(`api/${what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${byId("token").value.trim()}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    });
    answer = await response.json();
  } catch (error) {
    if (response) throw new Refusal(`The server answered with ${response.status}, no JSON.`, response.status);
    if (error.name === "TypeError" && !/^[\x20-\x7e]*$/.test(byId("token").value.trim())) {
      throw new Refusal("A control token has no such characters.", 401);
    }
    throw new Refusal("No answer: see above whether it was done, and try again.", 0);
  }
  if (response.ok) return answer;
  const said = answer.error ?? `The server answered with ${response.status}.`;
  const which = response.status === 401 ? "That is not the control token of this run. " : "";
  throw new Refusal(which + said, response.status);
}

const OUTCOMES = {
  pause: "Done: nothing is sent until you resume.",
  resume: "Done: rows are sent again.",
  drain: "Done: the run ends when the calls in flight are answered.",
};

function outcome(what, now) {
  if (what === "rate" && now.rate_setting === "auto") return "Done: the rate is found automatically.";
  if (what === "rate") return `Done: at most ${perSecond(now.rate_setting)} calls per second.`;
  if (what === "max-in-flight") return `Done: at most ${count(now.max_in_flight)} rows in flight.`;
  return OUTCOMES[what];
}

function refuse(message, field) {
  field?.setAttribute("aria-invalid", "true");
  field?.focus();
  tell("", message);
}

function tell(done, refused) {
  say("said", done);
  say("refused", refused);
}

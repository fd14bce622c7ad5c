// The controls of the run. The server decides; its answer is shown in words.

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
  onNumber("rate-form", "rate", "Enter calls per second, such as 5 or 0.5.", (rate) => rate > 0,
    (rate) => ask("rate", { rate }, byId("rate")));
  onNumber("flight-form", "flight", "Enter a whole number of rows, at least 1.",
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
    const limit = status.max_rate === null ? "" : `, at most ${perSecond(status.max_rate)}`;
    say("rate-note", auto
      ? `Currently automatic${limit}.`
      : `Currently ${perSecond(status.rate_setting)}, never exceeded.`);
    say("flight-note", `Currently ${count(status.max_in_flight)}.`);
    follow("rate", auto ? "" : String(status.rate_setting));
    follow("flight", String(status.max_in_flight));
  }
  allow();
}

const isPaused = () => status?.state === "paused";
const isEnding = () => status !== null && ["draining", "finished"].includes(status.state);

/** A field shows the current value until the user edits it. */
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

function whyDisabled() {
  if (status?.state === "finished") return "The run has ended.";
  if (!status || !connected) return "No connection to the run.";
  if (status.state === "draining") return "The run is draining and will stop.";
  return byId("token").value.trim() ? "" : "Enter the control token to use the controls.";
}

/** Enable the controls, or show why they are disabled. */
function allow() {
  const why = whyDisabled();
  say("hint", why);
  byId("levers").disabled = why !== "";
  byId("rate-auto").setAttribute("aria-pressed", String(status?.rate_setting === "auto"));
  if (isEnding() && byId("sure").open) byId("sure").close();
}

async function ask(what, body, field) {
  if (busy) return;
  busy = true;
  byId("levers").setAttribute("aria-busy", "true");
  showResult("", "");
  try {
    const answer = await post(what, body);
    if (field) delete field.dataset.written;
    answered(answer);
    showResult(outcome(what, answer), "");
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
    if (response) throw new Refusal(`The server answered ${response.status} without JSON.`, response.status);
    if (error.name === "TypeError" && !/^[\x20-\x7e]*$/.test(byId("token").value.trim())) {
      throw new Refusal("A control token contains only ASCII characters.", 401);
    }
    throw new Refusal("No answer: check above whether the change was made, then try again.", 0);
  }
  if (response.ok) return answer;
  const said = answer.error ?? `The server answered ${response.status}.`;
  const which = response.status === 401 ? "This is not the control token of the run. " : "";
  throw new Refusal(which + said, response.status);
}

const OUTCOMES = {
  pause: "Paused: no new calls until you resume.",
  resume: "Resumed: sending continues.",
  drain: "Draining: the run stops after the calls in flight.",
};

function outcome(what, now) {
  if (what === "rate" && now.rate_setting === "auto") return "Changed: the rate is found automatically.";
  if (what === "rate") return `Changed: at most ${perSecond(now.rate_setting)} calls per second.`;
  if (what === "max-in-flight") return `Changed: at most ${count(now.max_in_flight)} rows in flight.`;
  return OUTCOMES[what];
}

function refuse(message, field) {
  field?.setAttribute("aria-invalid", "true");
  field?.focus();
  showResult("", message);
}

function showResult(done, refused) {
  say("said", done);
  say("refused", refused);
}

// The live page of a run: shows the latest status from the event stream.

import { showChart, startChart } from "./chart.js";
import { connect } from "./connection.js";
import { showControls, startControls } from "./controls.js";
import { byId, define, plain, say } from "./dom.js";
import { showProblems } from "./problems.js";
import { showRows } from "./rows.js";
import { clock, count, duration, meaning, perSecond, progress, share, time } from "./words.js";

const ICONS = {
  starting: "M12 4a8 8 0 1 0 8 8h-3a5 5 0 1 1-5-5z",
  waiting: "M6 3h12v4l-4.5 5 4.5 5v4H6v-4l4.5-5L6 7z",
  sending: "M6 3.5 20 12 6 20.5z",
  idle: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zm0 3a5 5 0 1 0 0 10 5 5 0 0 0 0-10z",
  paused: "M6 4h4v16H6zm8 0h4v16h-4z",
  parked: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zm-1.3 4v6l4.6 2.9 1.3-2.1-3.4-2.1V7z",
  draining: "M10.5 3h3v10h4.5l-6 7-6-7h4.5z",
  finished: "m4 12.5 2.4-2.4 3.6 3.6 7.6-7.6L20 8.5l-10 10z",
  alarm: "M12 2.5 22.5 21h-21zM10.8 9l.4 6h1.6l.4-6zm0 7.5V19h2.4v-2.5z",
};
const LEAST_BETWEEN_HISTORIES = 2_000;
const MOST_BETWEEN_HISTORIES = 10_000;

let status = null;
let connected = false;
let historyAt = 0;
let historyEvery = LEAST_BETWEEN_HISTORIES;

function heard(now) {
  const other = status?.started !== now.started;
  connected = true;
  show(now);
  if (other || now.state === "finished" || Date.now() - historyAt >= historyEvery) refreshHistory();
}

function show(now) {
  status = now;
  const read = meaning(status);
  byId("hero").dataset.tone = read.tone;
  byId("icon").setAttribute("d", ICONS[read.icon] ?? ICONS.waiting);
  say("state", read.headline);
  say("meaning", read.sentence);
  // Announced to screen readers when the state changes, not with every update.
  if (byId("news").dataset.of !== read.headline) say("news", read.headline);
  byId("news").dataset.of = read.headline;
  showAhead();
  showUnready();
  showWhich();
  showRows(status);
  showFigures();
  showProblems(status);
  showRun();
  link("live", "Live", `as of ${clock(status.at)}`);
}

function showAhead() {
  const { percent, ended } = progress(status);
  say("percent", status.standby ? "–" : percent === null ? count(ended) : `${percent}%`);
  say("left", timeLeft(percent));
}

function timeLeft(percent) {
  if (status.standby) return "";
  if (status.state === "finished") return `took ${duration(status.elapsed_s)}`;
  if (percent === null) return "rows done";
  if (percent === 100) return "all rows done";
  if (status.left_s === null) return "time left: unknown";
  if (status.state === "paused") return `${duration(status.left_s)} of sending left`;
  return `${duration(status.left_s)} left, done ${onOrAt(Date.parse(status.at) + status.left_s * 1000)}`;
}

function onOrAt(ms) {
  const words = time(ms);
  return words.includes(" ") ? `on ${words}` : `at ${words}`;
}

function showUnready() {
  const reasons = Object.entries(status.reasons).map(([part, why]) => `${plain(part)}: ${plain(why)}`);
  const silent = status.ready || status.standby || status.state === "finished";
  byId("unready").hidden = silent;
  say("unready", silent ? "" : `Not ready. ${reasons.join("; ")}`);
}

function showWhich() {
  const live = status.catalog === "AWS";
  const badge = byId("catalog");
  badge.hidden = false;
  badge.classList.toggle("live", live);
  say("catalog", live ? "LIVE catalog AWS" : `Catalog ${plain(status.catalog)}`);
  say("campaign", status.campaign === "" ? "No campaign" : `Campaign ${plain(status.campaign)}`);
  say("account", status.account === null ? "" : `Account ${plain(status.account)}`);
}

function showFigures() {
  const { rate_setting: setting, estimated_quota: quota } = status;
  const { throttled_share_minute: minute, throttled_share_hour: hour } = status;
  const limit = status.max_rate === null ? "" : `, at most ${perSecond(status.max_rate)}`;
  const how = setting === "auto" ? `auto${limit}` : "fixed";
  const estimate = quota === null ? ["–", "not yet known"] : [`≈ ${perSecond(quota)}`, "calls/s"];
  define("figures", [
    ["Speed", known(status.speed, perSecond), "rows/s"],
    ["In flight", known(status.in_flight, count), `of ${count(status.max_in_flight)}`],
    ["Allowed rate", known(status.rate, perSecond), `calls/s, ${how}`],
    ["Estimated quota", ...estimate],
    ["Throttled", share(minute), `last minute; hour ${share(hour)}`],
    ["Calls", known(status.attempts, count), status.throttled === null ? "" : `${count(status.throttled)} throttled`],
  ]);
  const { daily_quota: quotaOfDay, sent_last_day: used, learned_quota: learned } = status;
  say("day", used === null ? "–" : quotaOfDay === null ? count(used) : `${count(used)} of ${count(quotaOfDay)}`);
  const cap = learned === null ? "" : ` The service seems to allow ${count(learned)}.`;
  const left = `${count(status.day_remaining ?? 0)} left.`;
  say("day-left", used === null ? "" : (quotaOfDay === null ? "No daily quota set." : left) + cap);
  byId("gauge-used").style.width = `${quotaOfDay ? Math.min(100, (used / quotaOfDay) * 100) : 0}%`;
  byId("gauge").hidden = quotaOfDay === null;
}

/** A figure in words; a dash where it is unknown. */
const known = (figure, words) => (figure === null ? "–" : words(figure));

function showRun() {
  // Without figures, no source has been read yet.
  const lags = status.attempts === null ? [] : Object.entries(status.source_lag ?? {});
  define("run", [
    ["Command", `bulk-invite ${status.command}`, `version ${status.version}`],
    ["Catalog", plain(status.catalog)],
    ["Account", status.account === null ? "not yet known" : plain(status.account)],
    ["Campaign", status.campaign === "" ? "none" : plain(status.campaign)],
    ["Machine", plain(status.host)],
    ["Endpoint", plain(status.endpoint)],
    ["Checkpoint", plain(status.checkpoint)],
    ["Sources", status.sources.map(plain).join(", ")],
    ["Started", clock(status.started), `${duration(status.elapsed_s)} ago`],
    ...lags.map(([source, s]) => [`Read ${plain(source)}`, `${duration(s)} ago`]),
  ]);
}

/** Show the state of the connection in the top bar and in the title. */
function link(how, words, when = "") {
  byId("bar").dataset.link = how;
  byId("main").classList.toggle("old", how === "lost");
  say("link", words);
  say("heard", when);
  byId("look").hidden = how !== "ended";
  showControls(status, connected);
  if (status === null) return;
  const { percent } = progress(status);
  const state = meaning(status).headline.split(": ")[0];
  const title = [percent === null ? "" : `${Math.floor(percent)}%`, state].filter(Boolean).join(" ");
  const which = [status.catalog, status.campaign, status.account ?? ""].filter(Boolean).map(plain);
  const last = how === "lost" ? "No connection; last: " : "";
  document.title = [last + title, ...which, "bulk-invite"].join(" · ");
}

function lost(since) {
  connected = false;
  link("lost", since === null ? "Cannot reach the run: retrying …" :
    `No connection since ${clock(since)}: this data is out of date. Retrying …`);
}

function ended() {
  connected = false;
  link("ended", `The run has ended. This is its final status, as of ${clock(status.at)}.`);
}

async function refreshHistory() {
  historyAt = Date.now();
  try {
    const response = await fetch("api/history", { signal: AbortSignal.timeout(LONGEST_HISTORY) });
    if (!response.ok) return;
    const history = await response.json();
    historyEvery = Math.max(LEAST_BETWEEN_HISTORIES, Math.min(MOST_BETWEEN_HISTORIES, history.step_s * 1000));
    showChart(history);
  } catch (error) {
    // The event stream reports a lost connection; the next event fetches the chart again.
    if (!["TypeError", "TimeoutError", "AbortError"].includes(error.name)) throw error;
  }
}

const LONGEST_HISTORY = 10_000;

startChart();
startControls(show);
byId("look").addEventListener("click", connect({ heard, lost, ended }));

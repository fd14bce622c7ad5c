// What the figures of a run mean, in words. Nothing here touches the page.

import { plain } from "./dom.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const seconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export const count = (number) => whole.format(number);
export const perSecond = (number) =>
  (number > 0 && number < 1 ? hundredths : number >= 100 ? whole : tenths).format(number);
export const share = (part) => (part === null ? "–" : `${tenths.format(part * 100)}%`);
export const some = (number, one, several) => `${count(number)} ${number === 1 ? one : several}`;

const dated = (format) => (when, now = Date.now()) => {
  const at = new Date(when);
  const today = new Date(now);
  if (at.toDateString() === today.toDateString()) return format.format(at);
  const sameYear = at.getFullYear() === today.getFullYear();
  return `${(sameYear ? day : year).format(at).replace(",", "")}, ${format.format(at)}`;
};

/** `14:05` of the viewer's day, or `Sat 28 Nov, 14:05`. when: ISO text or epoch milliseconds. */
export const time = dated(hours);
export const clock = dated(seconds);

/** `41 s`, `12 min`, `4 h 05 min`, `3 d 4 h`. */
export function duration(total) {
  const s = Math.max(0, Math.round(total));
  const minutes = Math.floor(s / 60);
  if (s < 60) return `${s} s`;
  if (minutes < 10) return `${minutes} min ${String(s % 60).padStart(2, "0")} s`;
  if (minutes < 60) return `${minutes} min`;
  const h = Math.floor(minutes / 60);
  if (h >= 48) return `${Math.floor(h / 24)} d ${h % 24} h`;
  return `${h} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Rows that have come to their end, of how many, and the share in per cent; null where nobody knows. */
export function progress(status) {
  const known = status.created + status.already_created + status.failed + status.rejected + status.duplicate;
  const ended = known + status.deferred;
  const total = status.total === null ? null : Math.max(status.total, status.rows);
  // Rounded down: 100% is said when it is true.
  const percent = total === null ? null : total === 0 ? 100 : Math.floor((ended / total) * 1000) / 10;
  return { ended, total, percent };
}

export const toLookAt = (status) => status.failed + status.rejected + status.deferred + status.in_doubt;

export function positionText({ source, line, key }) {
  return line === undefined ? `${plain(source)}, key ${plain(key ?? "?")}` : `${plain(source)}, line ${line}`;
}

/** What is read as a headline and a sentence below it; tone is a class of colours, icon a name. */
export function meaning(status, now = Date.now()) {
  const words = MEANINGS[status.state] ?? unknown;
  return { icon: status.state, ...words(status, now) };
}

const inFlight = (status) => some(status.in_flight, "call in flight", "calls in flight");
const sentence = (text) => {
  const shown = plain(text).trim();
  return shown && shown[0].toUpperCase() + shown.slice(1) + (/[.!?…]$/.test(shown) ? "" : ".");
};

const unknown = (status) => ({
  tone: "wait", icon: "waiting", headline: plain(status.state),
  sentence: "This page is older than the run: load it anew.",
});

const MEANINGS = {
  starting: (status) => ({
    tone: "wait", headline: "Starting",
    sentence: sentence(status.waiting_for || "Nothing is sent yet"),
  }),
  waiting: (status) => ({
    tone: "wait", headline: "Waiting",
    sentence: sentence(status.waiting_for || "Something has to come first; nothing is sent"),
  }),
  sending: (status) => ({
    tone: "active", headline: "Sending",
    sentence: `${perSecond(status.speed)} rows a second come to their end; ${inFlight(status)}.`,
  }),
  idle: () => ({
    tone: "calm", headline: "Idle",
    sentence: "All rows that are there are dealt with. New ones are sent as they come.",
  }),
  paused: (status) => ({
    tone: "hold", headline: "Paused by an operator: nothing is sent",
    sentence: (status.in_flight ? `${inFlight(status)} still to be answered. ` : "") + "Resume to go on.",
  }),
  parked: (status, now) => parked(status, now),
  draining: (status) => ({
    tone: "hold", headline: "Draining: no new calls",
    sentence: `${inFlight(status)} ${status.in_flight === 1 ? "is" : "are"} finished, then the run ends. ` +
      "The same command goes on later.",
  }),
  finished: (status) => finished(status),
};

function parked(status, now) {
  const next = status.next_call && time(status.next_call, now);
  const asks = `A single call ${next ? `at ${next}` : "now and then"} asks whether that is over.`;
  const until = status.parked_until && time(status.parked_until, now);
  const headline = until ? `Parked until ${until}` : "Parked";
  const wait = until ? `, in ${duration((Date.parse(status.parked_until) - now) / 1000)}` : "";
  const held = (why) => ({ tone: "hold", headline, sentence: `because ${why}` });
  if (status.parked === "daily_quota") {
    const quota = status.daily_quota === null ? "day's calls" : `day's ${count(status.daily_quota)} calls`;
    return held(`the ${quota} are used. It goes on by itself${wait}.`);
  }
  if (status.parked === "account_full") {
    return held(`the account has all the invitations it may have. ${asks}`);
  }
  const learned = status.learned_quota === null ? "" : ` of about ${count(status.learned_quota)} calls`;
  const latest = until ? ` It goes on by itself at the latest${wait}.` : "";
  return held(`the service refuses every call, as if a cap a day${learned} were reached. ${asks}${latest}`);
}

const ENDS = {
  1: ["bad", "Finished, with rows to look at"],
  3: ["bad", "Ended: too many rows failed"],
  75: ["hold", "Stopped before the end"],
  130: ["hold", "Broken off"],
};

function finished(status) {
  const rows = toLookAt(status);
  const open = status.pending + status.in_flight;
  const { exit_code: code } = status;
  if (!code && !rows && !open) {
    const isService = status.command === "serve";
    const headline = isService ? "Ended: nothing is left open" : "Finished: every row has its invitation";
    const made = some(status.created, "invitation is made", "invitations are made");
    const took = isService ? "" : `, in ${duration(status.elapsed_s)}`;
    return { tone: "done", headline, sentence: `${made}${took}.` };
  }
  const [tone, ending] = code ? (ENDS[code] ?? ["bad", "Ended: it could not go on"]) : ["done", "Ended"];
  const headline = code === 1 ? `Finished with ${some(rows, "row", "rows")} to look at` : ending;
  const parts = [
    code === null ? "" : `Exit code ${code}.`,
    open ? `${some(open, "row is", "rows are")} not sent yet: the same command goes on.` : "",
    rows && code !== 1 ? `${some(rows, "row needs", "rows need")} a look.` : "",
    rows ? "What is wrong and what to do stands below." : "",
    code in ENDS || !code ? "" : "Its log says why.",
  ];
  const icon = tone === "done" ? "finished" : "alarm";
  return { tone, icon, headline, sentence: parts.filter(Boolean).join(" ") };
}

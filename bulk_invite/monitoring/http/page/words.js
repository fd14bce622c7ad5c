// The status of a run in words. Does not touch the page.

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

/** `14:05` today, else `Sat 28 Nov, 14:05`, in the viewer's time zone. when: ISO text or epoch ms. */
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

/** Rows with a final outcome, all rows, and the share in percent; null where unknown. */
export function progress(status) {
  // A deferred row will be asked again.
  const ended = status.created + status.already_created + status.failed + status.rejected + status.duplicate;
  const total = status.total === null ? null : Math.max(status.total, status.rows);
  // Rounded down: 100% means all rows.
  const percent = total === null ? null : total === 0 ? 100 : Math.floor((ended / total) * 1000) / 10;
  return { ended, total, percent };
}

// As NEED_ATTENTION and OPEN in verdicts.py; a call in flight is a row in doubt there.
const needAttention = (status) => status.failed + status.rejected;
const stillOpen = (status) => status.deferred + status.in_doubt + status.pending + status.in_flight;

export function positionText({ source, line, key }) {
  return line === undefined ? `${plain(source)}, key ${plain(key ?? "?")}` : `${plain(source)}, line ${line}`;
}

/** Headline, sentence, tone (a CSS class) and icon (a name) for a status. */
export function meaning(status, now = Date.now()) {
  const words = MEANINGS[status.state] ?? unknown;
  return { icon: status.state, ...words(status, now) };
}

const inFlight = (status) => some(status.in_flight ?? 0, "call in flight", "calls in flight");
const sentence = (text) => {
  const shown = plain(text).trim();
  return shown && shown[0].toUpperCase() + shown.slice(1) + (/[.!?…]$/.test(shown) ? "" : ".");
};

const unknown = (status) => ({
  tone: "wait", icon: "waiting", headline: plain(status.state),
  sentence: "This page is older than the run: reload it.",
});

const standby = ({ standby: { sender, since } }, now) => {
  const holds = since === null ? "holds the lock" : `has held the lock since ${clock(since, now)}`;
  const why = sentence(`${sender} ${holds}`);
  return { tone: "wait", headline: "Standing by", sentence: `${why} This run takes over when that one ends.` };
};

const MEANINGS = {
  starting: (status) => ({
    tone: "wait", headline: "Starting",
    sentence: sentence(status.waiting_for || "Nothing has been sent yet"),
  }),
  waiting: (status, now) => status.standby ? standby(status, now) : ({
    tone: "wait", headline: "Waiting",
    sentence: sentence(status.waiting_for || "Nothing is being sent"),
  }),
  sending: (status) => ({
    tone: "active", headline: "Sending",
    sentence: `Completing ${perSecond(status.speed)} rows per second; ${inFlight(status)}.`,
  }),
  idle: (status) => ({
    tone: "calm", headline: "Idle",
    sentence: (status.deferred
      ? `${some(status.deferred, "row waits", "rows wait")} for room in full engagements. `
      : "All rows are done. ") + "New rows are sent as they arrive.",
  }),
  paused: (status) => ({
    tone: "hold", headline: "Paused by an operator: no new calls",
    sentence: (status.in_flight ? `Waiting for ${inFlight(status)}. ` : "") + "Resume to continue.",
  }),
  parked: (status, now) => parked(status, now),
  draining: (status) => ({
    tone: "hold", headline: "Draining: no new calls",
    sentence: `Finishing ${inFlight(status)}, then the run stops. Run the same command to continue.`,
  }),
  finished: (status) => finished(status),
};

function parked(status, now) {
  const next = status.next_call && time(status.next_call, now);
  const probe = `${next ? `The next probe call is at ${next}` : "A probe call is made from time to time"}.`;
  const until = status.parked_until && time(status.parked_until, now);
  const headline = until ? `Parked until ${until}` : "Parked";
  const wait = until ? `, in ${duration((Date.parse(status.parked_until) - now) / 1000)}` : "";
  const held = (why) => ({ tone: "hold", headline, sentence: why });
  if (status.parked === "daily_quota") {
    const quota = status.daily_quota === null ? "" : ` of ${count(status.daily_quota)} calls`;
    return held(`The daily quota${quota} is used up. Sending resumes automatically${wait}.`);
  }
  if (status.parked === "account_full") {
    return held(`The account has reached its limit of invitations. ${probe}`);
  }
  const learned = status.learned_quota === null ? "" : ` of about ${count(status.learned_quota)} calls`;
  const latest = until ? ` Sending resumes automatically${wait} at the latest.` : "";
  return held(`The service throttles every call, as if a daily quota${learned} were used up. ${probe}${latest}`);
}

const ENDS = {
  1: ["bad", "Finished"],
  3: ["bad", "Stopped: too many rows failed"],
  75: ["hold", "Stopped before all rows were sent"],
  130: ["hold", "Aborted by a second signal"],
};

function finished(status) {
  const rows = needAttention(status);
  const open = stillOpen(status);
  const { exit_code: code } = status;
  if (!code && !rows && !open) {
    const isService = status.command === "serve";
    const headline = isService ? "Stopped: no row is open" : "Finished: every row has its invitation";
    const made = some(status.created, "invitation created", "invitations created");
    const took = isService ? "" : `, in ${duration(status.elapsed_s)}`;
    return { tone: "done", headline, sentence: `${made}${took}.` };
  }
  const [ended, ending] = code ? (ENDS[code] ?? ["bad", "Stopped by an error"]) : ["done", "Stopped"];
  const tone = code === 1 && !rows ? "hold" : ended;
  const attention = `${some(rows, "row needs", "rows need")} attention`;
  const unfinished = `${some(open, "row is", "rows are")} still open`;
  const headline = code === 1 ? `${ending}; ${rows ? attention : unfinished}` : ending;
  const again = "Run the same command to continue";
  const parts = [
    code === null ? "" : `Exit code ${code}.`,
    !open ? "" : code === 1 && !rows ? `${again}.` : `${unfinished}: ${again.toLowerCase()}.`,
    rows && code !== 1 ? `${attention}.` : "",
    rows || status.deferred || status.in_doubt ? "Reasons and remedies are listed below." : "",
    code in ENDS || !code ? "" : "See the log for the cause.",
  ];
  const icon = { done: "finished", hold: "waiting" }[tone] ?? "alarm";
  return { tone, icon, headline, sentence: parts.filter(Boolean).join(" ") };
}

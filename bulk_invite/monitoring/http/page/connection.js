// The event stream. Unlike a plain EventSource, it reconnects after every error and after a silence.

const FIRST_RETRY = 500;
const LONGEST_RETRY = 10_000;
const SILENCE = 5_000; // an event comes every second
const AFTER_THE_END = 30_000;

/**
 * heard(status): an event arrived. lost(since): no connection; epoch ms of the last event, or null.
 * ended(): the run sent its final status and closed. Returns a function that reconnects immediately.
 */
export function connect({ heard, lost, ended }) {
  let source = null;
  let retry = FIRST_RETRY;
  let timer = null;
  let opened = 0;
  let last = null;
  let over = false;

  function open() {
    clearTimeout(timer);
    source?.close();
    opened = Date.now();
    source = new EventSource("api/events");
    source.addEventListener("status", take);
    source.addEventListener("error", lose);
  }

  function take(event) {
    const status = JSON.parse(event.data);
    last = Date.now();
    retry = FIRST_RETRY;
    over = status.state === "finished";
    heard(status);
    if (over) {
      ended();
      wait(AFTER_THE_END); // for a new run at the same address
    }
  }

  function lose() {
    if (over) {
      wait(AFTER_THE_END);
      return;
    }
    wait(retry);
    retry = Math.min(2 * retry, LONGEST_RETRY);
    lost(last);
  }

  function wait(milliseconds) {
    source.close();
    source = null;
    clearTimeout(timer);
    timer = setTimeout(open, milliseconds);
  }

  function tryNow() {
    if (source === null) open();
  }

  setInterval(() => {
    if (source !== null && Date.now() - Math.max(last ?? 0, opened) > SILENCE) lose();
  }, 1_000);
  addEventListener("online", tryNow);
  addEventListener("pageshow", (event) => event.persisted && open());
  document.addEventListener("visibilitychange", () => document.hidden || over || tryNow());
  open();
  return tryNow;
}

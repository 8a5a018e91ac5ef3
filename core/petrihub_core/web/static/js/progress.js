/* Follows the start of a workspace by the hub's event stream.

Events: {message, progress} from any spawner; ours add {stage, estimate_seconds}, while it waits {place, waiting}, while an image comes {bytes, total_bytes}
and, when it fails, {failed, stage, html_message}. The hub itself ends the stream with {ready} or {failed, message, html_message}.
A failure reads "Failed while <stage>: <reason>"; its HTML has the log in a <pre>. */
import { hub, baseUrl } from "./hub.js";

const STAGES = ["queued", "preparing", "starting", "ready"];
const DOING = { queued: "waiting in the queue", preparing: "preparing", starting: "starting", ready: "opening" };
const SAID = { queueing: "queued", preparing: "preparing", starting: "starting", finishing: "ready" };
const box = document.getElementById("ph-progress");
const { owner, name, title, progressUrl } = box.dataset;
const KEY = `petrihub-start:${owner}/${name}`;
const at = (id) => document.getElementById(id);

let stage = "queued";
let over = false;
const begun = Number(window.sessionStorage.getItem(KEY)) || Date.now();
window.sessionStorage.setItem(KEY, String(begun));

const seconds = () => Math.max(0, Math.round((Date.now() - begun) / 1000));
const span = (s) => (s < 60 ? `${s} s` : `${Math.floor(s / 60)} min ${s % 60} s`);

function showStages(failed = false) {
  const place = STAGES.indexOf(stage);
  for (const item of document.querySelectorAll("#ph-steps li")) {
    const index = STAGES.indexOf(item.dataset.stage);
    let state = "waiting";
    if (index < place || (over && !failed)) state = "done";
    else if (index === place) state = failed ? "failed" : "current";
    item.dataset.state = state;
    item.querySelector("[data-step-words]").textContent = { done: ": done", failed: ": failed" }[state] ?? "";
    if (state === "current") item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
}

function tick() {
  at("ph-elapsed").textContent = `${span(seconds())} so far`;
}

/** `kind`: of several in a row, only the newest is of interest, such as a place in line. */
function note(words, kind = "") {
  const last = at("ph-events").lastElementChild;
  if (!words || last?.dataset.words === words) return;
  if (kind && last?.dataset.kind === kind) last.remove();
  const item = document.createElement("li");
  item.dataset.kind = kind;
  const time = document.createElement("time");
  time.textContent = span(seconds());
  item.append(time, words);
  item.dataset.words = words;
  at("ph-events").append(item);
}

/** How much of an image has come; its words change every second, too often to be read aloud. */
function showCome({ bytes, total_bytes: total }) {
  const bar = at("ph-come");
  bar.hidden = total === undefined;
  at("ph-message").setAttribute("aria-live", bar.hidden ? "polite" : "off");
  if (!bar.hidden) Object.assign(bar, { max: total, value: bytes });
}

/** The text of what comes as HTML; never put into the page as HTML. */
function textOf(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const log = page.querySelector("pre")?.textContent.trim() ?? "";
  for (const part of page.querySelectorAll("details, pre")) part.remove();
  return { words: page.body.textContent.trim(), log };
}

function finish() {
  over = true;
  events.close();
  window.clearInterval(timer);
  window.sessionStorage.removeItem(KEY);
}

function fail(event) {
  if (over) return; // the hub repeats in its words what our spawner said in better ones
  finish();
  const { words, log } = event.html_message ? textOf(event.html_message) : { words: event.message ?? "", log: "" };
  const [, named, reason] = words.match(/^(?:Spawn failed:\s*)?(?:Failed while (\w+):\s*)?([^]*)$/);
  stage = [event.stage, SAID[named], stage].find((each) => STAGES.includes(each));
  showStages(true);
  document.title = `Failed: ${title} · PetriHub`;
  at("ph-progress-title").textContent = `${title} could not be started`;
  at("ph-now").hidden = true;
  at("ph-failure-stage").textContent = `Failed while ${DOING[stage]}, after ${span(seconds())}`;
  at("ph-failure-reason").textContent = reason || "It ended before it was ready. Try again; if it fails again, tell your administrator.";
  at("ph-failure").hidden = false;
  at("ph-failure-details").hidden = !log;
  at("ph-failure-log").textContent = log;
  at("ph-when-pending").hidden = true;
  at("ph-when-failed").hidden = false;
  document.querySelector(".ph-under").hidden = true;
  at("ph-when-failed").querySelector(".btn").focus();
  note(`Failed: ${reason}`);
}

function ready() {
  stage = "ready";
  finish();
  showStages();
  document.title = `${title} is ready · PetriHub`;
  at("ph-progress-title").textContent = `${title} is ready`;
  at("ph-message").textContent = "Ready. Opening your workspace";
  at("ph-estimate").textContent = "";
  window.location.reload(); // the hub sends a ready workspace's page on to where the person wanted to go
}

function hear(event) {
  if (event.ready) {
    ready();
    return;
  }
  if (event.failed) {
    fail(event);
    return;
  }
  if (STAGES.includes(event.stage)) stage = event.stage;
  else if (event.progress >= 50 && stage === "queued") stage = "starting"; // a stock spawner has no stages
  if (event.estimate_seconds > 0) {
    at("ph-estimate").textContent = `, usually ready in about ${span(Math.ceil(event.estimate_seconds))}`;
  }
  // the estimate stands beside the elapsed time already
  const words = event.message === "Server requested" ? "Start requested" : event.message?.replace(/ \(usually about .*\)$/, "");
  showCome(event);
  if (words) at("ph-message").textContent = words;
  note(words, ["place", "total_bytes"].find((each) => each in event));
  showStages();
  tick();
}

async function cancel() {
  const button = at("ph-cancel");
  button.disabled = true;
  button.textContent = "Cancelling…";
  events.close();
  try {
    await hub("DELETE", ["users", owner, "servers", name]);
    window.sessionStorage.removeItem(KEY);
    window.location.assign(`${baseUrl}home`);
  } catch (error) {
    at("ph-message").textContent = error.message;
    button.disabled = false;
    button.textContent = "Cancel the start";
  }
}

const events = new EventSource(progressUrl);
events.onmessage = (message) => hear(JSON.parse(message.data));
events.onerror = () => {
  if (over || events.readyState !== EventSource.CLOSED) return; // else the browser connects again itself
  at("ph-message").textContent = "The hub does not answer; looking again in a moment";
  window.setTimeout(() => window.location.reload(), 3000);
};
at("ph-cancel").hidden = false;
at("ph-cancel").addEventListener("click", cancel);
const timer = window.setInterval(tick, 1000);
showStages();
tick();

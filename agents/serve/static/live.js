// Renew the page about once a second: ask for its changing part, and replace the sections that differ.
// While the server does not answer, what is shown stays, with a line that says so.
"use strict";

const EVERY_MS = 1000;
const PATIENCE_MS = 10000;
const live = document.getElementById("live");
const connection = document.getElementById("connection");
const place = document.title.split(" · ").slice(1).join(" · ");
let lastAnswer = new Date();

// The token has done its work: the cookie stands for it now, and addresses are shown and kept.
if (new URLSearchParams(location.search).has("token")) {
  history.replaceState(null, "", location.pathname + location.hash);
}

function clock(time) {
  return time.toTimeString().slice(0, 8);
}

function say(text) {
  connection.hidden = text === "";
  if (connection.textContent !== text) connection.textContent = text;
  live.classList.toggle("old", text !== "");
}

function follow(before, after) {
  // A log stays at its end, unless somebody has scrolled up to read.
  const was = before && before.querySelector("[data-follow]");
  const is = after.querySelector("[data-follow]");
  if (!is) return;
  const atEnd = !was || was.scrollTop + was.clientHeight >= was.scrollHeight - 4;
  is.scrollTop = atEnd ? is.scrollHeight : was.scrollTop;
}

function isInUse(section) {
  // What somebody has marked to copy must not be taken away under the pointer.
  const selected = document.getSelection();
  return selected && !selected.isCollapsed && selected.intersectsNode(section);
}

function take(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const section of page.querySelectorAll("section[id]")) {
    const shown = document.getElementById(section.id);
    if (!shown || shown.outerHTML === section.outerHTML || isInUse(shown)) continue;
    shown.replaceWith(section);
    follow(shown, section);
  }
  retitle();
}

function retitle() {
  const head = document.getElementById("head");
  if (head) document.title = `${head.dataset.title} · ${place}`;
}

async function ask() {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), PATIENCE_MS);
  try {
    const answer = await fetch("/live", { cache: "no-store", signal: giveUp.signal });
    const text = await answer.text();
    if (answer.ok) {
      lastAnswer = new Date();
      take(text);
      say("");
    } else {
      say(`${text.trim()} (since ${clock(lastAnswer)})`);
    }
  } catch {
    say(`These pages do not answer any more; what is below is as it was at ${clock(lastAnswer)}. Trying again.`);
  } finally {
    clearTimeout(timer);
  }
}

async function renew() {
  if (!document.hidden) await ask();
  setTimeout(renew, EVERY_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
follow(null, live);
retitle();
setTimeout(renew, EVERY_MS);

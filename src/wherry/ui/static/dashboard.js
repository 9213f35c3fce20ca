// What the dashboard does more with a script: it goes on by itself, and shows answers in place.
// Every page and every button works without it.
"use strict";

const EVERY = 2000; // ms between looks, while somebody can see the page
const SLOWEST = 30000;

const announce = (text) => {
  document.getElementById("announce").textContent = text;
};

// ---- a page that goes on by itself -----------------------------------------------------------

// Makes one element as the other is, node by node: focus, scroll and what is open stay.
function follow(mine, theirs) {
  for (const { name } of [...mine.attributes]) {
    if (!theirs.hasAttribute(name)) mine.removeAttribute(name);
  }
  for (const { name, value } of theirs.attributes) {
    if (mine.getAttribute(name) !== value) mine.setAttribute(name, value);
  }
  const keyed = new Map();
  for (const child of mine.children) {
    if (child.dataset.key) keyed.set(child.dataset.key, child);
  }
  let at = mine.firstChild;
  for (const next of [...theirs.childNodes]) {
    const known = next.dataset && keyed.get(next.dataset.key);
    if (known && known !== at) {
      mine.insertBefore(known, at);
      at = known;
    }
    if (!at) {
      mine.append(document.importNode(next, true));
    } else if (at.nodeName !== next.nodeName || (at.dataset && at.dataset.key !== next.dataset.key)) {
      mine.insertBefore(document.importNode(next, true), at);
    } else {
      if (next.nodeType === Node.ELEMENT_NODE) follow(at, next);
      else if (at.nodeValue !== next.nodeValue) at.nodeValue = next.nodeValue;
      at = at.nextSibling;
    }
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

function goOn(main) {
  const address = main.dataset.refresh;
  const button = document.getElementById("pause");
  const word = button.querySelector(".word");
  let timer, wait = EVERY, paused = false, over = false;

  const say = (text, lost) => {
    word.textContent = text;
    button.classList.toggle("lost", Boolean(lost));
  };
  const later = () => {
    clearTimeout(timer);
    if (!paused && !over && !document.hidden) timer = setTimeout(look, wait);
  };
  async function look() {
    try {
      const answer = await fetch(address, { signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const news = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (paused) return;
      for (const theirs of news.querySelectorAll("[data-live]")) {
        const mine = document.getElementById(theirs.id);
        if (mine) follow(mine, theirs);
        if (theirs.dataset.done) {
          over = true;
          button.hidden = true;
          announce(theirs.dataset.done);
        }
      }
      wait = EVERY;
      say("Live");
    } catch {
      wait = Math.min(wait * 2, SLOWEST);
      say("No connection", true);
    }
    later();
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    say(paused ? "Paused" : "Live");
    if (paused) clearTimeout(timer);
    else look();
  });
  document.addEventListener("visibilitychange", later);
  later();
}

// ---- a form whose answer comes in place ------------------------------------------------------

async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const all = (held + value).split("\n");
    held = all.pop();
    for (const line of all) yield JSON.parse(line);
  }
}

function invokeInPlace(form) {
  const place = document.getElementById("answer");
  const text = document.getElementById("answer-text");
  const said = document.getElementById("answer-said");
  const stop = document.getElementById("stop");
  let calling = null;

  const write = (piece, error) => {
    const low = text.scrollTop + text.clientHeight > text.scrollHeight - 40;
    if (error) {
      const span = document.createElement("span");
      span.className = "err";
      span.textContent = piece;
      text.append(span);
    } else {
      text.append(piece);
    }
    if (low) text.scrollTop = text.scrollHeight;
  };
  const end = (ended) => {
    said.replaceChildren(`${ended.said} `);
    if (ended.id) {
      const link = document.createElement("a");
      link.href = `/ui/calls/${encodeURIComponent(ended.id)}`;
      link.textContent = "Its record";
      said.append(link);
    }
    if (ended.cut) said.append(` It wrote ${ended.size}, more than is shown.`);
    place.classList.toggle("bad", !ended.ok);
    announce(ended.said);
  };

  async function call(submitter) {
    const file = form.elements.file.files[0];
    place.hidden = false;
    place.classList.remove("bad");
    text.replaceChildren();
    if (file && file.size > Number(form.dataset.max)) {
      end({ ok: false, said: "The call was not made: the file is too large for this page." });
      return;
    }
    said.textContent = "It runs…";
    calling = new AbortController();
    stop.hidden = false;
    submitter.disabled = true;
    let ended = null, id = null;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new FormData(form, submitter),
        headers: { Accept: "application/x-ndjson" },
        signal: calling.signal,
      });
      if (!(answer.headers.get("content-type") || "").startsWith("application/x-ndjson")) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const problem = page.querySelector(".note.bad, body");
        throw new Error(`The call was refused: ${problem.textContent.trim()}`);
      }
      for await (const line of lines(answer)) {
        if (line.id) id = line.id;
        if (line.stdout) write(line.stdout);
        if (line.stderr) write(line.stderr, true);
        if (line.end) ended = line.end;
      }
      end(ended || { ok: false, id, said: "The answer broke off: the connection ended." });
    } catch (error) {
      const what = calling.signal.aborted ? "The call was stopped." : error.message;
      end({ ok: false, id, said: what });
    } finally {
      calling = null;
      stop.hidden = true;
      submitter.disabled = false;
      submitter.focus();
    }
  }

  form.addEventListener("submit", (event) => {
    const how = event.submitter && event.submitter.value;
    if (how && how !== "now") return;
    event.preventDefault();
    if (!calling) call(event.submitter || form.querySelector("button[value=now]"));
  });
  form.elements.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(form.querySelector("button[value=now]"));
  });
  stop.addEventListener("click", () => calling && calling.abort());
}

// ---- start -----------------------------------------------------------------------------------

const main = document.getElementById("main");
if (main.dataset.refresh) goOn(main);
const form = document.getElementById("invoke");
if (form) invokeInPlace(form);
const problem = document.getElementById("problem");
if (problem) problem.focus();
if (new URLSearchParams(location.search).has("note")) {
  const clean = new URL(location.href);
  clean.searchParams.delete("note");
  history.replaceState(null, "", clean);
}

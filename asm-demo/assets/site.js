// The script of the site: it switches the theme, shows what the server streams, and sends some forms
// without leaving the page. Everything but the live feed works without it.
"use strict";

const THEME = "asm-demo-theme";

// Before anything is drawn.
const stored = () => {
  try { return localStorage.getItem(THEME); } catch { return null; }
};
const wish = matchMedia("(prefers-color-scheme: dark)");
const theme = () => stored() ?? (wish.matches ? "dark" : "light");
const paint = () => { document.documentElement.dataset.theme = theme(); };
paint();

document.addEventListener("DOMContentLoaded", () => {
  themes();
  document.querySelectorAll("[data-stream]").forEach(stream);
  document.querySelectorAll("form[data-stay]").forEach(stay);
});

function themes() {
  const button = document.querySelector("[data-theme-switch]");
  const other = () => (theme() === "dark" ? "light" : "dark");
  const name = () => { button.textContent = other() === "dark" ? "Dark theme" : "Light theme"; };
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    const next = other();
    try { localStorage.setItem(THEME, next); } catch { return; }
    paint();
    name();
  });
  wish.addEventListener("change", () => { paint(); name(); });
}

// Shows what the server sends. It is the server's own HTML, in which it has escaped what others wrote.
function stream(place) {
  const source = new EventSource(place.dataset.stream);
  source.addEventListener("replace", (event) => {
    const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
    place.innerHTML = event.data;
    if (focused) document.getElementById(focused)?.focus();
  });
  source.addEventListener("append", (event) => {
    place.insertAdjacentHTML("beforeend", event.data);
    place.parentElement.scrollTop = place.parentElement.scrollHeight;
  });
  source.addEventListener("say", (event) => {
    const say = place.parentElement.querySelector("[data-say]");
    if (say) say.textContent = event.data;
  });
  source.addEventListener("end", () => {
    source.close();
    place.dataset.over = "yes";
  });
  source.addEventListener("open", () => { place.dataset.live = "yes"; });
}

// Sends a form, and shows the sentence that is answered. Hanging up ends the request.
function stay(form) {
  const output = form.querySelector("output");
  const hangUp = form.querySelector("[data-hang-up]");
  const send = form.querySelector("button:not([type=button])");
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const own = running = new AbortController();
    output.textContent = form.dataset.stay || "";
    if (hangUp) hangUp.hidden = false;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { accept: "text/plain" },
        body: new URLSearchParams(new FormData(form)),
        signal: own.signal,
      });
      if (answer.redirected) {
        location.assign(answer.url);
        return;
      }
      const text = await answer.text();
      const plain = (answer.headers.get("content-type") ?? "").startsWith("text/plain");
      output.textContent = plain ? text
        : answer.headers.get("x-asm-demo-said") ?? `The site answered with status ${answer.status}.`;
    } catch (error) {
      if (running !== own) return;
      output.textContent = own.signal.aborted
        ? "You hung up, so the lock is free at once and nothing was saved."
        : "The site did not answer.";
    }
    if (running !== own) return;
    running = null;
    if (hangUp && !hangUp.hidden) {
      const focused = document.activeElement === hangUp;
      hangUp.hidden = true;
      if (focused) send.focus();
    }
  });
  hangUp?.addEventListener("click", () => running?.abort());
}

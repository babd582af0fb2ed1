// Without this the page reloads itself; here only its sentence changes.
"use strict";

const state = document.getElementById("state");

async function look() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "application/json" } });
    if (answer.status !== 202) {
      location.reload();
      return;
    }
    const words = (await answer.json()).words;
    // Said again only when it changed, as it is read out.
    if (state.textContent !== words) {
      state.textContent = words;
    }
  } catch {
    state.textContent = "The server cannot be reached; look at its terminal.";
  }
  setTimeout(look, 700);
}

setTimeout(look, 700);

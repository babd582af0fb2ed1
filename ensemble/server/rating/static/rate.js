// The page of one clip: plays it, notes how much was heard, and sends the answer.
"use strict";

const sound = document.getElementById("sound");
const play = document.getElementById("play");
const seek = document.getElementById("seek");
const clock = document.getElementById("clock");
const heard = document.getElementById("heard");
const said = document.getElementById("said");
const form = document.getElementById("answer");
const keys = document.getElementById("keys");
const aspects = [...form.querySelectorAll("fieldset.aspect")];
const needed = Number(document.getElementById("player").dataset.needed);
const shownAt = performance.now();
const KEYS_OFF = "rate-keys-off";

let plays = 0;
let isSaving = false;
// Of one answer, however often it is sent.
let submission = "";

// ---- listening

function heardSeconds() {
  // Ranges that were played, each second once.
  let seconds = 0;
  for (let n = 0; n < sound.played.length; n += 1) {
    seconds += sound.played.end(n) - sound.played.start(n);
  }
  return seconds;
}

function isHeard() {
  // Players count in steps; the server allows for a little more.
  return heardSeconds() >= needed - 0.1;
}

function minutes(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function togglePlay() {
  if (sound.paused) {
    sound.play().catch(() => say("This clip does not play here. If it never does, choose “It does not play”."));
  } else {
    sound.pause();
  }
}

function showTime() {
  const total = Number.isFinite(sound.duration) ? sound.duration : 0;
  seek.max = String(total || 1);
  seek.value = String(sound.currentTime);
  const time = `${minutes(sound.currentTime)} of ${minutes(total)}`;
  seek.setAttribute("aria-valuetext", time);
  clock.textContent = time;
  showHeard();
}

function showHeard() {
  const isReady = isHeard();
  for (const aspect of aspects) {
    aspect.disabled = !isReady;
  }
  if (isReady && needed > 0 && heard.dataset.ready !== "yes") {
    heard.dataset.ready = "yes";
    heard.textContent = "You have heard enough: rate the clip, or play it again.";
  }
  document.getElementById("next").disabled = isSaving || !isReady;
}

play.addEventListener("click", togglePlay);
seek.addEventListener("input", () => { sound.currentTime = Number(seek.value); });
sound.addEventListener("loadedmetadata", () => { seek.disabled = false; showTime(); });
sound.addEventListener("timeupdate", showTime);
sound.addEventListener("play", () => { plays += 1; play.textContent = "Pause"; });
sound.addEventListener("pause", () => { play.textContent = "Play"; showTime(); });
sound.addEventListener("ended", () => { play.textContent = "Play again"; showTime(); });
sound.addEventListener("error", () => say("This clip does not play here. Choose “It does not play” to go on."));

// ---- rating

function ratingOf(aspect) {
  const chosen = aspect.querySelector("input[type=radio]:checked");
  if (chosen) {
    return Number(chosen.value);
  }
  const number = aspect.querySelector("input[type=number]");
  return number && number.value !== "" ? Number(number.value) : null;
}

function currentAspect() {
  const focused = aspects.find((aspect) => aspect.contains(document.activeElement));
  return focused || aspects.find((aspect) => ratingOf(aspect) === null) || aspects.at(-1);
}

function goOnAfter(aspect) {
  const open = aspects.find((other) => ratingOf(other) === null);
  const target = open ? open.querySelector("input") : document.getElementById("next");
  target.focus();
  if (open && open !== aspect) {
    open.scrollIntoView({ block: "nearest" });
  }
}

function rateByKey(digit) {
  const aspect = currentAspect();
  const radios = [...aspect.querySelectorAll("input[type=radio]")];
  const chosen = radios.find((radio) => radio.value === digit)
    || (digit === "0" && radios.find((radio) => radio.value === "10"));
  if (chosen && !aspect.disabled) {
    chosen.checked = true;
    goOnAfter(aspect);
  }
}

for (const aspect of aspects) {
  const slider = aspect.querySelector(".track input");
  const number = aspect.querySelector("input[type=number]");
  if (slider) {
    const touch = () => { slider.classList.remove("untouched"); slider.removeAttribute("aria-valuetext"); };
    slider.addEventListener("input", () => { touch(); number.value = slider.value; });
    // A click on the very place where the slider stands moves nothing, and is a rating.
    slider.addEventListener("click", () => { touch(); number.value = slider.value; });
    number.addEventListener("input", () => { touch(); slider.value = number.value; });
  }
}

// ---- sending

function say(text) {
  said.textContent = text;
  said.hidden = false;
}

function newSubmission() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(status) {
  if (isSaving) {
    return;
  }
  const ratings = {};
  if (status === "rated") {
    if (!isHeard()) {
      say("Listen first: play the clip before you rate it.");
      return;
    }
    for (const aspect of aspects) {
      const rating = ratingOf(aspect);
      if (rating === null) {
        say(`Still to answer: ${aspect.querySelector("legend").textContent}`);
        aspect.querySelector("input").focus();
        return;
      }
      ratings[aspect.dataset.aspect] = rating;
    }
  }
  setSaving(true);
  const isLeaving = await post(status, ratings);
  if (!isLeaving) {
    setSaving(false);
  }
}

function setSaving(value) {
  isSaving = value;
  form.setAttribute("aria-busy", String(value));
  for (const button of form.querySelectorAll("button")) {
    button.disabled = value;
  }
  showHeard();
}

async function post(status, ratings) {
  submission = submission || newSubmission();
  const answer = {
    clip: form.dataset.clip,
    submission,
    status,
    ratings,
    plays,
    listened_seconds: heardSeconds(),
    answer_seconds: (performance.now() - shownAt) / 1000,
  };
  let reply;
  try {
    reply = await fetch("/rate/answer", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(answer),
    });
  } catch {
    say("NOT SAVED: the server cannot be reached. Your answer is still here; try again in a moment.");
    return false;
  }
  let found = {};
  try {
    found = await reply.json();
  } catch {
    found = {};
  }
  if (!reply.ok) {
    // It was refused and not kept: what comes next is another answer.
    submission = "";
    say(found.error ? found.error.message : `NOT SAVED: the server answers ${reply.status}. Reload the page.`);
    return false;
  }
  window.location.assign(found.next);
  return true;
}

form.addEventListener("input", () => { submission = ""; said.hidden = true; });
form.addEventListener("submit", (event) => { event.preventDefault(); send("rated"); });
for (const button of form.querySelectorAll("button[data-status]")) {
  button.addEventListener("click", () => { submission = ""; send(button.dataset.status); });
}

// ---- keys

function isTyping(target) {
  return target.matches("input[type=number], input[type=text], textarea");
}

document.addEventListener("keydown", (event) => {
  const isShortcut = keys.checked && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (!isShortcut || event.repeat || isTyping(event.target)) {
    return;
  }
  const isControl = event.target.matches("button, a, summary, input[type=checkbox]");
  if (event.key === " " && !isControl) {
    event.preventDefault();
    togglePlay();
  } else if (/^[0-9]$/.test(event.key)) {
    rateByKey(event.key);
    form.dispatchEvent(new Event("input"));
  } else if (event.key === "Enter" && !isControl) {
    event.preventDefault();
    send("rated");
  } else if (event.key === "Backspace") {
    const back = document.getElementById("back");
    if (back) {
      back.click();
    }
  }
});

// Private windows may refuse to remember anything.
try {
  keys.checked = localStorage.getItem(KEYS_OFF) === null;
} catch {
  keys.checked = true;
}
keys.addEventListener("change", () => {
  try {
    if (keys.checked) {
      localStorage.removeItem(KEYS_OFF);
    } else {
      localStorage.setItem(KEYS_OFF, "1");
    }
  } catch {
    // Then the choice holds for this page.
  }
});

showTime();
// Until here, nobody would listen to it.
play.disabled = false;

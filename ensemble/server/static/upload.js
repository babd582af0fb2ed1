// The form works without this: here clips can be dropped, have a prompt each, and the
// upload shows how far it is.
"use strict";

const form = document.getElementById("upload");
const files = document.getElementById("files");
const drop = document.getElementById("drop");
const chosen = document.getElementById("chosen");
const list = chosen.querySelector("ol");
const onePrompt = document.getElementById("one-prompt");
const said = document.getElementById("said");
const problem = document.getElementById("problem");
const button = form.querySelector("button");
const isTable = (file) => /\.(csv|tsv|txt)$/i.test(file.name);

function fail(text) {
  problem.textContent = text;
  problem.hidden = false;
  said.textContent = "";
  button.disabled = false;
  document.getElementById("progress").hidden = true;
}

function sizeProblem() {
  const clips = [...files.files];
  const bytes = clips.reduce((sum, file) => sum + file.size, 0);
  const most = Number(form.dataset.maxBytes);
  if (bytes > most) {
    return `These files have ${(bytes / 1e6).toFixed(1)} MB; at most ${most / 1e6} MB are taken at a time: send them in several.`;
  }
  if (clips.filter((file) => !isTable(file)).length > Number(form.dataset.maxClips)) {
    return `At most ${form.dataset.maxClips} clips are taken at a time: send them in several.`;
  }
  return "";
}

function showChosen() {
  problem.hidden = true;
  list.replaceChildren();
  const clips = [...files.files].filter((file) => !isTable(file));
  const tables = [...files.files].filter(isTable);
  // A prompt each is for a handful of clips; more of them come with a table.
  const hasOwn = tables.length === 0 && clips.length > 1 && clips.length <= 12;
  clips.forEach((file, number) => {
    const item = document.createElement("li");
    const name = document.createElement(hasOwn ? "label" : "span");
    name.textContent = file.name;
    item.append(name);
    if (hasOwn) {
      const input = document.createElement("input");
      input.type = "text";
      input.id = `prompt-${number}`;
      input.maxLength = 5000;
      input.placeholder = "prompt of this clip, where it has another";
      name.htmlFor = input.id;
      item.append(input);
    }
    list.append(item);
  });
  for (const file of tables) {
    const item = document.createElement("li");
    item.textContent = `${file.name} (table of prompts)`;
    list.append(item);
  }
  chosen.hidden = files.files.length === 0;
  onePrompt.hidden = tables.length > 0;
  const word = clips.length === 1 ? "clip" : "clips";
  said.textContent = files.files.length ? `${clips.length} ${word} chosen.` : "";
  const text = sizeProblem();
  if (text) {
    fail(text);
  }
}

function formData() {
  const data = new FormData(form);
  const own = [...list.querySelectorAll("input")].map((input) => input.value.trim());
  const shared = String(data.get("prompt") || "").trim();
  data.delete("prompt");
  if (own.some((text) => text)) {
    // One for each, in the order of the files.
    own.forEach((text) => data.append("prompt", text || shared));
  } else if (shared && !onePrompt.hidden) {
    data.append("prompt", shared);
  }
  return data;
}

function send(event) {
  event.preventDefault();
  const text = sizeProblem();
  if (text) {
    fail(text);
    return;
  }
  problem.hidden = true;
  button.disabled = true;
  const progress = document.getElementById("progress");
  progress.hidden = false;
  said.textContent = "Uploading.";
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", (step) => {
    if (step.lengthComputable) {
      document.getElementById("sent").value = (100 * step.loaded) / step.total;
    }
  });
  request.addEventListener("load", () => {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      answer = {};
    }
    if (request.status === 202 && answer.page) {
      location.assign(answer.page);
    } else if (request.status === 401) {
      location.assign("/login");
    } else {
      fail(answer.error ? answer.error.message : `The server answered ${request.status}.`);
    }
  });
  request.addEventListener("error", () => fail("The server cannot be reached; look at its terminal, then send this again."));
  request.send(formData());
}

function isDragOfFiles(event) {
  return event.dataTransfer && [...event.dataTransfer.types].includes("Files");
}

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (isDragOfFiles(event)) {
      event.preventDefault();
      drop.classList.add("over");
    }
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) {
    drop.classList.remove("over");
  }
});
document.addEventListener("drop", (event) => {
  if (!isDragOfFiles(event)) {
    return;
  }
  event.preventDefault();
  drop.classList.remove("over");
  files.files = event.dataTransfer.files;
  showChosen();
});
files.addEventListener("change", showChosen);
form.addEventListener("submit", send);
// A browser that goes back remembers the choice of files.
window.addEventListener("pageshow", () => {
  button.disabled = false;
  document.getElementById("progress").hidden = true;
  showChosen();
});

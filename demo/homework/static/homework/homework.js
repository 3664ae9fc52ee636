/* Sends the form with XMLHttpRequest, which tells how far it got; fetch() does not.
   Without this script the browser sends the form itself. */
"use strict";

const form = document.getElementById("upload");
const input = document.getElementById("id_file");
const result = document.getElementById("upload-result");
const progress = document.getElementById("upload-progress");
const bar = document.getElementById("upload-bar");
const percent = document.getElementById("upload-percent");
const rate = document.getElementById("upload-rate");
const submit = form.querySelector("[type=submit]");
const cancel = document.getElementById("upload-cancel");

const MEBIBYTE = 1024 * 1024;
const megabytes = (bytes) => `${(bytes / MEBIBYTE).toFixed(1)} MB`;

function tell(message, isError) {
  const notice = document.createElement("p");
  notice.className = isError ? "notice error" : "notice";
  notice.textContent = message;
  result.replaceChildren(notice);
  if (isError) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function showRunning(isRunning) {
  progress.hidden = cancel.hidden = !isRunning;
  submit.disabled = input.disabled = isRunning;
  submit.setAttribute("aria-busy", String(isRunning));
}

function showProgress(event, began) {
  const share = event.total ? event.loaded / event.total : 1;
  const seconds = (performance.now() - began) / 1000;
  bar.value = 100 * share;
  percent.textContent = `${Math.floor(100 * share)} % of ${megabytes(event.total)}`;
  rate.textContent = share < 1 ? `${megabytes(event.loaded / seconds)}/s` : "Waiting for the answer";
}

function messageOf(request) {
  try {
    return JSON.parse(request.responseText).message;
  } catch {
    return `The server answered ${request.status}, and did not keep the file.`;
  }
}

function send(body) {
  const request = new XMLHttpRequest();
  const began = performance.now();
  const stop = () => request.abort();
  const end = (message, isError) => {
    cancel.removeEventListener("click", stop);
    showRunning(false);
    tell(message, isError);
    input.focus();
  };
  request.upload.addEventListener("progress", (event) => showProgress(event, began));
  request.addEventListener("load", () => {
    const isTaken = request.status === 201;
    end(messageOf(request), !isTaken);
    if (isTaken) {
      form.reset();
      htmx.trigger("#submissions", "homework-changed");
    }
  });
  request.addEventListener("error", () => end("The connection broke. Nothing was kept; send the file again.", true));
  request.addEventListener("abort", () => end("Cancelled. Nothing was kept.", false));
  cancel.addEventListener("click", stop);

  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("X-CSRFToken", body.get("csrfmiddlewaretoken"));
  request.send(body);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const most = Number(form.dataset.mostBytes) || Infinity;
  const body = new FormData(form); // before the field is disabled, which would leave it out
  if (body.get("file").size > most) {
    tell(`This file is too large. ${megabytes(most)} is the most that is taken.`, true);
    return;
  }
  bar.value = 0;
  percent.textContent = rate.textContent = "";
  result.replaceChildren();
  showRunning(true);
  cancel.focus();
  send(body);
});

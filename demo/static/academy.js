/* What each page needs beside htmx; pages with more have a script of their own. */
"use strict";

document.addEventListener("htmx:responseError", (event) => {
  const target = event.detail.target;
  const notice = document.createElement("p");
  notice.className = "notice error";
  notice.setAttribute("role", "alert");
  notice.textContent = `The server answered ${event.detail.xhr.status}. Nothing was changed.`;
  target.replaceChildren(notice);
});

document.addEventListener("htmx:sendError", (event) => {
  const notice = document.createElement("p");
  notice.className = "notice error";
  notice.setAttribute("role", "alert");
  notice.textContent = "The server did not answer. Does the demo still run?";
  event.detail.target.replaceChildren(notice);
});

/* The progress of an experiment: by server-sent events, or by asking again where those don't get through. */
"use strict";

(() => {
  const ASK_AGAIN = 2000; // milliseconds
  let source = null;
  let timer = null;

  const renew = () => htmx.trigger("#lab", "experiment:renew");

  const stop = () => {
    source?.close();
    clearInterval(timer);
    source = timer = null;
  };

  const show = (progress) => {
    const experiment = document.getElementById("experiment");
    if (progress.over) stop();
    if (progress.over || experiment?.dataset.status !== progress.status) {
      renew();
      return;
    }
    if (!progress.total) return;
    const bar = document.getElementById("experiment-progress");
    bar.max = progress.total;
    bar.value = progress.done;
    document.getElementById("experiment-count").textContent = `${progress.done} of ${progress.total}`;
    if (progress.status === "running") document.getElementById("experiment-now").textContent = progress.now;
  };

  const follow = () => {
    stop();
    const experiment = document.getElementById("experiment");
    if (!experiment) return;
    source = new EventSource(experiment.dataset.progress);
    source.onmessage = (event) => show(JSON.parse(event.data));
    // The browser connects again by itself; the page is renewed meanwhile, for it may not succeed.
    source.onopen = () => clearInterval(timer);
    source.onerror = () => {
      clearInterval(timer);
      timer = setInterval(renew, ASK_AGAIN);
    };
  };

  document.addEventListener("DOMContentLoaded", follow);
  document.addEventListener("htmx:afterSettle", () => {
    if (!source) follow();
  });
})();

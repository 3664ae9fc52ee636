/* Shows the name in the picture of the certificate while it is typed. */
"use strict";

const field = document.getElementById("id_name");
const shown = document.getElementById("preview-name");
const WIDEST = 600;
const LARGEST = 46;

function show() {
  shown.textContent = field.value.normalize("NFC").trim();
  shown.setAttribute("font-size", LARGEST);
  const width = shown.getComputedTextLength();
  if (width > WIDEST) shown.setAttribute("font-size", (LARGEST * WIDEST) / width);
}

if (field && shown) {
  field.addEventListener("input", show);
  show();
}

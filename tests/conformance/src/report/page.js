"use strict";
// Shows only the clauses and cases that have come to what was asked for.
const buttons = [...document.querySelectorAll("[data-show]")];
for (const button of buttons) {
  button.addEventListener("click", () => {
    const wanted = button.dataset.show;
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    for (const clause of document.querySelectorAll(".clause")) {
      clause.hidden = wanted !== "all" && !clause.dataset.has.split(" ").includes(wanted);
      if (wanted !== "all") clause.open = true;
    }
    for (const one of document.querySelectorAll(".case")) {
      one.hidden = wanted !== "all" && one.dataset.status !== wanted;
    }
  });
}

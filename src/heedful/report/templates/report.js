// Reading values off the charts, hiding lines by their key, choosing the judge. The page is whole without it.
"use strict";
for (const figure of document.querySelectorAll(".chart")) {
  const series = JSON.parse(figure.dataset.chart);
  const svg = figure.querySelector("svg");
  const output = figure.querySelector("output");
  const cross = document.createElementNS("http://www.w3.org/2000/svg", "path");
  cross.setAttribute("class", "cross");
  svg.append(cross);
  const read = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const nearest = series.map((s) => s.points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a)));
    const at = nearest.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    cross.setAttribute("d", `M${at[0]} 8V176`);
    const values = series.map((s, i) => `${s.name ? s.name + " " : ""}${nearest[i][3]}`);
    output.textContent = `${figure.dataset.x} ${at[2]}: ${values.join(" · ")}`;
  };
  const clear = () => { cross.removeAttribute("d"); output.textContent = ""; };
  svg.addEventListener("pointermove", read);
  svg.addEventListener("pointerdown", read);
  svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") clear(); });
  figure.querySelectorAll(".key").forEach((key, i) => {
    key.addEventListener("click", () => {
      const off = key.classList.toggle("off");
      const line = svg.querySelectorAll("g.series")[i];
      if (line) line.style.display = off ? "none" : "";
    });
  });
}
for (const input of document.querySelectorAll("input[name=judge]")) {
  input.addEventListener("change", () => {
    for (const row of document.querySelectorAll("details.rate")) row.hidden = row.dataset.judge !== input.value;
  });
}

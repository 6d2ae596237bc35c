// Map of the clips: a shape and a colour per label, hollow where the first run is wrong.

const SHAPES = [
  "M-7 0a7 7 0 1 0 14 0a7 7 0 1 0 -14 0Z", "M-6 -6H6V6H-6Z", "M0 -8L7.5 6H-7.5Z", "M0 -8.5L6.5 0L0 8.5L-6.5 0Z",
  "M0 8L-7.5 -6H7.5Z", "M-2.5 -7.5H2.5V-2.5H7.5V2.5H2.5V7.5H-2.5V2.5H-7.5V-2.5H-2.5Z",
  "M-7 4L0 -8L7 4L3 8H-3Z", "M-8 -3H8V3H-8Z",
];

const drawMap = (element, data, select) => {
  const SVG = "http://www.w3.org/2000/svg";
  const svgNode = (parent, name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };
  const { rows, points } = data.map;
  const wrong = (row) => data.runs[0].predictions[row] !== data.labels[row];
  const legend = make(element, "div", { class: "legend", role: "group", "aria-label": "Show one label" });
  const svg = svgNode(element, "svg", {
    class: "points", viewBox: "0 0 1040 1040", role: "img",
    "aria-label": `Map of ${rows.length} clips by their features`,
  });
  const hint = make(element, "output", { "aria-live": "off" }, "Point at a clip to read its name.");
  const scale = rows.length > 2000 ? 0.6 : rows.length > 200 ? 1 : 1.6;
  const groups = data.classes.map((_, i) => svgNode(svg, "g", { class: `class-${i}` }));
  rows.forEach((row, i) => {
    const label = data.labels[row];
    const [x, y] = points[i];
    svgNode(groups[label], "path", {
      d: SHAPES[label % 8], "data-row": row, class: wrong(row) ? "hollow" : "solid",
      transform: `translate(${20 + x} ${1020 - y}) scale(${scale})`, style: `--own:var(--c${label % 8})`,
    });
  });
  data.classes.forEach((name, i) => {
    const button = make(legend, "button", { type: "button", "aria-pressed": "false" });
    const icon = svgNode(button, "svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" });
    svgNode(icon, "path", { d: SHAPES[i % 8], class: "solid", style: `--own:var(--c${i % 8})` });
    make(button, "span", {}, name);
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      for (const other of legend.children) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", pressed);
      groups.forEach((group, j) => group.classList.toggle("faded", pressed && j !== i));
    });
  });
  const rowOf = (event) => event.target.closest("[data-row]")?.dataset.row;
  svg.addEventListener("pointerover", (event) => {
    const row = rowOf(event);
    if (row === undefined) return;
    const answer = data.classes[data.runs[0].predictions[row]] ?? "not in this run";
    hint.textContent = `${data.clips[row]}: label ${data.classes[data.labels[row]]}, predicted ${answer}`;
  });
  svg.addEventListener("click", (event) => {
    const row = rowOf(event);
    if (row !== undefined) select(Number(row));
  });
};

// Columns of the table of clips: what each sorts by, and what it shows. All text is set as text.

const make = (parent, name, attributes = {}, text = null) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
};
const inWords = (thousandths) => `${(thousandths / 10).toFixed(thousandths < 100 ? 1 : 0)} %`;
const collator = new Intl.Collator("en", { numeric: true });

// Columns: `of(row)` is what one sorts by, null for nothing; `fill(cell, row)` writes a cell.
const listColumns = (data, fillClip) => {
  const text = (value) => (cell, row) => make(cell, "span", {}, value(row) ?? "");
  const several = data.runs.length > 1;
  const label = (row) => data.classes[data.labels[row]];
  const columns = [
    { name: "clip", text: true, of: (row) => data.clips[row], fill: fillClip },
    { name: "label", text: true, of: label, fill: text(label) },
  ];
  data.runs.forEach((run, number) => {
    const head = several ? `${run.name}: ` : "";
    const answer = (row) => data.classes[run.predictions[row]] ?? null;
    const right = (row) => run.predictions[row] === data.labels[row];
    const known = (row, value) => (run.predictions[row] < 0 ? null : value);
    columns.push({
      name: `${head}prediction`, text: true, of: answer,
      fill: (cell, row) => {
        if (answer(row) === null) return make(cell, "span", { class: "small" }, "not in this run");
        const mark = right(row) ? ["right", "✓", " right"] : ["wrong", "✗", " wrong"];
        make(cell, "span", { class: mark[0] }, answer(row));
        make(cell, "span", { class: `mark ${mark[0]}`, "aria-hidden": "true" }, mark[1]);
        return make(cell, "span", { class: "hidden" }, mark[2]);
      },
    }, {
      name: `${head}probability`, left: true,
      of: (row) => known(row, run.probabilities[row][run.predictions[row]]),
      fill: (cell, row) => fillBars(cell, data, run.probabilities[row], run.predictions[row], data.labels[row]),
    });
    if (!several) {
      const share = (row) => known(row, run.probabilities[row][data.labels[row]]);
      columns.push({ name: "of the label", of: share, fill: text((row) => inWords(share(row))) });
    }
  });
  if (data.speakers.length) {
    const speaker = (row) => data.speakers[data.speaker[row]] ?? null;
    columns.push({ name: "speaker", text: true, of: speaker, fill: text(speaker) });
  }
  if (data.folds.some((fold) => fold !== null)) {
    columns.push({ name: "fold", of: (row) => data.folds[row], fill: text((row) => data.folds[row]) });
  }
  if (data.faces.length) {
    const faces = (row) => data.faces[row];
    columns.push({
      name: "frames with a face", of: faces,
      fill: text((row) => (faces(row) === null ? "-" : inWords(faces(row)))),
    });
  }
  if (new Set(data.modalities).size > 1) {
    const modalities = (row) => data.modalities[row];
    columns.push({ name: "modalities", text: true, of: modalities, fill: text(modalities) });
  }
  return columns;
};

// A bar per class, the label's underlined, and the prediction's number.
const fillBars = (cell, data, thousandths, prediction, label) => {
  if (prediction < 0) return;
  const named = data.classes.map((name, i) => `${name} ${inWords(thousandths[i])}`);
  const bars = make(cell, "span", { class: "bars", "aria-hidden": "true", title: named.join("\n") });
  thousandths.forEach((value, i) => {
    const bar = make(bars, "span", { class: i === label ? "of label" : "of" });
    make(bar, "i", { style: `height:${value / 10}%;background:var(--c${i % 8})` });
  });
  make(cell, "span", {}, inWords(thousandths[prediction]));
  make(cell, "span", { class: "hidden" }, `: ${named.join(", ")}`);
};

// Rows in a new order; equal ones keep theirs, and those without a value come last either way.
const sortRows = (rows, of, descending) => {
  const sign = descending ? -1 : 1;
  return rows.slice().sort((a, b) => {
    const [x, y] = [of(a), of(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "number" ? x - y : collator.compare(x, y));
  });
};

// Outcomes to filter by: name and test of a row.
const listOutcomes = (data) => {
  const right = (number) => (row) => data.runs[number].predictions[row] === data.labels[row];
  const known = (number) => (row) => data.runs[number].predictions[row] >= 0;
  if (data.runs.length === 1) return [["right", right(0)], ["wrong", (row) => !right(0)(row)]];
  const all = data.runs.map((_, number) => right(number));
  const outcomes = [
    ["right in every run", (row) => all.every((test) => test(row))],
    ["wrong in every run", (row) => all.every((test) => !test(row))],
    ["predicted differently", (row) =>
      new Set(data.runs.map((run) => run.predictions[row]).filter((answer) => answer >= 0)).size > 1],
  ];
  data.runs.slice(1).forEach((run, i) => {
    const both = (row) => known(0)(row) && known(i + 1)(row);
    outcomes.push(
      [`only ${data.runs[0].name} right, not ${run.name}`, (row) => both(row) && all[0](row) && !all[i + 1](row)],
      [`only ${run.name} right, not ${data.runs[0].name}`, (row) => both(row) && !all[0](row) && all[i + 1](row)],
    );
  });
  return outcomes;
};

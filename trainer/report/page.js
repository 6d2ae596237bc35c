// The page at work: the table's filters, pages and panels, the confusion's cells, the map, printing.

(() => {
  const PER_PAGE = 50;
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const table = find("table");
  const body = table.tBodies[0];
  const outcomes = listOutcomes(data);
  const everyRow = data.clips.map((_, row) => row);
  const opened = new Set();
  let sorted = everyRow;
  let shown = everyRow;
  let page = 0;
  let printing = false;

  // A face of the middle of the clip, cut from its strip.
  const drawn = Object.keys(data.pictures).length > 0;
  const fillThumbnail = (parent, row) => {
    if (!drawn) return;
    const strip = data.pictures[row]?.strip;
    const frame = make(parent, "span", { class: "thumbnail", "aria-hidden": "true" });
    if (!strip) return;
    const count = strip.times.length;
    const middle = count >> 1;
    const place = count > 1 ? (100 * middle) / (count - 1) : 0;
    make(frame, "img", { src: strip.source, alt: "", style: `object-position:${place}% 0` });
  };

  const fillClip = (cell, row) => {
    const button = make(cell, "button", {
      type: "button", class: "plain open", "aria-expanded": String(opened.has(row)), "data-row": row,
    });
    fillThumbnail(button, row);
    make(button, "span", {}, data.clips[row]);
    button.addEventListener("click", () => toggle(button, row));
  };
  const columns = listColumns(data, fillClip);

  const listProbabilities = (parent, row) => {
    for (const run of data.runs.filter((one) => one.predictions[row] >= 0)) {
      const list = make(parent, "p");
      if (data.runs.length > 1) make(list, "b", {}, `${run.name}: `);
      list.append(data.classes.map((name, i) => `${name} ${inWords(run.probabilities[row][i])}`).join(", "));
    }
  };

  const fillPanel = (parent, row) => {
    const place = make(parent, "div", { class: "place" });
    const pictures = data.pictures[row] || {};
    const explained = data.explanations
      .map((run, i) => run[row] && { ...run[row], run: data.runs[i].name }).filter(Boolean);
    if (explained.length) {
      drawPanel(place, explained[0], pictures, explained[1] || null);
    } else {
      listProbabilities(place, row);
      if (pictures.strip) {
        make(place, "img", { src: pictures.strip.source, alt: `Frames of ${data.clips[row]}` });
      }
      make(place, "p", { class: "small" }, pictures.why || "The page has no curves of this clip; the notes above the table say why.");
    }
    if (data.sheets[row]) {
      make(make(parent, "p"), "a", { href: data.sheets[row] }, "All faces of this clip");
    }
  };

  const addPanel = (tr, row) => {
    const panel = document.createElement("tr");
    panel.className = "panel";
    const cell = make(panel, "td", { colspan: columns.length });
    tr.after(panel);
    fillPanel(cell, row);
    panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") toggle(tr.querySelector("button"), row);
    });
  };

  const toggle = (button, row) => {
    const tr = button.closest("tr");
    if (opened.delete(row)) tr.nextElementSibling.remove();
    else {
      opened.add(row);
      addPanel(tr, row);
    }
    button.setAttribute("aria-expanded", String(opened.has(row)));
    button.focus();
  };

  const render = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
    page = Math.min(page, pages - 1);
    const rows = printing ? shown : shown.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
    body.replaceChildren();
    for (const row of rows) {
      const tr = make(body, "tr", {
        class: data.runs[0].predictions[row] === data.labels[row] ? "" : "mistake",
      });
      columns.forEach((column, i) => {
        const attributes = i ? {} : { scope: "row" };
        const cell = make(tr, i ? "td" : "th", { ...attributes, class: column.text || column.left ? "text" : "" });
        column.fill(cell, row);
      });
      if (opened.has(row)) addPanel(tr, row);
    }
    const first = shown.length ? page * PER_PAGE + 1 : 0;
    const some = pages > 1 && !printing ? `; ${first} to ${first + rows.length - 1} are shown` : "";
    find("shown").textContent = `${shown.length} of ${data.clips.length} clips${some}`;
    drawPager(pages);
  };

  const drawPager = (pages) => {
    const pager = document.querySelector(".pager");
    const focused = pager.contains(document.activeElement) && document.activeElement.textContent;
    pager.replaceChildren();
    if (pages === 1) return;
    for (const [name, goal] of [["first", 0], ["previous", page - 1], ["next", page + 1], ["last", pages - 1]]) {
      const button = make(pager, "button", { type: "button" }, name);
      button.disabled = goal < 0 || goal >= pages || goal === page;
      button.addEventListener("click", () => { page = goal; render(); });
      if (name === focused && !button.disabled) button.focus();
    }
    make(pager, "span", {}, `page ${page + 1} of ${pages}`);
  };

  const choose = { label: find("by-label"), prediction: find("by-prediction"), outcome: find("by-outcome"), speaker: find("by-speaker"), fold: find("by-fold") };
  const filter = () => {
    const text = find("find").value.trim().toLowerCase();
    const wanted = (name) => (choose[name].value === "" ? null : Number(choose[name].value));
    const [label, prediction, outcome, speaker, fold] = Object.keys(choose).map(wanted);
    shown = sorted.filter((row) =>
      (!text || data.clips[row].toLowerCase().includes(text))
      && (label === null || data.labels[row] === label)
      && (prediction === null || data.runs.some((run) => run.predictions[row] === prediction))
      && (outcome === null || outcomes[outcome][1](row))
      && (speaker === null || data.speaker[row] === speaker)
      && (fold === null || data.folds[row] === fold));
    page = 0;
    render();
  };

  const offer = (select, names) => {
    make(select, "option", { value: "" }, "any");
    for (const [value, name] of names) make(select, "option", { value }, name);
    if (!names.length) select.parentElement.hidden = true;
    select.addEventListener("change", filter);
  };
  const numbered = (names) => names.map((name, i) => [i, name]);
  offer(choose.label, numbered(data.classes));
  offer(choose.prediction, numbered(data.classes));
  offer(choose.outcome, numbered(outcomes.map(([name]) => name)));
  offer(choose.speaker, numbered(data.speakers));
  const folds = [...new Set(data.folds)].filter((fold) => fold !== null).sort((a, b) => a - b);
  offer(choose.fold, folds.map((fold) => [fold, fold]));
  const form = document.querySelector(".filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  const clear = () => {
    find("find").value = "";
    for (const field of Object.values(choose)) field.value = "";
  };
  form.addEventListener("reset", (event) => {
    event.preventDefault(); // it would come after what follows
    clear();
    filter();
  });
  find("find").addEventListener("input", filter);

  const head = make(table.tHead, "tr");
  columns.forEach((column) => {
    const cell = make(head, "th", { scope: "col", class: column.text || column.left ? "text" : "", "aria-sort": "none" });
    const button = make(cell, "button", { type: "button", class: "plain sort" }, column.name);
    button.addEventListener("click", () => {
      // Words rise first, numbers fall first: one looks for the highest.
      const before = cell.getAttribute("aria-sort");
      const descending = before === "none" ? !column.text : before === "ascending";
      for (const other of head.cells) other.setAttribute("aria-sort", "none");
      cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sorted = sortRows(sorted, column.of, descending);
      filter();
    });
  });

  const show = (values) => {
    clear();
    for (const [name, value] of Object.entries(values)) choose[name].value = value;
    filter();
    find("clips").scrollIntoView();
    find("shown").setAttribute("tabindex", "-1");
    find("shown").focus({ preventScroll: true });
  };
  document.querySelectorAll(".confusion button").forEach((button) =>
    button.addEventListener("click", () => show({ label: button.dataset.label, prediction: button.dataset.prediction })));
  find("show-changed")?.addEventListener("click", () =>
    show({ outcome: outcomes.findIndex(([name]) => name === "predicted differently") }));

  const openClip = (row) => {
    show({});
    page = Math.floor(shown.indexOf(row) / PER_PAGE);
    opened.add(row);
    render();
    const button = body.querySelector(`button[data-row="${row}"]`);
    button.scrollIntoView({ block: "start" });
    button.focus({ preventScroll: true });
  };
  if (data.map) drawMap(document.querySelector(".map"), data, openClip);

  // On paper everything is there: every row, and what is folded.
  const paper = matchMedia("print");
  const print = () => {
    printing = paper.matches;
    if (printing) document.querySelectorAll("details").forEach((one) => { one.open = true; });
    render();
  };
  paper.addEventListener("change", print);
  print();
})();

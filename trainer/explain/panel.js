"use strict";
// Panel of one explanation: frames, attention and probabilities on one axis of time. A page embeds
// this file, panel.css and page.css, and calls drawPanel with what Explanation.to_json and embed_pictures
// return, parsed.

const drawPanel = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const LINE = 15, GAP = 14, LEAD = 14, NARROWEST = 58; // pixels
  const heights = { attention: 64, spectrogram: 84, probabilities: 132 };

  const node = (parent, name, attributes = {}, text = null) => {
    const made = parent.namespaceURI === SVG || name === "svg"
      ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    parent.append(made);
    return made;
  };

  const percent = (share) => `${Math.round(100 * share)} %`;
  const seconds = (time) => `${time.toFixed(2)} s`;
  const share = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ×`;
  const addUp = (differences) => {
    let total = 0;
    return differences.map((value) => (total += value) / 1000);
  };

  // Undoes the compact form of Explanation.to_json.
  const unpack = (json) => ({
    ...json,
    probabilities: json.probabilities.map((value) => value / 1000),
    attention: Object.fromEntries(Object.entries(json.attention).map(([name, part]) => [name, {
      steps: part.steps,
      times: addUp(part.times),
      values: part.weights.map((value) => value / 100),
    }])),
    windows: {
      seconds: json.windows.milliseconds / 1000,
      times: addUp(json.windows.times),
      values: json.windows.probabilities.map((row) => row.map((value) => value / 1000)),
    },
  });

  const nearest = (times, time) => {
    let best = -1;
    times.forEach((value, i) => {
      if (best < 0 || Math.abs(value - time) < Math.abs(times[best] - time)) best = i;
    });
    return best;
  };

  const describeAttention = (name, part) => {
    if (part === undefined) return `uses no ${name}`;
    if (!part.steps) return `the clip has no ${name}`;
    return "one step a clip, so no curve";
  };

  const answer = (one) => {
    if (one.prediction === null) return "no prediction: nothing could be read of the clip";
    const p = one.probabilities[one.classes.indexOf(one.prediction)];
    const heads = `${one.heads} ${one.heads === 1 ? "head" : "heads"}`;
    const fold = one.fold === null ? "" : ` of fold ${one.fold}`;
    const random = one.untrained ? "; untrained: the features come from random weights" : "";
    return `${one.prediction} ${percent(p)} (${heads}${fold}${random})`;
  };

  const nameOf = (runs, run) => runs.length > 1 ? runs[run].run : "this run";
  const noteOf = (one, name, [predicted, label]) =>
    [name === one.prediction && predicted, name === one.label && label].filter(Boolean).join(", ");

  // A curve as a path; broken where times are far apart or a point is missing.
  const trace = (times, values, x, y) => {
    const steps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
    const widest = 4 * (steps[steps.length >> 1] || 1);
    return times.map((time, i) => {
      const joined = i && time - times[i - 1] <= widest;
      return `${joined ? "L" : "M"}${x(time).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    }).join("");
  };

  const drawFrames = (svg, pictures, x, box) => {
    const strip = pictures.strip;
    const every = Math.max(1, Math.ceil(strip.times.length * NARROWEST / box.width));
    const shown = strip.times.map((time, i) => [time / 1000, i])
      .filter(([, i]) => i % every === every >> 1);
    const room = box.width / Math.max(1, shown.length);
    const width = Math.min(strip.width, room - 2);
    const height = width * strip.height / strip.width;
    shown.forEach(([time, i], place) => {
      const middle = box.left + (place + 0.5) * room;
      const frame = node(svg, "svg", {
        x: middle - width / 2, y: box.top, width, height,
        viewBox: `${i * strip.width} 0 ${strip.width} ${strip.height}`,
      });
      node(frame, "image", {
        href: strip.source, width: strip.width * strip.times.length, height: strip.height,
      });
      const [top, end] = [box.top + height + 1, box.top + height + LEAD];
      node(svg, "path", { class: "lead", d: `M${middle} ${top}L${x(time)} ${end - 4}V${end}` });
    });
    return height + LEAD;
  };

  const drawTitle = (svg, box, text) => {
    const x = box.width < 360 ? 2 : box.left;
    node(svg, "text", { class: "title", x, y: box.top + 11 }, text);
    box.top += LINE + 4;
  };

  // Attention of one modality, of one run or two, over an equal share as a thin line.
  const drawAttention = (svg, parts, x, box) => {
    const most = 1.15 * Math.max(1.5, ...parts.flatMap(([, part]) => part.values));
    const y = (value) => box.top + box.height * (1 - value / most);
    node(svg, "rect", {
      class: "plot", x: box.left, y: box.top, width: box.width, height: box.height,
    });
    node(svg, "line", {
      class: "share", x1: box.left, x2: box.left + box.width, y1: y(1), y2: y(1),
    });
    for (const value of [0, 1, most > 2.5 ? Math.floor(most) : 1]) {
      node(svg, "text", { class: "label", x: box.left - 5, y: y(value) + 4 }, `${value} ×`);
    }
    node(svg, "text", { class: "end", x: box.left + box.width + 5, y: y(1) + 4 }, "equal share");
    for (const [run, part] of parts) {
      const d = trace(part.times, part.values, x, y);
      node(svg, "path", { class: "halo", d });
      node(svg, "path", { class: `attention run-${run}`, d });
    }
  };

  const drawProbabilities = (svg, runs, x, box, notes) => {
    const y = (value) => box.top + box.height * (1 - value);
    node(svg, "rect", {
      class: "plot", x: box.left, y: box.top, width: box.width, height: box.height,
    });
    for (const value of [0, 0.5, 1]) {
      node(svg, "text", { class: "label", x: box.left - 5, y: y(value) + 4 }, percent(value));
      node(svg, "line", {
        class: "grid", x1: box.left, x2: box.left + box.width, y1: y(value), y2: y(value),
      });
    }
    const told = new Set(runs.flatMap((one) => [one.label, one.prediction]));
    const ends = [];
    runs.forEach((one, run) => one.classes.forEach((name, i) => {
      const marked = told.has(name);
      if (!one.windows.times.length || (run && !marked)) return;
      const values = one.windows.values.map((row) => row[i]);
      const middle = one.windows.times[0], half = one.windows.seconds / 2;
      const whole = [middle - half, middle + half].map((time) =>
        Math.min(Math.max(x(time), box.left), box.left + box.width));
      const tone = `series-${i % 8}${marked ? " marked" : ""}${i < 8 ? "" : " again"}`;
      const d = values.length === 1 ? `M${whole[0]} ${y(values[0])}H${whole[1]}`
        : trace(one.windows.times, values, x, y);
      node(svg, "path", { class: `probability run-${run} ${tone}`, d });
      if (run) return;
      const note = noteOf(one, name, notes);
      ends.push({ name, note, tone, x: x(one.windows.times.at(-1)), y: y(values.at(-1)) });
    }));
    // Names at the ends of the lines, pushed apart.
    ends.sort((a, b) => a.y - b.y);
    const room = Math.min(13, box.height / ends.length);
    ends.forEach((end, i) => {
      end.at = Math.max(end.y, i ? ends[i - 1].at + room : box.top + 4);
    });
    for (let i = ends.length - 1, low = box.top + box.height; i >= 0; i -= 1) {
      ends[i].at = Math.min(ends[i].at, low);
      low = ends[i].at - room;
    }
    for (const end of ends) {
      const right = box.left + box.width;
      node(svg, "path", {
        class: `leader ${end.tone}`, d: `M${end.x} ${end.y}L${right + 4} ${end.at}`,
      });
      const text = node(svg, "text", { class: "end", x: right + 7, y: end.at + 4 });
      const name = end.name.length > 24 ? `${end.name.slice(0, 23)}…` : end.name;
      node(text, "tspan", { class: `name ${end.tone}` }, name);
      if (end.note) node(text, "tspan", { class: "note" }, ` ${end.note}`);
    }
  };

  const drawAxis = (svg, x, box, span) => {
    const wanted = (span[1] - span[0]) / Math.max(2, box.width / 90);
    const unit = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((k) => k * unit).find((value) => value >= wanted);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (let k = Math.ceil(span[0] / step - 1e-6); k * step <= span[1] + 1e-6; k += 1) {
      const at = x(k * step);
      node(svg, "line", { class: "tick", x1: at, x2: at, y1: box.top, y2: box.top + 5 });
      node(svg, "text", { class: "axis", x: at, y: box.top + 18 }, (k * step).toFixed(digits));
    }
    node(svg, "text", { class: "end", x: box.left + box.width + 14, y: box.top + 18 }, "seconds");
  };

  const spanOf = (runs, pictures) => {
    const times = runs.flatMap((one) => [
      one.windows.times, ...Object.values(one.attention).map((part) => part.times),
    ].flatMap((part) => [part[0], part.at(-1)])).filter((time) => time !== undefined);
    const end = Math.max(0, ...(pictures.spectrogramSpan || []), ...times);
    return [Math.min(0, ...times), end > 0 ? end : 1];
  };

  // Every row of the panel, at a width; returns the axis.
  const draw = (svg, width, runs, pictures) => {
    svg.replaceChildren();
    const notes = width < 500 ? ["P", "L"] : ["predicted", "label"];
    const longest = Math.max(...runs[0].classes.map((name) =>
      Math.min(24, name.length) + noteOf(runs[0], name, notes).length));
    const left = 44, right = Math.max(78, 18 + 6.6 * longest);
    const box = { left, top: 2, width: Math.max(80, width - left - right), height: 0 };
    const span = spanOf(runs, pictures);
    const x = (time) => left + box.width * (time - span[0]) / (span[1] - span[0]);
    if (pictures.strip) box.top += drawFrames(svg, pictures, x, box) + GAP;
    const names = [...new Set(runs.flatMap((one) => Object.keys(one.attention)))];
    for (const name of names.sort().reverse()) { // video, then audio
      const grey = name === "audio" && pictures.spectrogram;
      const curves = runs.map((one, run) => [run, one.attention[name]])
        .filter(([, part]) => part && part.steps > 1);
      const flat = runs.map((one, run) => [run, one.attention[name]])
        .filter(([, part]) => !part || part.steps <= 1);
      const shown = [grey && "spectrogram", curves.length && "attention of each step"];
      drawTitle(svg, box, [name, shown.filter(Boolean).join(", ")].filter(Boolean).join(": "));
      for (const [run, part] of flat) {
        drawTitle(svg, box, `${nameOf(runs, run)}: ${describeAttention(name, part)}`);
      }
      box.height = grey ? heights.spectrogram : curves.length ? heights.attention : 0;
      if (grey) {
        const [from, to] = pictures.spectrogramSpan.map(x);
        node(svg, "image", {
          class: "spectrogram", href: pictures.spectrogram, preserveAspectRatio: "none",
          x: from, y: box.top, width: Math.max(1, to - from), height: box.height,
        });
      }
      if (curves.length) drawAttention(svg, curves, x, box);
      box.top += box.height + GAP;
    }
    const first = runs[0].windows;
    drawTitle(svg, box, first.times.length < 2 && first.seconds < 1
      ? "probability, of the whole clip (shorter than a window)"
      : `probability, of ${first.seconds.toFixed(1)} s around each moment alone`);
    box.height = heights.probabilities;
    drawProbabilities(svg, runs, x, box, notes);
    box.top += box.height;
    drawAxis(svg, x, box, span);
    const cursor = node(svg, "line", { class: "cursor", y1: 0, y2: box.top, visibility: "hidden" });
    const height = box.top + 24;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    return { span, x, cursor, left, width: box.width };
  };

  const readOut = (runs, time) => runs.map((one) => {
    const said = Object.entries(one.attention).filter(([, part]) => part.steps > 1)
      .map(([name, part]) => `${name} ${share(part.values[nearest(part.times, time)])}`);
    const row = one.windows.values[nearest(one.windows.times, time)] || [];
    const ranked = one.classes.map((name, i) => [name, row[i]]).filter(([, p]) => p !== undefined)
      .sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, p]) => `${name} ${percent(p)}`);
    return (runs.length > 1 ? `${one.run}: ` : "")
      + [said.join(", "), ranked.join(", ")].filter(Boolean).join("; ");
  }).join(". ");

  /* Draw a panel into an element, replacing what it holds.

  explanation: as of Explanation.to_json; `run` may name the run.
  pictures: as of embed_pictures; {} for none.
  second: another run's explanation of the same clip, dashed over the first; null for none. */
  return (element, explanation, pictures, second) => {
    const runs = [explanation, second].filter(Boolean).map(unpack);
    runs.forEach((one, i) => { one.run = one.run || `run ${i + 1}`; });
    pictures = pictures || {};
    element.replaceChildren();
    const figure = node(element, "figure", { class: "explanation" });
    const head = node(figure, "p", { class: "answers" });
    const label = runs[0].label === null ? "label unknown" : `label (L): ${runs[0].label}`;
    node(head, "b", {}, label);
    runs.forEach((one, run) => {
      const item = node(head, "span", { class: "answer" });
      if (runs.length > 1) {
        const key = node(item, "svg", { class: "key", viewBox: "0 0 34 10", "aria-hidden": true });
        node(key, "path", { class: `attention run-${run}`, d: "M1 5H33" });
        node(item, "b", {}, `${one.run}: `);
      } else item.append("prediction (P): ");
      item.append(answer(one));
    });
    const svg = node(figure, "svg", {
      class: "panel", tabindex: 0, role: "img",
      "aria-label": `Clip ${runs[0].clip} over time: attention and probabilities. `
        + "Arrow keys move a cursor, Home and End go to the ends.",
    });
    const output = node(figure, "output", { "aria-live": "polite" }, "Point at a moment, or use the arrow keys.");
    if (pictures.why) node(figure, "p", { class: "why" }, pictures.why);

    let axis = null, time = null;
    const show = (wanted) => {
      time = Math.min(Math.max(wanted, axis.span[0]), axis.span[1]);
      axis.cursor.setAttribute("x1", axis.x(time));
      axis.cursor.setAttribute("x2", axis.x(time));
      axis.cursor.setAttribute("visibility", "visible");
      output.textContent = `${seconds(time)}: ${readOut(runs, time)}`;
    };
    const redraw = () => {
      const width = Math.round(figure.clientWidth) || 720;
      if (axis && axis.drawn === width) return;
      axis = { ...draw(svg, width, runs, pictures), drawn: width };
      if (time !== null) show(time);
    };
    const moves = (event) => {
      const place = svg.getBoundingClientRect();
      const at = (event.clientX - place.left) / place.width * axis.drawn;
      show(axis.span[0] + (at - axis.left) / axis.width * (axis.span[1] - axis.span[0]));
    };
    svg.addEventListener("pointermove", moves);
    svg.addEventListener("pointerdown", moves);
    svg.addEventListener("keydown", (event) => {
      const [first, last] = axis.span;
      const step = Math.max(0.04, (last - first) / 200) * (event.shiftKey ? 10 : 1);
      const now = time === null ? first : time;
      const goal = {
        ArrowRight: time === null ? first : now + step, ArrowLeft: now - step,
        Home: first, End: last,
      }[event.key];
      if (goal === undefined) return;
      event.preventDefault();
      show(goal);
    });
    redraw();
    new ResizeObserver(redraw).observe(figure);
    return figure;
  };
})();

"use strict";
/* The network in the page: draw, and every map answers; its patterns grow; it dreams; another one is trained. */
(() => {
  const $ = (selector, root = document.querySelector("#play")) => root.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(`#play ${selector}`)];
  const held = (id) => JSON.parse(document.getElementById(id).textContent);
  const make = (tag, set = {}, ...inside) => { const made = Object.assign(document.createElement(tag), set); made.append(...inside); return made; };
  const refuse = (why) => { $(".refused").hidden = false; $(".refused").textContent = why; };
  const table = held("network"), brought = held("play-data"), engine = pellucidEngine();
  if (!table) return refuse("The weights of this network are more than a page can carry, so it cannot be played with here.");
  const nets = {};
  try { nets.page = engine.open(table); } catch (error) { return refuse(error.message); }
  const [channels, height, width] = table.input_shape, pixels = height * width, names = table.provenance.classes ?? [];
  const className = (index) => String(names[index] ?? index), still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let asked = "page", image = new Float32Array(channels * pixels), moving = 0; // who answers, to what, and the timer of what moves it

  // Pictures: numbers as grays from ink to ivory.
  const INK = [10, 13, 18], IVORY = [250, 246, 236];
  const paint = (canvas, values, across, gray) => {
    const down = values.length / across, picture = new ImageData(across, down);
    for (let k = 0; k < values.length; k++) {
      const share = Math.min(1, Math.max(0, gray(values[k])));
      for (let c = 0; c < 3; c++) picture.data[4 * k + c] = INK[c] + share * (IVORY[c] - INK[c]);
      picture.data[4 * k + 3] = 255;
    }
    if (canvas.width !== across || canvas.height !== down) { canvas.width = across; canvas.height = down; }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  };
  const pixelated = (across, down, room) => make("canvas", { width: across, height: down, style: `--w:${across};--h:${down};--k:${Math.max(1, Math.min(10, Math.floor(room / across)))}` });

  // The answers: a row for each layer whose units can be asked or that changes the picture's size, a button for each map.
  const rows = nets.page.layers.map((layer, index) => {
    if (["flatten", "dropout"].includes(layer.kind)) return null;
    const maps = layer.shape.length === 3, askable = "activation" in layer, line = make("div", { className: maps ? "maps" : "units" });
    const tiles = Array.from({ length: layer.shape[0] }, (_, unit) => {
      const inner = maps ? pixelated(layer.shape[2], layer.shape[1], 72) : make("i"), what = `${layer.name}, map ${unit}`;
      if (!askable || !maps) return [inner, inner];
      const button = make("button", { type: "button", ariaLabel: `Grow the pattern of ${what}`, title: what, ariaPressed: "false" }, inner);
      button.addEventListener("click", () => grow(index, unit, button, what));
      return [button, inner];
    });
    line.append(...tiles.map(([outer]) => outer));
    const row = make("div", {}, line);
    if (askable && !maps) { // units are too many and too thin to be pressed one by one
      const which = make("input", { type: "number", className: "num", min: 0, max: layer.shape[0] - 1, value: 0, ariaLabel: `unit of ${layer.name}` });
      const button = make("button", { type: "button", textContent: "Grow its pattern", ariaPressed: "false" });
      button.addEventListener("click", () => {
        const unit = Math.max(0, Math.min(layer.shape[0] - 1, Math.floor(Number(which.value))));
        grow(index, unit, button, `${layer.name}, unit ${unit}`);
      });
      row.append(make("div", { className: "row" }, make("label", { className: "label" }, "unit ", which), button));
    }
    $(".answers").append(make("li", {}, make("div", {}, make("h3", { textContent: layer.name }), make("p", { className: "label", textContent: layer.shape.join(" × ") })), row));
    return { index, maps, tiles: tiles.map(([, inner]) => inner) };
  }).filter(Boolean);
  const bars = Array.from({ length: nets.page.classes }, (_, label) => {
    const bar = make("i"), share = make("dd", { className: "num" });
    const row = make("div", {}, make("dt", { textContent: className(label) }), make("dd", { className: "bar", ariaHidden: "true" }, bar), share);
    $(".classes").append(row);
    return { row, bar, share };
  });

  const answer = () => {
    const begun = performance.now(), net = nets[asked], trace = engine.forward(net, image);
    for (const { index, maps, tiles } of rows) {
      const y = trace.outputs[index], each = y.length / tiles.length, largest = y.reduce((most, value) => Math.max(most, value), 0) || 1;
      tiles.forEach((tile, unit) => {
        if (maps) paint(tile, y.subarray(unit * each, (unit + 1) * each), tile.width, (value) => value / largest);
        else tile.style.setProperty("--v", Math.max(0, y[unit]) / largest);
      });
    }
    const p = engine.softmax(trace.outputs.at(-1), 1), best = p.indexOf(Math.max(...p));
    bars.forEach(({ row, bar, share }, label) => {
      bar.style.setProperty("--v", p[label]);
      share.textContent = `${(100 * p[label]).toFixed(1)}%`;
      row.className = label === best ? "first" : "";
    });
    $(".says").dataset.milliseconds = (performance.now() - begun).toFixed(1);
    return `${className(best)}, it says, in ${Math.ceil(performance.now() - begun)} ms.`;
  };

  // The easel: strokes on a large sheet, what is inked of it as large in the image as the digits that it learnt from.
  const easel = $(".easel"), scale = Math.max(1, Math.round(280 / width)), pen = { x: 5 * scale, y: 5 * scale, down: false };
  const sheet = make("canvas", { width: width * scale, height: height * scale }), small = make("canvas", { width, height });
  const ink = sheet.getContext("2d", { willReadFrequently: true }), little = small.getContext("2d", { willReadFrequently: true });
  const show = (values) => { image = values; paint(easel, image.subarray(0, pixels), width, (value) => value); return answer(); };
  const halt = () => { clearTimeout(moving); moving = 0; all(".answers [aria-pressed='true']").forEach((one) => { one.ariaPressed = "false"; }); $(".dream").textContent = "Dream"; };
  const wipe = () => { halt(); ink.fillStyle = "#000"; ink.fillRect(0, 0, sheet.width, sheet.height); };
  const read = () => {
    const { data } = ink.getImageData(0, 0, sheet.width, sheet.height);
    let [left, top, right, bottom] = [sheet.width, sheet.height, 0, 0];
    for (let k = 0; k < data.length; k += 16) if (data[k] > 60) {
      const x = (k / 4) % sheet.width, y = Math.floor(k / 4 / sheet.width);
      left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
    }
    if (right <= left && bottom <= top) return show(new Float32Array(channels * pixels));
    const by = (0.79 * Math.min(width, height)) / Math.max(right - left, bottom - top, 2.5 * scale);
    little.fillStyle = "#000"; little.fillRect(0, 0, width, height);
    little.imageSmoothingQuality = "high";
    little.drawImage(sheet, width / 2 - (by * (left + right)) / 2, height / 2 - (by * (top + bottom)) / 2, by * sheet.width, by * sheet.height);
    const gray = little.getImageData(0, 0, width, height).data;
    image = Float32Array.from({ length: channels * pixels }, (_, k) => gray[4 * (k % pixels)] / 255);
    easel.width = sheet.width; easel.height = sheet.height;
    easel.getContext("2d").drawImage(sheet, 0, 0);
    $(".says").textContent = answer();
  };
  let drawn = false; // whether what the easel shows is the sheet
  const stroke = (from, to) => {
    if (!drawn) { wipe(); drawn = true; }
    halt();
    Object.assign(ink, { strokeStyle: "#fff", lineWidth: 2.6 * scale, lineCap: "round" });
    ink.beginPath(); ink.moveTo(from.x, from.y); ink.lineTo(to.x + 0.01, to.y); ink.stroke();
    read();
  };
  const place = (event) => { const box = easel.getBoundingClientRect(); return { x: ((event.clientX - box.left) * sheet.width) / box.width, y: ((event.clientY - box.top) * sheet.height) / box.height }; };
  easel.addEventListener("pointerdown", (event) => { easel.setPointerCapture(event.pointerId); Object.assign(pen, place(event), { down: true }); stroke(pen, pen); event.preventDefault(); easel.focus({ preventScroll: true }); });
  easel.addEventListener("pointermove", (event) => { if (pen.down && event.buttons) { const next = place(event); stroke(pen, next); Object.assign(pen, next); } });
  for (const end of ["pointerup", "pointercancel"]) easel.addEventListener(end, () => { pen.down = false; });
  const clear = () => { wipe(); drawn = true; read(); $(".says").textContent = "Draw a digit here, or press a map."; };
  easel.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] }[event.key];
    if (event.key === "Delete" || event.key === "Backspace") clear();
    else if (!to) return;
    else {
      const next = { x: Math.min(sheet.width, Math.max(0, pen.x + to[0] * scale)), y: Math.min(sheet.height, Math.max(0, pen.y + to[1] * scale)) };
      if (event.key === " ") pen.down = !pen.down;
      if (pen.down) stroke(pen, next);
      Object.assign(pen, next);
    }
    event.preventDefault();
  });
  $(".clear").addEventListener("click", clear);

  // What moves by itself: a pattern that grows, a dream. `steps` gives {image, says} of each.
  const play = (steps, wait) => {
    drawn = false;
    easel.scrollIntoView({ block: "nearest" });
    const next = () => {
      const { value, done } = steps.next();
      if (done) return halt();
      if (!still || value.last) { const says = show(value.image); $(".says").textContent = `${value.says} ${says}`; }
      moving = setTimeout(next, still ? 0 : wait);
    };
    next();
  };
  let turn = 0;
  const grow = (index, unit, button, what) => {
    const again = moving && button.ariaPressed === "true";
    halt();
    if (again) return;
    button.ariaPressed = "true";
    const net = nets[asked], start = new Float32Array(engine.bytes(brought.starts[turn++ % brought.starts.length]).buffer);
    play((function* () {
      for (const { step, value, image: x } of engine.ascend(net, index, unit, start)) yield { image: engine.toPixels(net, x), says: `${what}: activation ${value.toFixed(2)} after ${step} step${step === 1 ? "" : "s"}.`, last: step === 30 };
    })(), 90);
  };
  const wanted = $(".dream ~ label select");
  wanted.append(...bars.map((_, label) => make("option", { value: -1 - label, textContent: className(label) })),
    ...rows.slice(0, -1).map(({ index }) => make("option", { value: index, textContent: `all of ${nets.page.layers[index].name}` })).reverse());
  $(".dream").addEventListener("click", () => {
    const again = $(".dream").textContent === "Stop";
    halt();
    if (again) return;
    $(".dream").textContent = "Stop";
    const net = nets[asked], to = Number(wanted.value), label = to < 0 ? -1 - to : null;
    play((function* () {
      for (const { step, pixels: seen } of engine.dream(net, image, to < 0 ? net.layers.length - 1 : to, label)) yield { image: seen, says: `Dreamt for ${step} step${step === 1 ? "" : "s"}.`, last: step === 20 };
    })(), 90);
  });

  // Training, in a worker, so that the page stays awake.
  const [train, dev, test] = unpackDigits(brought, engine.bytes), fits = width === 28 && height === 28 && channels === 1;
  let number = 0, worker = null;
  const another = () => { wipe(); drawn = false; const n = (number++ * 7) % test.labels.length; $(".says").textContent = `A ${test.labels[n]}. ${show(test.images.slice(n * pixels, (n + 1) * pixels))}`; };
  $(".another").addEventListener("click", another);
  $(".follow").addEventListener("click", () => { // by the lesson of this page, for the page's network; what is drawn is taken for what it reads
    halt();
    const p = engine.softmax(engine.forward(nets.page, image).outputs.at(-1), 1);
    document.dispatchEvent(new CustomEvent("follow", { detail: { image, label: p.indexOf(Math.max(...p)) } }));
  });
  const wish = (name) => $(`.train [name=${name}]`), rate = () => Number((10 ** wish("rate").value).toPrecision(1));
  wish("rate").addEventListener("input", () => { $(".train output").textContent = rate(); });
  const curve = (path, values, y) => { path.setAttribute("d", values.length ? `M${values.map((value, k) => `${((300 * k) / (values.length - 1 || 1)).toFixed(1)},${y(value).toFixed(1)}`).join("L")}` : ""); };
  const ask = (who) => { asked = who; all(".asked button").forEach((one) => { one.ariaPressed = String(one.value === who); }); $(".says").textContent = answer(); };
  all(".asked button").forEach((one) => one.addEventListener("click", () => { halt(); ask(one.value); }));
  const stop = () => { worker?.terminate(); worker = null; $(".start").textContent = "Train"; };
  $(".start").addEventListener("click", () => {
    if (worker) { stop(); $(".progress").append(" Stopped."); return; }
    const layers = table.layers.map((layer) => ({ ...layer, ...(layer.activation && !wish("relu").checked ? { activation: "linear" } : {}) }));
    layers[layers.length - 1] = { ...layers.at(-1), units: 10 };
    const recipe = { ...table, layers, input_shape: [1, 28, 28], scaling: { kind: wish("standardized").checked ? "standardized" : "unit" } };
    const text = `const engine = (${pellucidEngine})(); ${trainNet}; onmessage = ({ data }) => trainNet(engine, data, postMessage);`;
    const losses = [], average = [], accuracies = [], steps = [], first = recipe.layers.findIndex((layer) => layer.kind === "conv");
    worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    $(".start").textContent = "Stop";
    worker.onmessage = ({ data: told }) => {
      for (const loss of told.losses) { losses.push(loss); average.push(0.9 * (average.at(-1) ?? loss) + 0.1 * loss); }
      if (told.accuracy !== undefined) { accuracies.push(told.accuracy); steps.push(told.step); }
      const level = (loss) => 30 * (1 - Math.log10(Math.min(10, Math.max(0.001, loss))));
      all(".curve path:not(.mark)").forEach((path, k) => curve(path, [losses, average, accuracies][k], k < 2 ? level : (value) => 120 * (1 - value)));
      const net = engine.open({ ...recipe, parameters: told.weights }), filters = net.layers[first];
      const best = `${(100 * accuracies.at(-1)).toFixed(1)}%`, size = filters.geometry.window, each = size[0] * size[1], top = Math.max(...filters.weight.map(Math.abs)) || 1;
      $(".filters .maps").replaceChildren(...Array.from({ length: filters.weight.length / each }, (_, k) => { const tile = pixelated(size[1], size[0], 50); paint(tile, filters.weight.subarray(k * each, (k + 1) * each), size[1], (value) => 0.5 + value / (2 * top)); return tile; }));
      $(".progress").replaceChildren(`Step ${told.step} of ${told.steps}: `, make("b", { textContent: best }), ` of the digits kept aside, loss ${(average.at(-1) ?? NaN).toFixed(3)}.${told.broken ? " It broke: the numbers grew beyond all bounds. Try a smaller learning rate." : ""}`);
      if (fits && !told.broken) { nets.own = net; $(".asked").hidden = false; if (told.step === 0) ask("own"); else if (asked === "own" && !moving) answer(); }
      if (told.broken || told.step === told.steps) { stop(); if (asked === "own" && !moving) $(".says").textContent = answer(); }
    };
    worker.postMessage({ table: { ...recipe, parameters: null }, train, dev, seed: Number(wish("seed").value), rate: rate(), epochs: 6 });
  });
  const seeing = table.layers.findIndex((layer) => layer.kind === "conv"); // whose filters are shown; without any nothing is trained here
  $(".first").textContent = table.names[seeing] ?? "";
  all(seeing < 0 ? ".play" : ".play, .train").forEach((part) => { part.hidden = false; });
  $(".another").hidden = !fits;
  if (fits) another(); else clear();
})();

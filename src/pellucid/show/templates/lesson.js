"use strict";
/* Lesson: a place of a map -> the numbers that it is made of, forwards and back, and how one weight moves the loss.
engine.js: an image -> every layer's output and gradient;  here: a place -> factors, products, their sum, and words
Each number on the page has in `data-is` what it is, as "w conv2 1 0 2 2 * y conv1 0 9 14", and in `data-power` the power
of ten that it was multiplied by: tests recompute it in Python. For convolutions of stride 1, pools of 2 x 2 side by side, ReLU or none; others are refused in a sentence.
The image is that of the page, or any that the event "follow" brings: {image, label}. */
(() => {
  const root = document.querySelector(".lesson");
  const $ = (selector) => root.querySelector(selector);
  const all = (selector, inside = root) => [...inside.querySelectorAll(selector)];
  const data = JSON.parse(document.querySelector("#lesson-data").textContent);
  const engine = pellucidEngine(Float64Array), table = JSON.parse(document.querySelector("#network").textContent);
  const refuse = (why) => {
    const words = root.parentElement.querySelector(".refused");
    for (const one of all(".refused ~ *", root.parentElement)) one.hidden = true;
    [words.hidden, words.textContent] = [false, why];
  };
  let net;
  try { net = engine.open(table); } catch (error) { return refuse(error.message); }
  const same = (given, wanted) => [given ?? wanted].flat().every((one) => one === wanted);
  const follows = { flatten: () => true, dense: ({ activation }) => ["relu", "linear"].includes(activation),
    conv: ({ activation, stride, dilation }) => same(stride, 1) && same(dilation, 1) && ["relu", "linear"].includes(activation),
    pool: ({ method, size, stride }) => (method ?? "max") === "max" && same(size, 2) && same(stride, 2) };
  const odd = net.layers.find((layer) => !follows[layer.kind]?.(layer));
  if (odd || net.scaling.kind !== "standardized") return refuse(`The lesson follows standardized images through convolutions of stride 1, pools of 2 × 2 and dense layers, with a rectifier or none; ${odd ? `${odd.name} is of another kind` : "this network scales its images otherwise"}.`);
  const INK = [10, 13, 18], IVORY = [250, 246, 236], PLUS = [132, 203, 198], MINUS = [240, 140, 123], MOST = 8; // terms of a sum that are listed
  const el = (tag, properties = {}, ...children) => {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("--")) one.style.setProperty(name, value);
      else if (name in one && name !== "list") one[name] = value;
      else one.setAttribute(name, value);
    }
    one.append(...children.filter((child) => child !== null));
    return one;
  };

  // Numbers ------------------------------------------------------------------------------------------------------------
  const flat = (shape, place) => place.reduce((sum, one, axis) => sum * shape[axis] + one, 0);
  const placed = (shape, index) => shape.reduceRight(([rest, ...place], size) => [Math.floor(rest / size), rest % size, ...place], [index]).slice(1);
  const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const top = (values) => values.reduce((best, value, index) => (value > values[best] ? index : best), 0);
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  const signed = (text) => text.replace("-", "−");
  /* How numbers up to `most` are written: three digits of the largest, small ones times a power of ten. */
  const style = (most, power = most > 0 && most < 0.1 ? 3 * Math.ceil(-Math.log10(most) / 3) : 0) =>
    ({ power, digits: Math.max(0, Math.min(3, 2 - Math.floor(Math.log10((most || 1) * 10 ** power)))) });
  const num = (is, value, { power, digits } = { power: 0, digits: 4 }) => {
    const text = value === 0 ? "0" : (value * 10 ** power).toFixed(digits).replace(/^-(?=[0.]*$)/, "");
    return el("span", { className: "num", "data-is": is, "data-power": power, textContent: signed(text) });
  };
  const fine = (most) => ({ power: 0, digits: Math.max(4, style(most).power + 3) });
  const times = (power) => (power ? ` (10⁻${[...String(power)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")})` : "");

  // The pass: stops of the way, each with its output y, and the gradients dy of y and dz of what was before the ReLU ---
  let stops, told, mean, deviation, image;
  const follow = (given, label) => {
    image = given;
    const trace = engine.forward(net, image), found = engine.backward(net, trace, [label]);
    mean = total(image) / image.length;
    deviation = Math.max(Math.sqrt(total(Float64Array.from(image, (value) => (value - mean) ** 2)) / image.length), 1 / Math.sqrt(image.length));
    told = { ...found, label };
    stops = [{ name: "digit", kind: "input", shape: net.input, y: trace.x, dy: found.input, dz: found.input }];
    net.layers.forEach((layer, index) => {
      const y = trace.outputs[index], dy = found.outputs[index], relu = layer.activation === "relu";
      if (layer.kind !== "flatten") stops.push({ ...layer, y, dy, relu, dz: relu ? dy.map((d, k) => (y[k] > 0 ? d : 0)) : dy });
    });
    stops.push({ name: "loss", kind: "loss", shape: [], y: [found.loss], dy: [1], dz: [1] });
    stops.forEach((stop, index) => { stop.before = stops[index - 1]; stop.after = stops[index + 1]; });
    let place = [label]; // of the truth's logit, and from there down to a pixel, always to what counted most
    for (const stop of [...stops].reverse()) {
      stop.place = stop.kind === "loss" ? [] : place;
      if (stop.kind === "pool") place = winner(stop, place);
      if (stop.kind === "conv") place = strongest(windows(stop, place, false).flat()).place;
      if (stop.kind === "dense") place = strongest(row(stop, place[0])).place;
    }
  };
  const hasMaps = (stop) => stop.shape.length === 3;
  const value = (stop, part, place) => stop[part][flat(stop.shape, place)];
  const is = (part, stop, place) => [part, stop.name, ...place].join(" ");

  const within = (stop, place) => place.every((one, axis) => one >= 0 && one < stop.shape[axis]);
  /* A product of a number of another stop and a weight: {from, place, part, a, w, weight: place of w, layer of w}. */
  const term = (layer, weight, from, place, part) => {
    const inside = within(from, place), a = inside ? value(from, part, place) : 0, w = layer.weight[flat(layer.parameters.weight, weight)];
    return { layer, weight, from, place, part, inside, a, w, product: a * w };
  };
  const product = (one) => `${is("w", one.layer, one.weight)} * ${is(one.part, one.from, one.place)}`;
  /* The window of a place in one map before it, or (back) behind it, row by row. */
  const taps = (layer, place, part, back) => {
    const { window: [kh, kw], border: [rows, columns] } = layer.geometry, [own, p, q] = place;
    return Array.from({ length: kh * kw }, (_, index) => {
      const [i, j] = back ? [kh - 1 - Math.floor(index / kw), kw - 1 - (index % kw)] : [Math.floor(index / kw), index % kw];
      return back ? term(layer, [part, own, i, j], layer, [part, p - i + rows, q - j + columns], "dz")
        : term(layer, [own, part, i, j], layer.before, [part, p + i - rows, q + j - columns], "y");
    });
  };
  const windows = (layer, place, back) => Array.from({ length: (back ? layer : layer.before).shape[0] }, (_, part) => taps(layer, place, part, back));
  const row = (layer, unit) => Array.from(layer.before.y, (_, k) => term(layer, [unit, k], layer.before, placed(layer.before.shape, k), "y"));
  const column = (layer, k) => Array.from(layer.y, (_, unit) => term(layer, [unit, k], layer, [unit], "dz"));
  const pooled = (pool, [map, r, s]) => [0, 1, 2, 3].map((tap) => [map, 2 * r + (tap >> 1), 2 * s + (tap % 2)]);
  const winner = (pool, place) => pooled(pool, place).reduce((best, one) => (value(pool.before, "y", one) > value(pool.before, "y", best) ? one : best));
  const strongest = (list) => list.filter((one) => one.inside).reduce((best, one) => (Math.abs(one.product) > Math.abs(best.product) ? one : best));
  // What is shown: {stop, place, back, part (the map before or behind that is worked out), weight} ---------------------
  let now = null, pinned = null; // pinned: what is shown again when the pointer leaves the map
  const past = [];
  const called = (stop, place) => {
    if (stop.kind === "loss") return "loss";
    if (stop.kind === "input") return `digit, row ${place[1]}, column ${place[2]}`;
    if (stop.name === "logits") return `logit of ${data.classes[place[0]]}`;
    return stop.shape.length === 1 ? `${stop.name}, unit ${place[0]}` : `${stop.name}, map ${place[0]}, row ${place[1]}, column ${place[2]}`;
  };
  const go = (change, noted = true) => {
    if (pinned && noted) past.push(pinned);
    pinned = { ...pinned, part: null, weight: null, ...change };
    if (!pinned.weight) pinned.stop.place = pinned.place;
    show(pinned);
  };
  const link = (target, text) => el("button", { type: "button", className: "go", onclick: () => go(target) }, text);

  // Pictures -----------------------------------------------------------------------------------------------------------
  const mix = (to, share) => INK.map((one, index) => Math.round(one + share * (to[index] - one)));
  /* Numbers as a picture: answers up to the largest `among` all, from the least where that is below zero; else signed. */
  const paint = (values, [height, width], answers, among = values) => {
    const canvas = el("canvas", { width, height }), pixels = new ImageData(width, height), most = largest(among) || 1, least = Math.min(0, ...among);
    values.forEach((one, index) => pixels.data.set([...(answers ? mix(IVORY, (one - least) / (most - least)) : mix(one < 0 ? MINUS : PLUS, Math.abs(one) / most)), 255], 4 * index));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  };
  /* A stop's picture: a map of it; its units in rows; and [map, row, column] there of a place, and back. */
  const grid = (stop) => {
    if (hasMaps(stop)) return stop.shape.slice(1);
    const [units = 1] = stop.shape, columns = units > 12 ? [16, 15, 14, 12, 10, 8].find((one) => units % one === 0) || units : units;
    return [units / columns, columns];
  };
  const spotOf = (stop, place) => (hasMaps(stop) ? place : [0, ...placed(grid(stop), place[0] || 0)]);
  const placeOf = (stop, [map, ...at]) => (hasMaps(stop) ? [map, ...at] : stop.shape.length ? [flat(grid(stop), at)] : []);
  const mapOf = (stop, part, map) => { const [height, width] = grid(stop), size = height * width; return stop[part].slice(map * size, (map + 1) * size); };
  const picture = (stop, part, map) => paint(mapOf(stop, part, map), grid(stop), part === "y", stop[part]);
  /* A small map; window: the rectangle [row, column, rows, columns] on it. */
  const thumb = (stop, part, map, pressed, click, window = null, note = null) => {
    const [height, width] = grid(stop);
    const mark = window && el("i", { className: "window", "--y": window[0] / height, "--x": window[1] / width, "--h": window[2] / height, "--w": window[3] / width }), label = `${stop.name}, map ${map}`;
    return el("button", { type: "button", className: "thumb", "aria-pressed": pressed, "aria-label": note ? `${label}: ${note.textContent}` : label, onclick: click },
      el("span", { className: "plate" }, picture(stop, part, map), mark), note || String(map));
  };

  // Sums ---------------------------------------------------------------------------------------------------------------
  /* Numbers in the shape of a window: cells = [{is, value, target, label}]. */
  const cells = (title, list, columns, most) => {
    const scale = style(most);
    const group = el("div", { className: "cells", role: "group", "aria-label": title, "--n": columns }, ...list.map((one) => {
      const shown = num(one.is, one.value, scale), share = Math.min(1, Math.abs(one.value) / (most || 1));
      const properties = { className: `cell${one.value < 0 ? " minus" : ""}${one.mark ? " mark" : ""}${one.outside ? " outside" : ""}`, "--v": share.toFixed(3) };
      if (!one.target && !one.click) return el("span", properties, shown);
      return el("button", { ...properties, type: "button", tabIndex: -1, "aria-label": `${one.label}: ${shown.textContent}`, onclick: one.click || (() => go(one.target)) }, shown);
    }));
    const buttons = all("button", group); // one is reached by Tab, the others by arrows
    if (buttons.length) buttons[Math.floor(buttons.length / 2)].tabIndex = 0;
    group.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key], here = document.activeElement;
      const next = by && group.children[[...group.children].indexOf(here) + by];
      if (by) event.preventDefault();
      if (next && next.tagName === "BUTTON") { [here.tabIndex, next.tabIndex] = [-1, 0]; next.focus(); }
    });
    return el("figure", {}, el("figcaption", {}, title + times(scale.power)), group);
  };
  const answersOf = (stop) => (stop.kind === "input" ? "pixels, standardized" : `answers of ${stop.name}`);
  const factors = (list, columns) => {
    const [{ part, from, layer }] = list, back = part === "dz";
    const inputs = list.map((one) => ({ is: is(part, from, one.place), value: one.a, outside: !one.inside, label: called(from, one.place),
      target: one.inside && { stop: from, place: one.place, back } }));
    const weights = list.map((one) => ({ is: is("w", layer, one.weight), value: one.w, label: `Weight ${one.weight.join(", ")}`, target: weighing(layer, one.weight) }));
    const products = list.map((one) => ({ is: product(one), value: one.product, outside: !one.inside }));
    return el("div", { className: "factors" }, cells(back ? `gradients of ${from.name}` : answersOf(from), inputs, columns, largest(from[part])), el("b", {}, "×"),
      cells(back ? "weights, turned by half a circle" : "weights", weights, columns, largest(layer.weight)), el("b", {}, "="),
      cells("products", products, columns, largest(products.map((one) => one.value))));
  };
  const weighing = (layer, weight) => ({ stop: layer, place: layer.place, weight, back: true });
  /* The four numbers that a place of a pool chooses from; extra: of each what its cell has besides. */
  const fours = (pool, place, extra) => cells(answersOf(pool.before), pooled(pool, place).map((one) =>
    ({ is: is("y", pool.before, one), value: value(pool.before, "y", one), label: called(pool.before, one), ...extra(one) })), 2, largest(pool.before.y));
  /* A sum on paper: rows of [words, number], "-" for a line. */
  const ledger = (...rows) => el("dl", { className: "ledger" }, ...rows.filter((one) => one).map(([words, number, kind = ""]) =>
    el("div", { className: kind }, el("dt", {}, words), el("dd", {}, number))));
  /* The largest terms of a long sum, and how much the others make together. */
  const listing = (list, sum, { of, name }) => {
    const order = list.map((_, index) => index).sort((one, other) => Math.abs(list[other].product) - Math.abs(list[one].product)).slice(0, MOST);
    const shown = order.map((index) => list[index]), most = Math.abs(shown[0].product), [{ part, from }] = list, other = list.length - order.length;
    const by = ["a", "w", "product"].map((factor) => style(largest(shown.map((one) => one[factor]))));
    const heads = [from.name, part === "y" ? "answer" : "gradient", of, "product"].map((words, index) => el("th", { scope: "col", className: index ? "right" : "" }, words + (index ? times(by[index - 1].power) : "")));
    const body = shown.map((one) => el("tr", { "--v": (Math.abs(one.product) / (most || 1)).toFixed(3), className: one.product < 0 ? "minus" : "" },
      el("th", { scope: "row" }, link({ stop: from, place: one.place, back: part === "dz" }, name(one))),
      el("td", { className: "right" }, num(is(part, from, one.place), one.a, by[0])),
      el("td", { className: "right" }, one.second || link(weighing(one.layer, one.weight), num(is("w", one.layer, one.weight), one.w, by[1]))),
      el("td", { className: "right" }, num(one.second ? one.is : product(one), one.product, by[2]))));
    const rest = other > 0 && el("tr", {}, el("th", { scope: "row", colSpan: 3 }, `the other ${other} together`),
      el("td", { className: "right" }, num(`rest ${MOST} ${sum}`, total(list.map((one) => one.product)) - total(shown.map((one) => one.product)), by[2])));
    return el("table", { className: "terms" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...body, rest || ""));
  };

  // Workings: what is shown -> words, formulas, code and figures -------------------------------------------------------
  const thumbs = (layer, place, back, part) => {
    const side = back ? layer : layer.before, lists = windows(layer, place, back), sums = lists.map((list) => total(list.map((one) => one.product)));
    const best = part === null ? top(sums.map(Math.abs)) : part, scale = style(largest(sums)), [first] = lists[best], { window: [kh, kw] } = layer.geometry;
    const strip = el("div", { className: "thumbs", role: "group", "aria-label": `Products by map of ${side.name}${times(scale.power)}` }, ...lists.map((_, map) =>
      thumb(side, back ? "dz" : "y", map, map === best, () => show(Object.assign(now, { part: map })), [first.place[1], first.place[2], kh, kw],
        num(`${back ? "back" : "part"} ${layer.name} ${place.join(" ")} ${map}`, sums[map], scale))));
    const several = lists.length > 1 && el("p", { className: "label" }, `Its window on every map of ${side.name}, and what the products there add up to${times(scale.power)}. Choose one to see them.`);
    return { figures: [several || "", lists.length > 1 ? strip : "", factors(lists[best], kw)], sum: total(sums), lists };
  };
  const rectified = (stop, place, digits) => stop.relu && [`the rectifier: it ${value(stop, "y", place) > 0 ? "answers, so the gradient passes" : "is silent, so nothing passes"}`,
    num(is("dz", stop, place), value(stop, "dz", place), digits), "sum"];
  const forwards = {
    input({ stop, place }) {
      const k = flat(stop.shape, place), at = place.join(" ");
      return {
        say: "The ink that the image has here, from 0 to 1, less the mean of all its pixels, in units of their deviation: this is what the first layer is given.",
        formulas: ["input"], code: ["standardize_images"],
        figures: [ledger(["pixel", num(`pixel ${at}`, image[k])], ["mean of the image", num("mean", mean)], ["difference", num(`difference ${at}`, image[k] - mean), "line"],
          ["divided by the deviation", num("deviation", deviation)], ["what the network is given", num(is("y", stop, place), stop.y[k]), "sum"])],
      };
    },
    conv({ stop, place, part }) {
      const { figures, sum, lists } = thumbs(stop, place, false, part), [kh, kw] = stop.geometry.window, beyond = lists[0].filter((one) => !one.inside).length;
      const bias = stop.bias[place[0]], about = lists.length > 1 ? `each of the ${lists.length} maps of ${stop.before.name}` : `the ${stop.before.name}`;
      return {
        say: `Map ${place[0]} lays ${kh} × ${kw} weights over ${about}, here in the middle, multiplies number by number, and adds it all up.${beyond ? " Beyond the edge there are zeros." : ""}`,
        formulas: ["conv"], code: ["convolve", "relu"],
        figures: [...figures, ledger([`all ${lists.flat().length} products`, num(`products ${stop.name} ${place.join(" ")}`, sum)], ["the bias", num(is("b", stop, [place[0]]), bias)],
          ["z", num(is("z", stop, place), sum + bias), "line"], ["the rectifier: y = max(z, 0)", num(is("y", stop, place), value(stop, "y", place)), "sum"])],
      };
    },
    pool({ stop, place }) {
      const won = winner(stop, place).join();
      return {
        say: "Of these four the largest goes on. The other three are forgotten, and with them where exactly it stood.",
        formulas: ["pool"], code: ["max_pool"],
        figures: [el("div", { className: "factors" }, thumb(stop.before, "y", place[0], false, () => go({ stop: stop.before, place: winner(stop, place) }), [2 * place[1], 2 * place[2], 2, 2]),
          fours(stop, place, (one) => ({ mark: one.join() === won, target: { stop: stop.before, place: one, back: false } }))),
        ledger(["what goes on", num(is("y", stop, place), value(stop, "y", place)), "sum"])],
      };
    },
    dense({ stop, place }) {
      const list = row(stop, place[0]), sum = total(list.map((one) => one.product)), bias = stop.bias[place[0]], [unit] = place;
      const short = (one) => (one.place.length === 1 ? `unit ${one.place[0]}` : `map ${one.place[0]}: ${one.place[1]}, ${one.place[2]}`);
      return {
        say: `${stop.relu ? "This unit" : `The logit of ${data.classes[unit]}`} weighs all ${list.length} number${list.length === 1 ? "" : "s"} of ${stop.before.name}. These ${MOST} count most.${stop.relu ? "" : " Nothing is rectified: a logit may be below zero."}`,
        formulas: [stop.relu ? "dense" : "logits"], code: ["dense_forward"],
        figures: [listing(list, `z ${stop.name} ${unit}`, { of: "weight", name: short }), ledger([`all ${list.length} products`, num(`products ${stop.name} ${unit}`, sum)], ["the bias", num(is("b", stop, place), bias)],
          ["z", num(is("z", stop, place), sum + bias), stop.relu ? "line" : "sum"], stop.relu && ["the rectifier: y = max(z, 0)", num(is("y", stop, place), value(stop, "y", place)), "sum"])],
      };
    },
    loss({ stop }) {
      const z = stop.before.y, m = z[top(z)], powers = Array.from(z, (one) => Math.exp(one - m));
      return {
        say: "The logits become probabilities: each e to the power of it, as a share of all of these. (The largest, m, is taken away first, so that nothing overflows.) The loss is minus the logarithm of what the truth was given: 0 where it is sure.",
        formulas: ["loss"], code: ["softmax", "cross_entropy"],
        figures: [outcome([["logit z", (k) => num(`z logits ${k}`, z[k], { power: 0, digits: 2 })], ["e to the z − m", (k) => num(`exp ${k}`, powers[k])], ["p", (k) => num(`p ${k}`, told.probabilities[k])]]),
          ledger(["the largest logit, m", num("m", m)], ["all powers together", num("powers", total(powers))], [`−log p of ${data.classes[told.label]}: the loss`, num("loss", told.loss), "sum"])],
      };
    },
  };
  const backwards = {
    conv({ stop, place, part }) {
      const layer = stop.after, { figures, sum } = thumbs(layer, place, true, part), digits = fine(largest(stop.dy));
      return {
        say: `Which numbers of ${layer.name} saw this one? All in the window around it, each through the weight that it saw it by. So each sends its gradient back by the same weight.`,
        formulas: ["conv-back", stop.relu && "relu-back"], code: ["convolve_input_gradient", stop.relu && "relu_gradient"],
        figures: [...figures, ledger(["all products: how the loss changes with this number", num(is("dy", stop, place), sum, digits), stop.relu ? "line" : "sum"], rectified(stop, place, digits))],
      };
    },
    pool({ stop, place }) {
      if (!within(stop.after, [place[0], place[1] >> 1, place[2] >> 1])) return {
        say: "No window of the pool reaches this far, so nothing of it goes on, and its gradient is 0.", formulas: ["pool-back"], code: ["max_pool_gradient"],
        figures: [ledger(["how the loss changes with this number", num(is("dy", stop, place), value(stop, "dy", place)), "sum"])],
      };
      const pool = stop.after, [map, r, s] = place, up = [map, r >> 1, s >> 1], won = winner(pool, up), wins = won.join() === place.join(), digits = fine(largest(stop.dy));
      return {
        say: wins ? "It was the largest of its four, so all of the pool’s gradient is its own." : "It was not the largest of its four: changing it a little changes nothing, and its gradient is 0.",
        formulas: ["pool-back", "relu-back"], code: ["max_pool_gradient", "relu_gradient"],
        figures: [fours(pool, up, (one) => ({ mark: one.join() === won.join(), target: { stop, place: one, back: true } })), ledger([link({ stop: pool, place: up, back: true }, `the gradient of ${called(pool, up)}`), num(is("dy", pool, up), value(pool, "dy", up), digits)],
          [wins ? "it passes" : "it passes elsewhere", num(is("dy", stop, place), value(stop, "dy", place), digits), "line"], rectified(stop, place, digits))],
      };
    },
    dense({ stop, place }) {
      const layer = stop.after, k = flat(stop.shape, place), list = column(layer, k), digits = fine(largest(stop.dy));
      return {
        say: `All ${list.length} ${layer.relu ? `units of ${layer.name}` : "logits"} saw this number. Each sends its gradient back by the weight that it saw it by.`,
        formulas: ["dense-back", stop.relu && "relu-back"], code: ["dense_gradients", stop.relu && "relu_gradient"],
        figures: [listing(list, `dy ${stop.name} ${place.join(" ")}`, { of: "weight", name: (one) => (layer.relu ? `unit ${one.place[0]}` : `logit of ${data.classes[one.place[0]]}`) }),
          ledger([`all ${list.length} products`, num(is("dy", stop, place), value(stop, "dy", place), digits), stop.relu ? "line" : "sum"], rectified(stop, place, digits))],
      };
    },
    loss({ stop, place }) {
      const own = place[0], p = told.probabilities;
      const table = [["p", (k) => num(`p ${k}`, p[k])], ["truth t", (k) => num(`truth ${k}`, Number(k === told.label), { power: 0, digits: 0 })], ["p − t", (k) => num(`dy logits ${k}`, stops.at(-2).dy[k])]];
      return {
        say: stop.kind === "loss" ? "Where would a little more of each logit move the loss? By p − t: what the network says, less what is true. This is all the error there is. Everything further back is a share of it."
          : `A little more of this logit would ${own === told.label ? "lower" : "raise"} the loss: ${own === told.label ? "it is the truth, and p falls short of 1 by this much" : "it is not the truth, and p is too much by all of it"}.`,
        formulas: ["loss-back"], code: ["cross_entropy"],
        figures: stop.kind === "loss" ? [outcome(table)] : [ledger(["p", num(`p ${own}`, p[own])], ["truth t", num(`truth ${own}`, Number(own === told.label), { power: 0, digits: 0 })],
          ["p − t", num(is("dy", stop, place), stop.dy[own]), "sum"])],
      };
    },
  };
  const outcome = (columns) => el("table", { className: "terms outcome" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "class"), ...columns.map(([words]) => el("th", { scope: "col", className: "right" }, words)))),
    el("tbody", {}, ...data.classes.map((name, k) => el("tr", { className: k === told.label ? "truth" : "", "--v": told.probabilities[k].toFixed(3) },
      el("th", { scope: "row" }, link({ stop: stops.at(-2), place: [k], back: now.back }, name)), ...columns.map(([, cell]) => el("td", { className: "right" }, cell(k)))))));

  // One weight: its gradient as a sum over all places where it was used, and a nudge -----------------------------------
  const weightTerms = (layer, [o, c, i, j]) => {
    const [height, width] = layer.kind === "conv" ? grid(layer) : [1, 1], { border: [rows, columns] } = layer.geometry, { before } = layer;
    return Array.from({ length: height * width }, (_, k) => {
      const [r, s] = placed([height, width], k), [place, at] = layer.kind === "conv" ? [[o, r, s], [c, r + i - rows, s + j - columns]] : [[o], placed(before.shape, c)];
      const a = value(layer, "dz", place), w = within(before, at) ? value(before, "y", at) : 0;
      return { from: layer, part: "dz", place, a, w, at, product: a * w, is: `${is("dz", layer, place)} * ${is("y", before, at)}` };
    });
  };
  const weightWork = ({ stop, weight }) => {
    const conv = stop.kind === "conv", digits = { power: 0, digits: 6 }, names = `${stop.name} ${weight.join(" ")}`;
    const list = weightTerms(stop, weight), most = largest(list.map((one) => one.w)), gradient = total(list.map((one) => one.product)), own = stop.weight[flat(stop.parameters.weight, weight)], used = list.filter((one) => one.product !== 0).length;
    list.forEach((one) => { one.second = num(is("y", stop.before, one.at), one.w, style(most)); });
    const map = (values, answers, among, words) => el("figure", {}, paint(values, grid(stop), answers, among), el("figcaption", {}, words));
    const maps = conv && el("div", { className: "factors maps-of-weight", role: "img", "aria-label": "Place by place: gradients, times what the weight saw, is the products" },
      map(list.map((one) => one.a), false, stop.dz, `gradients of ${stop.name}, map ${weight[0]}`), el("b", {}, "×"),
      map(list.map((one) => one.w), true, stop.before.y, `what it saw of ${stop.before.name}${stop.before.kind === "input" ? "" : `, map ${weight[1]}`}`), el("b", {}, "="),
      map(list.map((one) => one.product), false, undefined, "products"));
    return {
      title: `${stop.name}, weight [${weight.join(", ")}]`,
      say: conv ? `This one weight was used at all ${list.length} places of map ${weight[0]}. A little more of it would change each of them by what it saw there, and each changes the loss by its gradient. So its own gradient is a sum over places: ${used} count, the others are silent.`
        : "This weight was used once. A little more of it changes its unit by the number that it weighs, and the unit changes the loss by its gradient.",
      formulas: [conv ? "conv-weight" : "dense-weight"], code: [conv ? "convolve_weight_gradient" : "dense_gradients"],
      figures: [maps || "", listing(list, `dw ${names}`, { of: conv ? "what it saw" : stop.before.name, name: (one) => (conv ? `${one.place[1]}, ${one.place[2]}` : called(stop, one.place)) }),
        ledger([conv ? "the sum: its gradient" : "its gradient", num(`dw ${names}`, gradient, digits), "sum"]), nudging(stop, weight, own, gradient)],
    };
  };
  /* Move the weight, run the whole network again, and see. */
  const nudging = (layer, weight, own, gradient) => {
    const at = flat(layer.parameters.weight, weight), names = `${layer.name} ${weight.join(" ")}`, result = el("div", { "aria-live": "polite" }), [six, seven] = [6, 7].map((digits) => ({ power: 0, digits }));
    const nudge = (h) => {
      layer.weight[at] = own + h;
      const after = engine.crossEntropy(engine.forward(net, image).outputs.at(-1), [told.label]).loss;
      layer.weight[at] = own;
      all("button", choice).forEach((one) => one.setAttribute("aria-pressed", String(Number(one.value) === h)));
      result.replaceChildren(ledger(["the weight", num(`w ${names}`, own)], ["the loss with it", num("loss", told.loss, seven)], [`the loss with ${signed(`${h > 0 ? "+" : ""}${h}`)}`, num(`nudged ${h} ${names}`, after, seven), "line"],
        ["measured: change of the loss, divided by the nudge", num(`measured ${h} ${names}`, (after - told.loss) / h, six)], ["foretold: its gradient", num(`dw ${names}`, gradient, six), "sum"]));
    };
    const choice = el("div", { className: "sort", role: "group", "aria-label": "Nudge the weight by" }, ...[-0.1, -0.01, -0.001, 0.001, 0.01, 0.1].map((h) =>
      el("button", { type: "button", value: h, "aria-pressed": "false", onclick: () => nudge(h) }, signed(`${h > 0 ? "+" : ""}${h}`))));
    nudge(0.001);
    return el("div", { className: "nudge" }, el("p", { className: "say" }, "Is that true? Move the weight by a little, run the whole network again, and see where the loss goes. The smaller the nudge, the nearer to what the sum foretold."), choice, result);
  };

  // The bench ----------------------------------------------------------------------------------------------------------
  const field = $(".field");
  const show = (shown) => {
    now = shown;
    const { stop, place, back, weight } = now, kinds = back ? backwards : forwards;
    const kind = back ? (stop.after || stop).kind : stop.kind, work = weight ? weightWork(now) : kinds[kind](now);
    const part = back && !weight ? "dy" : "y", result = stop.kind === "loss" ? ["loss", told.loss] : [is(part, stop, place), value(stop, part, place)];
    $(".working h3").textContent = work.title || called(stop, place);
    $(".say").replaceChildren(work.say);
    $(".figures").replaceChildren(...work.figures.filter((one) => one !== ""));
    for (const one of all("[data-for]")) one.hidden = !work.formulas.includes(one.dataset.for);
    for (const one of all("[data-code]")) one.hidden = !work.code.includes(one.dataset.code);
    const conv = [stop, stop.after].find((one) => one && one.kind === "conv" && (back && !weight ? one === stop.after : one === stop));
    for (const one of all(".border")) one.textContent = conv ? conv.geometry.border[0] : "";
    if (!weight) $(".working h3").append(" ", el("span", { className: "result" }, back && stop.kind !== "loss" ? `∂L/∂${stop.kind === "input" ? "x" : stop.name === "logits" ? "z" : "y"} = ` : "= ", num(...result, back ? fine(largest(stop.dy)) : undefined)));
    $(".desk").classList.toggle("whole", stop.kind === "loss");
    drawField(stop, place, back ? "dy" : "y");
    all(".chain button").forEach((one, index) => one.setAttribute("aria-current", stops[index] === stop ? "step" : "false"));
    all(".ways button").forEach((one) => one.setAttribute("aria-pressed", String((one.value === "back") === back)));
    $(".chain").classList.toggle("back", back);
    const next = onwards(), after = $(".turn .after");
    [after.hidden, after.textContent, $(".turn .before").disabled] = [!next, next && `${next.words} →`, !past.length];
  };
  const drawField = (stop, place, part) => {
    const [height, width] = grid(stop), [map, r, s] = spotOf(stop, place), count = hasMaps(stop) && stop.shape[0] > 1 ? stop.shape[0] : 0;
    $(".field canvas").replaceWith(picture(stop, part, map));
    for (const [name, one] of Object.entries({ "--rows": height, "--columns": width, "--y": r / height, "--x": s / width })) field.style.setProperty(name, one);
    field.setAttribute("aria-label", `${called(stop, place)}. Arrow keys move the point.`);
    if (pinned === now) $(".pointing .thumbs").replaceChildren(...Array.from({ length: count }, (_, one) => thumb(stop, part, one, one === map, () => go({ place: [one, r, s] }))));
  };
  /* The next stop of the guided way: to the loss, back to the first layer, and there one weight. */
  const onwards = () => {
    const { stop, back, weight } = now;
    if (weight) return null;
    if (!back) return stop.after ? { words: `on to ${stop.after.name}`, stop: stop.after, place: stop.after.place } : { words: "and now backwards", back: true };
    if (stops.indexOf(stop) > 1) return { words: `back to ${stop.before.name}`, stop: stop.before, place: stop.before.place };
    const layer = stops[1], best = stop === layer && strongest(windows(layer, layer.place, false).flat());
    return best ? { words: "and one weight", ...weighing(layer, best.weight) } : null;
  };
  /* The nearest place to a row and column of the picture, which may lie outside of it. */
  const nearest = (map, ...at) => placeOf(pinned.stop, [map, ...at.map((one, axis) => Math.min(grid(pinned.stop)[axis] - 1, Math.max(0, one)))]);
  const under = (event) => {
    const box = field.getBoundingClientRect(), [height, width] = grid(pinned.stop), [map] = spotOf(pinned.stop, pinned.place);
    return nearest(map, Math.floor((event.clientY - box.top) / box.height * height), Math.floor((event.clientX - box.left) / box.width * width));
  };
  const MOVES = { left: [0, -1], up: [-1, 0], down: [1, 0], right: [0, 1] };
  const move = (way) => {
    const { stop, place, back } = pinned, [map, r, s] = spotOf(stop, place);
    if (MOVES[way]) return go({ place: nearest(map, r + MOVES[way][0], s + MOVES[way][1]) }, false);
    const values = mapOf(stop, back ? "dy" : "y", map);
    return go({ place: placeOf(stop, [map, ...placed(grid(stop), top(back ? values.map(Math.abs) : values))]) });
  };
  field.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" || event.buttons) show({ ...pinned, weight: null, part: null, place: under(event) }); });
  field.addEventListener("pointerleave", () => { if (now !== pinned) show(pinned); });
  field.addEventListener("click", (event) => go({ place: under(event) }));
  field.addEventListener("keydown", (event) => {
    const way = event.key.replace("Arrow", "").toLowerCase(), turn = { PageUp: -1, PageDown: 1 }[event.key];
    if (!MOVES[way] && way !== "home" && !(turn && hasMaps(pinned.stop))) return;
    event.preventDefault();
    const [map, ...at] = pinned.place, [count] = pinned.stop.shape;
    if (turn) go({ place: [(map + turn + count) % count, ...at] });
    else move(way);
  });
  all(".moves button").forEach((one) => one.addEventListener("click", () => move(one.value)));
  all(".ways button").forEach((one) => one.addEventListener("click", () => go({ back: one.value === "back" })));
  $(".turn .after").addEventListener("click", () => { const { words, ...target } = onwards(); go(target); });
  $(".turn .before").addEventListener("click", () => go(past.pop(), false));

  // Tasks: a question about this digit, an answer, a verdict ------------------------------------------------------------
  const random = engine.uniform(1), pick = (list) => list[Math.floor(random() * list.length)];
  const alive = (stop) => placed(stop.shape, pick([...stop.y.keys()].filter((k) => stop.y[k] > 0.3 * largest(stop.y))) ?? top(stop.y));
  const task = (title, build) => {
    const body = el("div", { className: "task" }), verdict = el("p", { role: "status" });
    const judge = (right, ...words) => { verdict.className = `verdict ${right ? "right" : "wrong"}`; verdict.replaceChildren(right ? "✓ " : "✗ ", ...words); };
    const ask = () => { verdict.replaceChildren(); body.replaceChildren(el("h4", {}, title), ...build(judge), verdict, el("button", { type: "button", onclick: ask }, "another one")); };
    ask();
    return body;
  };
  const tasks = [
    ["Which weight mattered most?", (judge) => {
      const layer = stops[1], place = alive(layer), list = taps(layer, place, Math.floor(random() * layer.before.shape[0]), false), best = strongest(list), columns = layer.geometry.window[1];
      const choose = (one) => () => judge(one === best, "It added ", num(product(one), one.product), one === best ? ", more than any other, for or against." : ": another one counted for more, for or against.");
      return [el("p", {}, `${called(layer, place)}: what its window sees, and its weights. Choose the weight whose product is the largest, whatever its sign.`), el("div", { className: "factors" },
        cells(answersOf(layer.before), list.map((one) => ({ is: is("y", one.from, one.place), value: one.a, outside: !one.inside })), columns, largest(layer.before.y)),
        cells("weights", list.map((one) => ({ is: is("w", layer, one.weight), value: one.w, label: `Weight ${one.weight.join(", ")}`, click: choose(one) })), columns, largest(layer.weight)))];
    }],
    ["What is this gradient?", (judge) => {
      const layer = stops.at(-2), [unit] = alive(layer.before), k = pick([...layer.y.keys()].sort((one, other) => told.probabilities[other] - told.probabilities[one]).slice(0, 2));
      const p = told.probabilities[k], answer = value(layer.before, "y", [unit]), truth = Number(k === told.label), gradient = layer.dy[k] * answer;
      const input = el("input", { inputMode: "decimal", autocomplete: "off", "aria-label": "The gradient" });
      const check = (event) => {
        event.preventDefault();
        const right = Math.abs(Number(input.value.replace(",", ".").replace("−", "-") || NaN) - gradient) <= Math.max(0.005, 0.02 * Math.abs(gradient));
        judge(right, ...(right ? ["(", num(`p ${k}`, p), ` − ${truth}) × `, num(is("y", layer.before, [unit]), answer, { power: 0, digits: 2 }), " = ", num(`dw ${layer.name} ${k} ${unit}`, gradient, { power: 0, digits: 3 })]
          : ["Not yet. First p − t of the logit; then times what the weight saw."]));
      };
      return [el("p", {}, `Unit ${unit} of ${layer.before.name} answers `, num(is("y", layer.before, [unit]), answer, { power: 0, digits: 2 }), `. The network gives the ${data.classes[k]} a p of `, num(`p ${k}`, p),
        `, and the digit is a ${data.classes[told.label]}. What is the gradient of the weight from this unit to the logit of ${data.classes[k]}?`), el("form", { onsubmit: check }, input, el("button", { type: "submit" }, "check"))];
    }],
    ["What does the pool pass on?", (judge) => {
      const pool = pick(stops.filter((one) => one.kind === "pool")), place = alive(pool), won = winner(pool, place).join(), from = pool.before;
      const choose = (one) => () => judge(one.join() === won, ...(one.join() === won ? ["It goes on, the others do not. Backwards it is the only one that hears: its gradient is ", num(is("dy", from, one), value(from, "dy", one), fine(largest(from.dy))), ", and that of the other three 0."]
        : ["The pool keeps one of four, and not this one."]));
      return [el("p", {}, `Four answers of ${from.name}, under ${called(pool, place)}. Choose what goes on.`), fours(pool, place, (one) => ({ click: choose(one) }))];
    }],
  ];
  const truth = $("[name=truth]");
  truth.append(...data.classes.map((name, value) => el("option", { value }, String(name))));
  const begin = (given, label) => {
    follow(Float64Array.from(given), label);
    truth.value = label;
    $(".chain").replaceChildren(...stops.map((stop) => el("li", {}, el("button", { type: "button", "aria-current": "false", onclick: () => go({ stop, place: stop.place }) }, stop.name))));
    past.length = 0;
    pinned = null;
    go({ stop: stops[1], place: stops[1].place, back: false });
    document.querySelector(".tasks").replaceChildren(...tasks.map((one) => task(...one)));
  };
  truth.addEventListener("change", () => { // the same place and way, under another truth
    const at = stops.indexOf(pinned.stop), { place, back } = pinned;
    begin(image, Number(truth.value));
    go({ stop: stops[at], place, back }, false);
  });
  document.addEventListener("follow", ({ detail }) => { begin(detail.image, detail.label); root.scrollIntoView({ block: "start" }); });
  begin(new Float32Array(engine.bytes(data.image).buffer), data.label);
  root.hidden = false;
})();

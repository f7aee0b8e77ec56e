"use strict";
(() => {
  const atlas = window.PELLUCID;
  const layers = atlas.layers;
  const classes = atlas.data && atlas.data.classes.length ? atlas.data.classes : null;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const main = $("#content");

  // Elements: words become text, never markup, so a name cannot be anything else.
  const h = (tag, given, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(given || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };
  const short = (value) => value === null || value === undefined ? "–"
    : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Math.abs(value) >= 9.995 ? value.toFixed(1)
    : value === 0 ? "0" : Math.abs(value) >= 0.0995 ? value.toFixed(2) : Math.abs(value) >= 0.0005 ? value.toPrecision(2) : value.toExponential(0);
  const percent = (share) => share > 0.9995 && share < 1 ? ">99.9%" : share > 0 && share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(share < 0.1 || share > 0.995 ? 1 : 0)}%`;
  const costs = (change) => change === 0 ? "0" : `${change < 0 ? "−" : "+"}${percent(Math.abs(change))}`; // of the accuracy
  const likely = (value) => value.toFixed(2).replace(/^(-?)0/, "$1").replace(/^1.00$/, "1"); // a correlation
  const many = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
  const label = (at) => at === null || at === undefined ? "–" : classes[at];
  const nameOf = (at, unit) => layers[at].names[unit] ?? null;
  const kindOf = (layer) => layer.shape.length === 3 ? "map" : "unit";

  // Addresses: "#layer", "#layer/unit", "#/path", "#/card".
  const address = (at, unit) => `#${encodeURIComponent(layers[at].name)}${unit === undefined ? "" : `/${unit}`}`;
  const named = (name) => layers.findIndex((layer) => layer.name === name);
  const parse = () => {
    let hash = location.hash.slice(1);
    if (!hash) return { page: "front" };
    if (hash === "/card" || (hash === "/path" && atlas.path)) return { page: hash.slice(1) };
    const slash = hash.lastIndexOf("/"); // one in a name is written %2F
    const decode = (word) => { try { return decodeURIComponent(word); } catch { return word; } };
    const at = named(decode(hash.slice(0, slash)));
    const unit = Number(hash.slice(slash + 1));
    if (slash > 0 && at >= 0 && /^\d+$/.test(hash.slice(slash + 1)) && unit < layers[at].units) return { page: "unit", at, unit };
    if (named(decode(hash)) >= 0) return { page: "layer", at: named(decode(hash)) };
    return { page: "lost", hash: decode(hash) };
  };

  // What the units of a layer say comes from a script of its own, once.
  const details = new Map();
  const arrivals = new Map();
  window.pellucidLayer = (at, more) => arrivals.get(at)(more);
  const load = (at) => {
    if (!details.has(at)) {
      details.set(at, new Promise((resolve, reject) => {
        arrivals.set(at, resolve);
        document.head.append(h("script", { src: `data/layer-${String(at).padStart(3, "0")}.js`, onerror: () => { details.delete(at); reject(new Error("missing")); } }));
      }));
    }
    return details.get(at);
  };

  // Tiles: small ones in whole multiples of their pixels, as near to a size as that allows; those of photographs' size,
  // which keep their detail, of any size up to their own, and larger than digits.
  const narrow = () => innerWidth < 768;
  const fine = (tile) => Math.max(...tile) >= 64;
  const exact = (size, tile) => Math.round(tile[1] * Math.min(1, size / Math.max(...tile))) / tile[1];
  const times = (size, tile) => fine(tile) ? exact(1.7 * size, tile) : Math.max(1, Math.round(size / Math.max(...tile)));
  const within = (size, tile) => fine(tile) ? exact(narrow() ? 104 : 1.3 * size, tile) : large(narrow() ? Math.min(size, 78) : size, tile);
  const large = (size, tile) => fine(tile) ? Math.min(1.5, size / Math.max(...tile)) : Math.max(1, Math.floor(size / Math.max(...tile)));
  const tileOf = (sheet, [height, width], columns, rows, column, row, k) => h("span", { class: fine([height, width]) ? "tile fine" : "tile", style: {
    "background-image": `url("images/${sheet}")`, "--w": width, "--h": height, "--n": columns, "--m": rows, "--u": column, "--f": row, ...(k ? { "--k": k } : {}),
  } });
  const wallTile = (at, unit, k) => {
    const layer = layers[at];
    return tileOf(layer.wall, layer.wall_tile, layer.columns, layer.rows, unit % layer.columns, Math.floor(unit / layer.columns), k);
  };
  const rowsOf = (layer, sheet) => Math.min(layer.per_sheet, layer.places - sheet * layer.per_sheet);
  const unitTile = (at, unit, column, k) => {
    const layer = layers[at];
    const sheet = Math.floor(unit / layer.per_sheet);
    return tileOf(layer.sheets[sheet], layer.tile, layer.tiles, rowsOf(layer, sheet), column, unit % layer.per_sheet, k);
  };
  // A row's last tiles: at every checkpoint, of the other network, what excites it least.
  const births = (atlas.checkpoints || []).map((name) => name.replace(/^\D*0*(?=\d)/, ""));
  const leastColumn = (layer) => layer.tiles - 1;
  const besideColumn = (layer) => layer.tiles - 1 - (layer.least ? 1 : 0);
  const birthColumn = (layer) => layer.tiles - births.length - (layer.beside ? 1 : 0) - (layer.least ? 1 : 0);
  const isDead = (at, unit) => layers[at].gone.has(unit);
  for (const layer of layers) layer.gone = new Set(layer.dead);
  const known = (at, unit) => [nameOf(at, unit), isDead(at, unit) ? "dead" : `activation ${short(layers[at].activation[unit])}`].filter((one) => one !== null);
  const saying = (at, unit) => [layers[at].name, `${kindOf(layers[at])} ${unit}`, ...known(at, unit)].join(", ");
  const unseen = (words) => h("i", { class: "visually-hidden" }, words); // said by screen readers, between what is seen
  const mate = (at, unit, k, words, className = "") => h("li", { class: isDead(at, unit) ? "dead" : null },
    h("a", { href: address(at, unit) }, wallTile(at, unit, k), unseen(`${layers[at].name}, ${kindOf(layers[at])} `), h("span", { class: "caption" }, h("span", {}, String(unit)),
      unseen([...known(at, unit).filter((one) => one !== words), ""].join(", ").replace(`activation ${words}, `, "activation ")), h("b", { class: className }, words))));

  // Order and choice of a wall; kept from layer to layer.
  let order = "index";
  let only = "";
  const orders = { index: "Index", activation: "Activation", ...(classes ? { active: "Aliveness", class: "Class" } : {}),
    ...(layers.some((layer) => layer.ablate) ? { matters: "Cost" } : {}), ...(layers.some((layer) => layer.beside) ? { beside: "Likeness" } : {}), ...(layers.some((layer) => layer.plane) ? { plane: "Map" } : {}) };
  // What judges say of the units: how a column is called, which end comes first, and how a number is shown.
  const judgments = (layer) => layer.judged ? layer.judged.columns : {};
  const columnNames = { robust: "Robustness", high: "High frequencies", against_data: "Beside the images", afc: "2-AFC", afc_real: "2-AFC by images", afc_noise: "2-AFC by noise" };
  const called = (column) => columnNames[column] || column.replace(/^rank:/, "Rank by ").replace(/^probability:/, "Probability by ");
  const lowFirst = (column) => column === "high" || column.startsWith("rank:");
  const judgment = (column, value) => value === null ? "–" : column.startsWith("rank:") ? value.toLocaleString("en") : column === "against_data" ? `${short(value)} ×` : column.startsWith("probability:") ? percent(value) : `${Math.round(100 * value)}%`;
  const sorted = (at) => {
    const layer = layers[at];
    const units = [...layer.activation.keys()].filter((unit) => only === "" || layer.class[unit] === Number(only));
    const strong = (one, other) => layer.activation[other] - layer.activation[one] || one - other;
    if (order === "activation") units.sort((one, other) => layer.gone.has(one) - layer.gone.has(other) || strong(one, other));
    if (order === "active") units.sort((one, other) => layer.active[other] - layer.active[one] || one - other);
    if (order === "matters" && layer.ablate) units.sort((one, other) => layer.ablate[one] - layer.ablate[other] || strong(one, other));
    if (order === "beside" && layer.beside) units.sort((one, other) => layer.beside.likeness[other] - layer.beside.likeness[one] || one - other);
    const column = judgments(layer)[order];
    if (column) units.sort((one, other) => (column[one] === null) - (column[other] === null) || (lowFirst(order) ? 1 : -1) * (column[one] - column[other]) || one - other);
    if (order === "class") units.sort((one, other) => (layer.class[one] ?? 1e9) - (layer.class[other] ?? 1e9) || strong(one, other));
    return units;
  };
  const remark = (at, unit) => {
    const layer = layers[at];
    if (isDead(at, unit)) return "dead";
    if (judgments(layer)[order]) return judgment(order, judgments(layer)[order][unit]);
    if (order === "active") return percent(layer.active[unit]);
    if (order === "class") return label(layer.class[unit]);
    if (order === "matters" && layer.ablate) return costs(layer.ablate[unit]);
    if (order === "beside" && layer.beside) return layer.beside.units[unit] === null ? "–" : likely(layer.beside.likeness[unit]);
    if (order === "index" && nameOf(at, unit) !== null) return nameOf(at, unit);
    return short(layer.activation[unit]);
  };

  const facts = (rows) => h("dl", { class: "facts" }, rows.filter(Boolean).map(([value, words, className]) => h("div", { class: className || null }, h("dt", {}, words), h("dd", {}, value))));
  const heading = (...words) => h("h1", { tabindex: "-1" }, ...words);
  const wallSize = (tile) => ({ "--w": tile[1], "--h": tile[0], "--kw": times(84, tile), "--kn": times(62, tile) });

  const front = () => {
    const units = layers.reduce((sum, layer) => sum + layer.units, 0);
    const gone = layers.reduce((sum, layer) => sum + layer.dead.length, 0);
    return [
      heading(atlas.title),
      h("p", { class: "lede" }, `Each picture was made by asking one unit of the network what it ${least ? "least" : "most"} wants to see, and by following its answer from noise, step by step. `
        + "Nothing in them is drawn, and none of them is an image that the network was shown. ", sought(...layers)),
      facts([
        [units.toLocaleString("en"), `units in ${many(layers.length, "layer")}`],
        gone ? [gone.toLocaleString("en"), "of them dead: nothing wakes them", "dead"] : ["none", "of them dead"],
        atlas.data && [atlas.data.scanned.toLocaleString("en"), `images scanned (${atlas.data.name})`],
        atlas.data && atlas.data.accuracy !== undefined && [percentage(atlas.data.accuracy), `of ${atlas.data.test.toLocaleString("en")} test images read correctly`],
      ]),
      ...layers.map((layer, at) => {
        const units = [...layer.activation.keys()].filter((unit) => !layer.gone.has(unit)).sort((one, other) => layer.activation[other] - layer.activation[one]);
        const size = { ...wallSize(layer.wall_tile), "--kw": times(84, layer.wall_tile), "--kn": times(56, layer.wall_tile) };
        return h("a", { class: "band", href: address(at) },
          h("header", {}, h("h2", {}, layer.name), h("span", { class: "label" }, many(layer.units, kindOf(layer)) + (layer.dead.length ? `, ${layer.dead.length} dead` : ""))),
          h("div", { class: "row", "aria-hidden": "true", style: size }, twoRows(units, size, layer).map((unit) => wallTile(at, unit)), h("span", { class: "label" }, moreThan(twoRows(units, size, layer).length, layer.units))));
      }),
    ];
  };
  // Units of a band, as many as two rows hold beside the word of how many more there are.
  const twoRows = (units, size, layer) => {
    const across = Math.floor((main.clientWidth || innerWidth) * 0.9 / (layer.wall_tile[1] * size[narrow() ? "--kn" : "--kw"]));
    return units.slice(0, Math.max(1, 2 * across - (units.length > 2 * across || units.length < layer.units ? 1 : 0)));
  };
  const moreThan = (shown, count) => count > shown ? `+${(count - shown).toLocaleString("en")} more` : "";
  const least = layers.every((layer) => layer.sought.includes("excites least"));
  const sought = (...some) => {
    const kinds = [...new Set(some.map((layer) => layer.sought))];
    return kinds.length > 1 ? "" : h("span", { class: "sought" }, `The pictures show ${kinds[0]}.`);
  };
  const percentage = (share) => `${(Math.floor(share * 1000 + 1e-9) / 10).toFixed(1)}%`;

  const sees = (layer) => layer.receptive_field
    ? `Each position of a map sees ${layer.receptive_field[0]} × ${layer.receptive_field[1]} pixels of the image. `
    : "Each unit sees the whole image. ";

  const layerPage = ({ at }) => {
    const layer = layers[at];
    const wall = h("ol", { class: "wall", style: wallSize(layer.wall_tile), "aria-label": `Units of ${layer.name}` });
    const fill = () => {
      const units = sorted(at);
      wall.replaceChildren(...units.map((unit) => mate(at, unit, null, remark(at, unit))));
      wall.classList.toggle("plane", order === "plane" && Boolean(layer.plane));
      if (layer.plane) units.forEach((unit, index) => { wall.children[index].style.cssText = `--x: ${layer.plane[unit][0]}; --y: ${layer.plane[unit][1]}`; });
      if (moment < births.length) units.forEach((unit, index) => $(".tile", wall.children[index]).replaceWith(unitTile(at, unit, birthColumn(layer) + moment, times(narrow() ? 62 : 84, layer.wall_tile) * layer.wall_tile[1] / layer.tile[1])));
      planeWords.hidden = !wall.classList.contains("plane");
      $("#told").textContent = `${many(units.length, "unit")}, ${order === "plane" ? "on a map" : `by ${orders[order] ? orders[order].toLowerCase() : called(order)}`}`;
    };
    const choose = (value) => {
      order = value;
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === value)));
      if (belief) $("select", belief).value = orders[value] ? "" : value;
      fill();
    };
    const buttons = Object.entries(orders).map(([value, words]) => h("button", { type: "button", value, "aria-pressed": String(order === value), onclick: () => choose(value) }, words));
    const belief = layer.judged && h("label", {}, "How much to believe", h("select", { onchange: (event) => choose(event.target.value || "index") },
      h("option", { value: "" }, "–"), Object.keys(judgments(layer)).map((name) => h("option", { value: name, selected: name === order }, called(name)))));
    let moment = births.length;
    const told = h("output", {}, "the end");
    const slide = births.length > 0 && h("label", {}, "At checkpoint", h("input", { type: "range", min: 0, max: births.length, value: births.length, oninput: (event) => {
      moment = Number(event.target.value);
      told.textContent = births[moment] ?? "the end";
      event.target.setAttribute("aria-valuetext", told.textContent);
      fill();
    } }), told);
    const select = classes && h("label", {}, "Prefers", h("select", { onchange: (event) => { only = event.target.value; fill(); } },
      h("option", { value: "" }, "any class"), classes.map((name, index) => h("option", { value: index, selected: String(index) === only }, name))));
    const planeWords = h("p", { class: "note" }, "Units that answer to the same images lie close to each other: the two directions in which their answers differ most, of the correlations between all of them.");
    fill();
    const more = h("div", { class: "more" });
    load(at).then((found) => more.replaceChildren(...layerMore(at, found))).catch(() => more.replaceChildren(gone()));
    return [
      heading(layer.name),
      h("p", { class: "lede" }, sought(layer), " ", sees(layer), layer.dead.length ? `${many(layer.dead.length, "unit")} of it ${layer.dead.length === 1 ? "is" : "are"} dead.` : "None of them is dead."),
      facts([
        [layer.units.toLocaleString("en"), kindOf(layer) === "map" ? `maps of ${layer.shape.slice(1).join(" × ")} (${layer.kind})` : `units (${layer.kind})`],
        [short(layer.mean_activation), "activation that their patterns reach, on average"],
        layer.active && [percent(layer.active.reduce((sum, share) => sum + share, 0) / layer.units), "of the images make a unit positive, on average"],
        layer.dead.length ? [String(layer.dead.length), "dead", "dead"] : null,
      ]),
      h("div", { class: "tools" }, h("div", { class: "sort", role: "group", "aria-label": "Order of the units" }, buttons), select, belief, slide),
      planeWords, wall, more,
    ];
  };

  const layerMore = (at, found) => {
    const layer = layers[at];
    const parts = [];
    if (layer.dead.length) {
      parts.push(h("section", {}, h("h2", {}, "Dead units, and the proof"),
        h("p", { class: "note" }, "A unit counts as dead only where every start of an ascent left it at zero, and every training image that was tried."),
        h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Dead units" }, h("table", { class: "ruled" },
          h("thead", {}, h("tr", {}, ["unit", "starts tried", "images tried", "largest activation"].map((words) => h("th", { scope: "col" }, words)))),
          h("tbody", {}, layer.dead.map((unit) => { const entry = found.entries[unit]; return h("tr", {},
            h("th", { scope: "row" }, h("a", { href: address(at, unit) }, `${layer.name} ${unit}`)), h("td", { class: "num" }, entry.tried_starts.toLocaleString("en")),
            h("td", { class: "num" }, entry.tried_images.toLocaleString("en")), h("td", { class: "num" }, short(entry.variants[0].activation))); }))))));
    }
    if (classes && classes.length <= 60) parts.push(heat(at, found.class_means));
    if (layer.beside) parts.push(pairs(at));
    if ((layer.families || []).length) parts.push(h("section", {}, h("h2", {}, "Families"),
      h("p", { class: "note" }, "Units whose patterns are shifts, quarter turns or mirror images of each other, as far as pictures of 16 pixels a side tell."),
      h("ul", { class: "families" }, layer.families.map((family) => h("li", {}, h("ol", { class: "mates" }, family.map((unit) => mate(at, unit, icon(at), ""))))))));
    return parts;
  };

  // Averages: a row for each class, a column for each unit, both ends of a unit's own range.
  const heat = (at, means) => {
    const layer = layers[at];
    const kept = order, chosen = only;
    order = "class"; only = "";
    const units = sorted(at);
    order = kept; only = chosen;
    const canvas = h("canvas", { style: { height: `${1.25 * classes.length}rem` }, width: units.length, height: classes.length, role: "img", "aria-label": `Mean activation of the ${many(layer.units, "unit")} of ${layer.name} for each of ${many(classes.length, "class", "classes")}` });
    const paint = canvas.getContext("2d");
    const pixels = paint.createImageData(units.length, classes.length);
    units.forEach((unit, x) => {
      const row = means[unit].map((value) => value ?? 0);
      const low = Math.min(...row, 0), span = Math.max(...row, 0) - low || 1;
      row.forEach((value, y) => {
        const share = (value - low) / span;
        [[10, 250], [13, 246], [18, 236]].forEach(([dark, bright], channel) => { pixels.data[4 * (y * units.length + x) + channel] = dark + share * (bright - dark); });
        pixels.data[4 * (y * units.length + x) + 3] = 255;
      });
    });
    paint.putImageData(pixels, 0, 0);
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      location.hash = address(at, units[Math.min(units.length - 1, Math.floor((event.clientX - box.left) / box.width * units.length))]);
    });
    return h("section", {}, h("h2", {}, "Which classes they answer to"),
      h("p", { class: "note" }, "A row for each class, a column for each unit: how strongly it answers on average, from dark to its own largest mean. Units are in the order of the class that they prefer; choose a column to see its unit."),
      h("div", { class: "heat" }, h("ol", {}, classes.map((name) => h("li", { title: name }, name))), canvas));
  };

  const unitPage = ({ at, unit }) => {
    const layer = layers[at];
    const units = sorted(at);
    const here = units.indexOf(unit);
    const next = (by) => here < 0 ? (unit + by + layer.units) % layer.units : units[(here + by + units.length) % units.length];
    const body = h("div", {}, h("h1", { tabindex: "-1" }, layer.name, " ", h("span", {}, kindOf(layer)), ` ${unit}`));
    load(at).then((found) => { body.replaceChildren(...unitBody(at, unit, { ...found.entries[unit], alike: found.alike && found.alike[unit] })); if (main.contains(body)) focusOn(); }).catch(() => body.replaceChildren(gone()));
    return [
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: address(at) }, `All of ${layer.name}`),
        h("span", { class: "turn" }, h("a", { href: address(at, next(-1)), rel: "prev", "aria-label": `Before: unit ${next(-1)}` }, "← ", String(next(-1))),
          h("a", { href: address(at, next(1)), rel: "next", "aria-label": `Next: unit ${next(1)}` }, String(next(1)), " →"))),
      body,
    ];
  };

  // A film: a button for each of its tiles (column, words, activation), which a large tile shows, and plays at first.
  const playing = new Map();
  const film = (at, unit, big, columns, plays) => {
    const show = (frame) => {
      big.style.setProperty("--u", columns[frame][0]);
      frames.forEach((button, index) => button.setAttribute("aria-pressed", String(index === frame)));
    };
    const stop = () => clearTimeout(playing.get(big));
    const step = (frame) => { show(frame); if (frame < columns.length - 1) playing.set(big, setTimeout(step, frame ? 140 : 420, frame + 1)); };
    const frames = columns.map(([column, words, value], index) => h("button", { type: "button", "aria-pressed": "false", onclick: () => { stop(); show(index); } },
      unitTile(at, unit, column, within(92, layers[at].tile)), unseen(words.startsWith("step ") ? "step " : ""), h("span", { class: "caption" }, h("span", {}, words.replace("step ", "")), unseen("activation "), h("b", {}, short(value)))));
    if (still || !plays) show(columns.length - 1); else step(0);
    return { frames, play: () => { stop(); step(0); } };
  };

  const unitBody = (at, unit, entry) => {
    const layer = layers[at];
    const first = entry.variants.length;
    const pictured = (column, words) => {
      const tile = withLabel(unitTile(at, unit, column), words);
      tile.classList.add("big");
      tile.style.setProperty("--kw", large(layer.least ? 290 : 400, layer.tile));
      tile.style.setProperty("--kn", large(Math.min(350, innerWidth - 40) / (layer.least ? 2.1 : 1), layer.tile));
      return tile;
    };
    const big = pictured(0, `The pattern of ${saying(at, unit)}`);
    const under = (tile, words, value) => h("figure", {}, tile, h("figcaption", { class: "caption" }, h("span", {}, words), h("b", {}, short(value))));
    const shown = layer.least ? h("div", { class: "pair" }, under(big, "excites it most", entry.variants[0].activation),
      under(pictured(leastColumn(layer), `What excites ${layer.name} ${unit} least, activation ${short(layer.least[unit])}`), "excites it least", layer.least[unit])) : big;
    const ascent = film(at, unit, big, [...layer.film_steps.map((step, index) => [first + index, `step ${step}`, entry.film[index]]), [0, "best", entry.variants[0].activation]], !entry.dead);
    return [
      h("div", { class: "portrait" }, shown, h("div", {},
        h("h1", { tabindex: "-1" }, layer.name, " ", h("span", {}, kindOf(layer)), ` ${unit}`, nameOf(at, unit) === null ? "" : `: ${nameOf(at, unit)}`),
        h("p", { class: "lede" }, story(at, entry)),
        facts([
          entry.dead ? ["dead", "nothing wakes it", "dead"] : [short(entry.variants[0].activation), "activation of its pattern"],
          entry.ratio && [`${short(entry.ratio)} ×`, "the activation of the strongest image"],
          entry.active !== undefined && [percent(entry.active), "of the images make it positive"],
          classes && layer.class[unit] !== null && [label(layer.class[unit]), "the class that it prefers"],
          layer.ablate && [costs(layer.ablate[unit]), "of the accuracy while it is held at zero"],
        ]),
        entry.variants.length > 1 && h("section", { style: { "margin-top": "2rem" } },
          h("p", { class: "note", style: { "margin-bottom": "0.6rem" } }, "Its patterns from other starts"),
          h("ol", { class: "mates" }, entry.variants.map((one, index) => h("li", {}, withLabel(unitTile(at, unit, index, within(112, layer.tile)), `Pattern of seed ${one.seed}, activation ${short(one.activation)}`),
            h("span", { class: "caption" }, h("span", {}, `seed ${one.seed}`), h("b", {}, short(one.activation))))))))),
      layer.judged && believing(at, unit),
      h("section", { class: "film", style: { "margin-top": "3.2rem" } }, h("h2", {}, "Out of noise"),
        h("p", { class: "note" }, "The ascent, step by step; under each picture the step and the activation."), h("div", { class: "mates" }, ascent.frames)),
      entry.birth && birth(at, unit, entry),
      layer.beside && besides(at, unit),
      entry.examples && !(entry.dead && entry.active === 0) && h("section", { style: { "margin-top": "3.2rem" } }, h("h2", {}, "The images that excite it most"), exampleWall(at, unit, entry, first + layer.film_steps.length)),
      entry.class_means && h("div", { class: "two" },
        entry.class_means.length > 0 && h("section", {}, h("h2", {}, "Class by class"), h("p", { class: "note" }, "Its mean activation over the images of each class."), classBars(entry.class_means)),
        h("section", {}, h("h2", {}, "All its answers"), h("p", { class: "note" }, `The activations for all of ${many(atlas.data.scanned, "image")}; the bars’ heights are square roots of the counts, so that few can be seen beside many.`), histogram(entry.histogram))),
      entry.made && made(at, unit, entry),
      (entry.near || entry.alike) && h("div", { class: "two" },
        entry.near && alike(at, entry.near, "It answers like", `The units of ${layer.name} whose answers to images rise and fall most with its own, and their correlation.`),
        entry.alike && alike(at, entry.alike, "It looks for the like of", `The units of ${layer.name} whose patterns are most like its own, wherever in them something is, and the correlation of their pixels.`)),
      entry.ablate_classes && h("section", { style: { "margin-top": "3.2rem" } }, h("h2", {}, "Does it matter?"),
        h("p", { class: "note" }, "The images of each class that are no longer read rightly while the unit is held at zero, in percent of the class; below zero, more are."),
        classBars(entry.ablate_classes.map((change) => change === null ? null : -change), { percent: true })),
      (entry.before || (entry.after && named(layer.after) >= 0)) && h("div", { class: "two" },
        entry.before && neighbours(named(layer.before), entry.before, "What it is made of", `The units of ${layer.before} that it weighs most; green adds, red takes away.`),
        entry.after && named(layer.after) >= 0 && neighbours(named(layer.after), entry.after, "What is made of it", `The units of ${layer.after} that weigh it most; green adds, red takes away.`)),
      takeAway(at, unit),
    ].filter(Boolean);
  };
  // To take away: a unit's own files, which lie beside the page.
  const takeAway = (at, unit) => {
    const layer = layers[at], stem = `unit-${String(unit).padStart(4, "0")}`;
    const file = (words, end) => [" ", h("a", { href: `data/${layer.folder}/${stem}${end}`, download: `${layer.folder}-${stem}${end}` }, words)];
    return layer.activation.length === layer.units && h("p", { class: "take" }, "Take away:", file("its numbers (JSON)", ".json"), file("its picture (WebP)", ".webp"),
      file("its film (WebP)", "-film.webp"), births.length > 0 && file("how it came to be (WebP)", "-birth.webp"));
  };
  const withLabel = (element, words) => { element.setAttribute("role", "img"); element.setAttribute("aria-label", words); return element; };

  const believing = (at, unit) => {
    const { columns, judges, images, data_high } = layers[at].judged;
    const said = (name, words) => columns[name] && columns[name][unit] !== null && [judgment(name, columns[name][unit]), words];
    const by = (name) => judgment(name, columns[name][unit]);
    return h("section", { style: { "margin-top": "3.2rem" } }, h("h2", {}, "How much to believe it"),
      h("p", { class: "note" }, `By ${many(images, "image")} that had no part in it, half of which may explain the unit and half are asked about`, judges.length ? `, and ${judges.join(" and ")}, which compare.` : "."),
      facts([
        said("robust", "of its activation is left under small shifts, scalings and turns"),
        said("high", `of its power lies in high frequencies; of the images’, ${percent(data_high)}`),
        said("against_data", "the activation of the strongest of these images"),
        columns.afc && said("afc", `of pairs of a strong and a weak image are told apart by its patterns; by real images ${by("afc_real")}, by noise ${by("afc_noise")}, by chance 50%`),
        ...judges.map((name) => columns[`rank:${name}`] && said(`rank:${name}`, `is the rank that ${name} gives its class, at a probability of ${by(`probability:${name}`)}`)),
      ]));
  };

  // Born: what the unit looked for while the network learnt, and how far it answered as it does in the end.
  const birth = (at, unit, entry) => {
    const layer = layers[at];
    const { activation, likeness } = entry.birth;
    const big = withLabel(unitTile(at, unit, birthColumn(layer), large(200, layer.tile)), `What ${layer.name} ${unit} looked for while the network learnt`);
    const { frames, play } = film(at, unit, big, births.map((name, index) => [birthColumn(layer) + index, name, activation[index]]), false);
    const line = (values, low, high) => `M${values.map((value, index) => `${(300 * index / Math.max(1, values.length - 1)).toFixed(1)},${(60 - 58 * ((value ?? low) - low) / (high - low || 1)).toFixed(1)}`).join("L")}`;
    return h("section", { class: "film birth" }, h("h2", {}, "How it came to be"),
      h("p", { class: "note" }, `Its pattern in the network at ${many(births.length, "checkpoint")}, the earliest first; under each picture the checkpoint and the activation. `,
        likeness ? "The line tells the activation, the dashed one how far its answers to images were already those of the end (their correlation)." : "The line tells the activation."),
      h("div", { class: "growth" }, h("div", {}, big, h("button", { type: "button", class: "again", onclick: play }, "Play")),
        curve([line(activation, Math.min(0, ...activation), Math.max(...activation)), likeness && line(likeness, Math.min(0, ...likeness), 1)],
          `The activation grew from ${short(activation[0])} to ${short(activation.at(-1))}${likeness ? `, the likeness of its answers to those of the end from ${likely(likeness[0])} to ${likely(likeness.at(-1))}` : ""}`)),
      h("div", { class: "mates" }, frames));
  };
  const curve = (lines, words) => {
    const drawn = h("div", { role: "img", "aria-label": words });
    drawn.innerHTML = '<svg viewBox="0 0 300 62" preserveAspectRatio="none"><path></path><path></path></svg>';
    all("path", drawn).forEach((path, index) => path.setAttribute("d", lines[index] || ""));
    return drawn;
  };

  // Beside another network: the unit that answers to the same images there.
  const partner = (at, unit, k) => {
    const { units, likeness, activation } = layers[at].beside;
    return h("figure", {}, withLabel(unitTile(at, unit, besideColumn(layers[at]), k), `${atlas.beside}, ${layers[at].name} ${units[unit]}, activation ${short(activation[unit])}`),
      h("figcaption", { class: "caption" }, h("span", {}, String(units[unit])), h("b", {}, likely(likeness[unit]))));
  };
  const besides = (at, unit) => {
    const layer = layers[at], { units, likeness } = layer.beside, k = large(narrow() ? 160 : 200, layer.tile);
    const title = h("h2", {}, `Beside ${atlas.beside}`);
    if (units[unit] === null) return h("section", { class: "birth" }, title, h("p", { class: "note" }, "No unit there is left that answers to what this one answers to."));
    return h("section", { class: "birth" }, title,
      h("p", { class: "note" }, `Its answers to images are most like those of ${layer.name} ${units[unit]} there, with a correlation of ${likely(likeness[unit])}; no unit stands for two, and all pairs together are as alike as they can be.`),
      h("div", { class: "pair" }, h("figure", {}, withLabel(unitTile(at, unit, 0, k), saying(at, unit)), h("figcaption", { class: "caption" }, h("span", {}, `here, ${unit}`), h("b", {}, short(layer.activation[unit])))),
        h("figure", {}, partner(at, unit, k).firstChild, h("figcaption", { class: "caption" }, h("span", {}, `there, ${units[unit]}`), h("b", {}, short(layer.beside.activation[unit]))))));
  };
  const pairs = (at) => {
    const layer = layers[at], { units, likeness, matched, alike } = layer.beside;
    const shown = [...units.keys()].filter((unit) => units[unit] !== null && unit < layer.activation.length).sort((one, other) => likeness[other] - likeness[one] || one - other);
    return h("section", {}, h("h2", {}, `Beside ${atlas.beside}`),
      h("p", { class: "note" }, `${matched.toLocaleString("en")} of ${many(units.length, "unit")} have one there that answers to the same images, ${alike === null ? "" : `with a correlation of ${likely(alike)} on average, `}the most alike first. On the left the unit here, on the right its partner and their correlation.`),
      h("ul", { class: "families" }, shown.map((unit) => h("li", {}, h("ol", { class: "mates" }, mate(at, unit, icon(at), ""), h("li", {}, partner(at, unit, icon(at) * layer.wall_tile[1] / layer.tile[1])))))));
  };

  const story = (at, entry) => {
    if (entry.dead) {
      return `No start woke it, of ${entry.tried_starts.toLocaleString("en")} tried${entry.tried_images ? `, and none of ${many(entry.tried_images, "image")}` : ""}. It is dead; the picture is as near as an ascent came.`;
    }
    const [low, high] = [entry.film[0], entry.variants[0].activation];
    const kind = layers[at].sought;
    return `${kind[0].toUpperCase()}${kind.slice(1)}. ${sees(layers[at])}From noise that moved it to ${short(low)}, an ascent of ${many(entry.variants[0].steps, "step")} reached ${short(high)}.`;
  };

  const exampleWall = (at, unit, entry, from) => {
    const layer = layers[at];
    const k = within(112, layer.tile);
    const shrink = atlas.model.input_shape[2] / layer.tile[1];
    const wall = h("ol", { class: "examples", style: { "--w": layer.tile[1], "--h": layer.tile[0], "--k": k } }, entry.examples.map((example, index) => {
      const words = `Image ${example.index} of ${example.split}${example.label === null ? "" : `, class ${label(example.label)}`}, activation ${short(example.activation)}`;
      const whole = h("span", { class: "whole", style: { display: "block" } }, withLabel(unitTile(at, unit, from + index, k), words));
      const parts = [whole];
      if (example.box) {
        const [top, left, height, width] = example.box.map((pixels) => pixels / shrink);
        whole.append(h("i", { style: { top: `${top * k}px`, left: `${left * k}px`, width: `${width * k}px`, height: `${height * k}px` } }));
        const scale = fine(layer.tile) ? layer.tile[1] * k / Math.max(width, height) : Math.max(1, Math.floor(layer.tile[1] * k / Math.max(width, height)));
        const sheet = Math.floor(unit / layer.per_sheet);
        if (Math.max(width / layer.tile[1], height / layer.tile[0]) < 0.75) parts.push(h("span", { class: fine(layer.tile) ? "crop fine" : "crop", style: {
          display: "block", width: `${width * scale}px`, height: `${height * scale}px`, "background-image": `url("images/${layer.sheets[sheet]}")`,
          "background-size": `${layer.tiles * layer.tile[1] * scale}px ${rowsOf(layer, sheet) * layer.tile[0] * scale}px`,
          "background-position": `${-((from + index) * layer.tile[1] + left) * scale}px ${-((unit % layer.per_sheet) * layer.tile[0] + top) * scale}px`,
        } }));
      }
      return h("li", { title: words }, ...parts, h("span", { class: "caption" }, h("span", {}, short(example.activation)), h("b", {}, example.label === null ? "" : label(example.label))));
    }));
    const words = entry.examples[0].box && layer.receptive_field[0] < 0.75 * atlas.model.input_shape[1]
      ? "Each whole, with a frame around what its map saw where it answered most, and that piece alone; under it the activation and the class, if it has one."
      : "Under each the activation and the class, if it has one.";
    return h("div", {}, h("p", { class: "note" }, words), wall);
  };

  const classBars = (means, mark = {}) => {
    const known = means.map((value) => value ?? 0);
    const low = Math.min(0, ...known), span = Math.max(0, ...known) - low || 1;
    const best = known.indexOf(Math.max(...known));
    const rows = [...known.keys()];
    const shown = rows.length > 20 ? rows.sort((one, other) => known[other] - known[one]).slice(0, 20) : rows;
    return h("div", {}, h("dl", { class: "bars" }, shown.map((index) => h("div", { class: mark[index] || (index === best && !Object.keys(mark).length ? "best" : null) }, h("dt", { title: label(index) }, label(index)),
      h("dd", { class: "bar" }, h("i", { style: { "--x": (Math.min(0, known[index]) - low) / span, "--v": Math.abs(known[index]) / span } })),
      h("dd", { class: "num" }, mark.percent ? percent(known[index]) : short(means[index]))))), h("p", { class: "label" }, moreThan(shown.length, means.length)));
  };

  const histogram = ({ low, width, counts }) => {
    const top = Math.sqrt(Math.max(...counts, 1));
    const high = low + width * counts.length;
    return h("div", {}, h("div", { class: "histogram", role: "img", "aria-label": `Distribution of the activations from ${short(low)} to ${short(high)}` },
      counts.map((count, index) => h("i", { class: count ? null : "none", title: `${short(low + width * index)} to ${short(low + width * (index + 1))}: ${many(count, "image")}`, style: { "--v": Math.sqrt(count) / top } }))),
      h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, short(low)), h("span", {}, short(high))));
  };

  const icon = (at) => narrow() ? within(72, layers[at].wall_tile) : times(72, layers[at].wall_tile);
  const signed = (value) => `${value < 0 ? "−" : "+"}${short(Math.abs(value))}`;
  const alike = (at, list, title, words) => h("section", {}, h("h2", {}, title), h("p", { class: "note" }, words),
    h("ol", { class: "mates" }, list.filter(([unit]) => unit < layers[at].units).map(([unit, value]) => mate(at, unit, icon(at), value.toFixed(2)))));

  // What makes a unit up: the parts of its sum for its strongest image, which are exact.
  const made = (at, unit, { made: { parts, bias, sum } }) => {
    const before = named(layers[at].before);
    const rest = sum - bias - parts.reduce((total, [, value]) => total + value, 0);
    const k = before < 0 ? 0 : icon(before);
    return h("section", { style: { "margin-top": "3.2rem" } }, h("h2", {}, "What makes it up"),
      h("p", { class: "note" }, `For its strongest image${kindOf(layers[at]) === "map" ? ", where its map is largest" : ""}: what each unit of ${layers[at].before} adds to it, or takes away, before its activation.`),
      h("ol", { class: "mates sum" }, parts.map(([one, value]) => mate(before, one, k, signed(value), value < 0 ? "weight minus" : "weight"))),
      h("p", { class: "label num" }, `${parts.map(([, value]) => signed(value)).join(" ").replace(/^\+/, "")} ${signed(rest)} by all others ${signed(bias)} bias = ${signed(sum).replace(/^\+/, "")}`));
  };

  const neighbours = (at, list, title, words) => h("section", {}, h("h2", {}, title), h("p", { class: "note" }, words),
    h("ol", { class: "mates" }, list.filter(([unit]) => unit < layers[at].units).map(([unit, weight]) => mate(at, unit, icon(at), `${weight < 0 ? "−" : "+"}${Math.abs(weight).toFixed(2)}`, weight < 0 ? "weight minus" : "weight"))));

  let pick = 0;
  const pathPage = () => {
    const path = atlas.path;
    const k = times(84, path.tile);
    const body = h("ol", { class: "pathway" });
    const fill = () => {
      const image = path.images[pick];
      body.replaceChildren(...layers.map((layer, at) => h("li", {}, h("div", {}, h("h2", {}, h("a", { href: address(at) }, layer.name)), h("p", { class: "label" }, layer.shape.join(" × "))), answer(at, path.layers[at]))),
        ...(image.probabilities ? [h("li", {}, h("div", {}, h("h2", {}, "What it says"), h("p", { class: "label" }, "probability")), verdict(image))] : []));
    };
    const answer = (at, layer) => {
      if (layer.values) {
        const values = layer.values[pick];
        const low = Math.min(0, ...values), span = Math.max(0, ...values) - low || 1;
        const few = values.length <= 24; // more would be too narrow to hit: a click on their picture leads on
        const bars = values.map((value, unit) => h(few ? "a" : "span", { ...(few ? { href: address(at, unit), "aria-label": `Unit ${unit}, ${short(value)}` } : {}),
          class: value === 0 ? "silent" : null, title: `${unit}: ${short(value)}`, "data-unit": unit }, h("i", { style: { "--v": (value - low) / span } })));
        const silent = values.filter((value) => value === 0).length;
        return h("div", { class: few ? "columns few" : "columns", ...(few ? {} : { role: "img", "aria-label": `The answers of ${many(values.length, "unit")}, ${silent} of them silent, the largest ${short(Math.max(...values))}`,
          onclick: (event) => { const bar = event.target.closest("[data-unit]"); if (bar) location.hash = address(at, bar.dataset.unit); } }) }, bars);
      }
      const count = layer.units[pick].length;
      const size = times(64, layer.tile);
      return h("div", { class: "maps" }, layer.units[pick].map((unit, column) => h("a", { href: address(at, unit), title: `${layers[at].name} ${unit}`, "aria-label": `${layers[at].name}, map ${unit}` },
        tileOf(layer.sheet, layer.tile, count, path.images.length, column, pick, size))), h("span", { class: "label" }, moreThan(count, layers[at].units)));
    };
    const verdict = (image) => {
      const guess = image.probabilities.indexOf(Math.max(...image.probabilities));
      return classBars(image.probabilities, image.label === null ? { percent: true, [guess]: "best" } : { percent: true, [guess]: "wrong", [image.label]: "truth" });
    };
    const picks = path.images.map((image, index) => h("button", { type: "button", "aria-pressed": String(index === pick), "aria-label": `Test image ${image.index}${image.label === null ? "" : `, class ${label(image.label)}`}`, onclick: () => {
      pick = index;
      picks.forEach((button, other) => button.setAttribute("aria-pressed", String(other === index)));
      fill();
    } }, tileOf("path.webp", path.tile, path.images.length, 1, index, 0, k)));
    fill();
    return [heading("One image’s path"),
      h("p", { class: "lede" }, "A test image goes through the network: bright is where a map found what it looks for. Of a layer of many maps, those that answer most are shown. Choose an image, then a map to see what it wants."),
      h("div", { class: "picks" }, picks), body];
  };

  const cardPage = () => {
    const { model, data } = atlas;
    const lines = (pairs) => h("dl", { class: "card" }, pairs.filter(([, value]) => value !== undefined).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    const flat = (value) => value !== null && typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name} ${Array.isArray(one) ? one.join(", ") || "none" : one}`).join(" · ") : String(value);
    return [
      heading(`The card of ${atlas.name}`),
      h("section", {}, h("h2", {}, "The model"), lines([
        ["name", model.name], ["architecture", model.architecture], ["parameters", model.parameters && model.parameters.toLocaleString("en")],
        ["input", `${model.input_shape.join(" × ")}, scaling ${model.scaling}`],
        ...Object.entries(model.provenance || {}).map(([name, value]) => [name.replaceAll("_", " "), flat(value)]),
      ])),
      data && data.confusion && h("section", {}, h("h2", {}, `${percentage(data.accuracy)} of ${data.test.toLocaleString("en")} test images`),
        h("p", { class: "note" }, `Measured while this atlas was made, on ${data.name}. Rows are the truth, columns what the network says.`), confusion(data)),
      h("section", {}, h("h2", {}, "Its layers"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Layers" }, h("table", { class: "ruled" },
        h("thead", {}, h("tr", {}, ["layer", "kind", "units", "output"].map((words) => h("th", { scope: "col" }, words)))),
        h("tbody", {}, model.layers.map((layer) => h("tr", {}, h("th", { scope: "row" }, named(layer.name) >= 0 ? h("a", { href: address(named(layer.name)) }, layer.name) : layer.name),
          h("td", {}, layer.kind), h("td", { class: "num" }, layer.units.toLocaleString("en")), h("td", { class: "num" }, layer.shape.join(" × ")))))))),
      h("section", {}, h("h2", {}, "This atlas"), lines([
        ["command", h("code", {}, atlas.command)], ["images", data && `${data.scanned.toLocaleString("en")} of ${data.name}, train and dev`],
        ["settings", flat(atlas.settings)], ["versions", flat(atlas.versions)],
      ])),
    ].filter(Boolean);
  };

  const confusion = ({ classes: own, confusion: counts }) => {
    const names = counts[0].length > own.length ? [...own, "another"] : own;
    if (names.length > 40) return h("p", { class: "note" }, "The counts are in atlas.json.");
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, h("table", { class: "confusion" },
      h("thead", {}, h("tr", {}, h("td", {}), names.map((name) => h("th", { scope: "col", title: name }, name)))),
      h("tbody", {}, counts.map((row, truth) => {
        const total = row.reduce((sum, count) => sum + count, 0) || 1;
        return h("tr", {}, h("th", { scope: "row", title: names[truth] }, names[truth]), row.map((count, guess) => {
          const share = count / total;
          const shade = !count ? 0 : share >= 0.6 ? 1 : truth === guess ? 0.15 + 0.4 * share : Math.min(0.4, 0.1 + Math.sqrt(share));
          return h("td", { class: !count ? null : shade === 1 ? "strong" : "some", style: { "--v": shade, "--shade": `var(--${truth === guess ? "truth" : "wrong"})` } }, count ? String(count) : "·");
        }));
      }))));
  };

  const gone = () => h("p", {}, "The numbers of this layer are missing: the folder “data” must lie beside index.html.");
  const lost = ({ hash }) => [heading("There is no such place"), h("p", { class: "lede" }, `Nothing here is called “${hash}”. `, h("a", { href: "#" }, "See all layers"), ".")];

  // Pages: what the address says; a page that was left is found again where it was.
  const pages = { front, layer: layerPage, unit: unitPage, path: pathPage, card: cardPage, lost };
  const positions = new Map();
  let route = null;
  let address0 = location.hash;
  const focusOn = () => { const title = $("h1", main); if (title && document.activeElement !== search && moved) title.focus({ preventScroll: true }); };
  let moved = false;
  const draw = () => {
    positions.set(address0, scrollY);
    const from = route;
    route = parse();
    playing.forEach(clearTimeout);
    playing.clear();
    main.replaceChildren(...pages[route.page](route));
    const title = $("h1", main).textContent;
    document.title = route.page === "front" ? `${atlas.name} · an atlas` : `${title} · ${atlas.name}`;
    for (const link of all(".strip a")) {
      if (Number(link.dataset.at) === route.at) { link.setAttribute("aria-current", "true"); link.scrollIntoView({ block: "nearest", inline: "nearest" }); } else link.removeAttribute("aria-current");
    }
    const back = from && from.page === "unit" && route.page === "layer";
    scrollTo({ top: back || (from && route.page === "front") ? positions.get(location.hash) || 0 : 0, behavior: "instant" });
    address0 = location.hash;
    focusOn();
    moved = true;
    if (back && from.at === route.at) { const link = $(`.wall a[href="${CSS.escape(address(from.at, from.unit)).replace(/\\/g, "\\")}"]`, main); if (link) link.focus({ preventScroll: true }); }
    return undefined;
  };

  // Finding: every word must fit: a layer's name, a number, "dead", or "class" and its name.
  const search = $("#search");
  const results = $("#results");
  const find = (words) => {
    const found = [];
    const wanted = words.toLowerCase().replace(/\bclass\s+/g, "class:").split(/[\s/,]+/).filter(Boolean);
    if (!wanted.length) return null;
    const isCalled = (name, word) => name !== null && (name.toLowerCase().startsWith(word) || name.toLowerCase().split(/[^\p{L}\p{N}]+/u).some((part) => part.startsWith(word)));
    const ofClass = (at, unit, word) => [nameOf(at, unit), classes && layers[at].class[unit] !== null ? label(layers[at].class[unit]) : null].some((name) => isCalled(name, word));
    const fits = (at, unit, word) => {
      if (word.startsWith("class:")) return ofClass(at, unit, word.slice(6));
      if (word === "dead") return isDead(at, unit);
      if (/^\d+$/.test(word)) return unit === Number(word) || layers[at].name === word;
      return layers[at].name.toLowerCase().includes(word) || ofClass(at, unit, word);
    };
    layers.forEach((layer, at) => { for (let unit = 0; unit < layer.units; unit++) if (wanted.every((word) => fits(at, unit, word))) found.push([at, unit]); });
    const isOwn = ([at, unit]) => nameOf(at, unit) !== null && wanted.some((word) => /\p{L}/u.test(word) && isCalled(nameOf(at, unit), word.replace(/^class:/, "")));
    return [...found.filter(isOwn), ...found.filter((one) => !isOwn(one))]; // a class's own unit before those that prefer it
  };
  const refresh = () => {
    const found = find(search.value);
    results.hidden = found === null;
    if (found === null) return;
    const tiles = found.slice(0, 60).map(([at, unit]) => { const item = mate(at, unit, times(44, layers[at].wall_tile), nameOf(at, unit) === null ? layers[at].name : nameOf(at, unit)); $(".caption b", item).classList.add("small"); return item; });
    results.replaceChildren(h("p", { class: "label", role: "status" }, found.length === 0 ? "Nothing fits. Try a layer and a number, such as “" + layers[0].name + " 3”." : found.length > 60 ? `60 of ${found.length.toLocaleString("en")} units` : many(found.length, "unit")), h("ol", { class: "mates" }, tiles));
  };
  const leave = () => { results.hidden = true; search.value = ""; };
  search.addEventListener("input", refresh);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { leave(); search.blur(); event.stopPropagation(); }
    if (event.key === "Enter") { const link = $("a", results); if (link && !results.hidden) { leave(); search.blur(); link.click(); } }
    if (event.key === "ArrowDown") { const link = $("a", results); if (link) { event.preventDefault(); link.focus(); } }
  });
  results.addEventListener("click", (event) => { if (event.target.closest("a")) leave(); });
  document.addEventListener("click", (event) => { if (!event.target.closest(".search")) results.hidden = true; });

  // Keys: units, layers, up, find; on a wall the arrows move the focus.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const group = event.target.closest && event.target.closest(".wall, .mates");
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "/") { event.preventDefault(); search.focus(); return; }
    if (event.key === "Escape") {
      if (!results.hidden) { leave(); return; }
      location.hash = route.page === "unit" ? address(route.at) : "";
      return;
    }
    if (group && event.target.closest("a") && (by || ["ArrowUp", "ArrowDown"].includes(event.key))) {
      const links = all("a", group);
      const across = Math.max(1, links.filter((link) => link.offsetTop === links[0].offsetTop).length);
      const to = links[links.indexOf(event.target.closest("a")) + (by || (event.key === "ArrowUp" ? -across : across))];
      if (to) { event.preventDefault(); to.focus(); }
      return;
    }
    if (by && route.page === "unit") { event.preventDefault(); $(`.turn a[rel="${by < 0 ? "prev" : "next"}"]`).click(); }
    const layer = { "[": -1, "]": 1 }[event.key];
    if (layer) { const at = route.at === undefined ? (layer > 0 ? 0 : layers.length - 1) : (route.at + layer + layers.length) % layers.length; location.hash = address(at); }
  });

  // Dark and light: the system's choice until a person chooses.
  const theme = $(".theme");
  const remembered = (() => { try { return localStorage.getItem("pellucid-theme"); } catch { return null; } })();
  if (remembered) document.documentElement.dataset.theme = remembered;
  const dark = () => document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Use ${dark() ? "light" : "dark"} colours`); };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("pellucid-theme", document.documentElement.dataset.theme); } catch { /* a folder may keep nothing */ }
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  for (const link of all(".strip a")) {
    const layer = layers[Number(link.dataset.at)];
    const k = fine(layer.wall_tile) ? 56 / layer.wall_tile[1] : times(20, layer.wall_tile);
    const swatch = $(".swatch", link);
    if (fine(layer.wall_tile)) swatch.style.imageRendering = "auto";
    swatch.style.backgroundImage = `url("images/${layer.wall}")`;
    swatch.style.backgroundSize = `${layer.columns * layer.wall_tile[1] * k}px ${layer.rows * layer.wall_tile[0] * k}px`;
  }
  $("[data-skip]").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  history.scrollRestoration = "manual";
  addEventListener("hashchange", draw);
  draw();
})();

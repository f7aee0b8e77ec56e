"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const tour = JSON.parse($("#tour-data").textContent);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // Dark and light: the system's choice until a person chooses.
  const theme = $(".theme");
  const dark = () => document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Use ${dark() ? "light" : "dark"} colours`); };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  // The frieze: every pattern comes out of its noise once, a few at a time.
  const frieze = $(".frieze");
  if (!still) {
    const tiles = all(".tile", frieze);
    const last = Number(frieze.dataset.last);
    const late = tiles.map((_, index) => (index * 7919) % 9);
    let tick = 0;
    const step = () => {
      tiles.forEach((tile, index) => tile.style.setProperty("--f", Math.min(last, Math.max(0, tick - late[index]))));
      if (tick++ < last + 9) setTimeout(step, 170);
    };
    step();
  }

  // The wall: order, and the enlarged pattern.
  for (const button of all(".sort button")) {
    button.addEventListener("click", () => {
      all(".sort button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      for (const wall of all(".wall")) {
        const key = (item) => button.value === "index" ? Number(item.dataset.unit) : -Number(item.dataset.activation);
        wall.append(...all("li", wall).sort((one, other) => key(one) - key(other)));
      }
    });
  }

  const dialog = $("dialog");
  const big = $(".large > .tile", dialog);
  const frames = $(".frames", dialog);
  let here = null; // the list item of the wall that is shown
  let playing = 0;

  const show = (frame) => {
    big.style.setProperty("--f", frame);
    all("button", frames).forEach((button, index) => button.setAttribute("aria-pressed", String(index === frame)));
  };

  const play = (count) => {
    clearTimeout(playing);
    if (still) return show(count - 1);
    const step = (frame) => { show(frame); if (frame < count - 1) playing = setTimeout(step, frame ? 110 : 320, frame + 1); };
    return step(0);
  };

  const spark = (values) => {
    const top = Math.max(...values, 1e-9);
    const points = values.map((value, index) => `${(100 * index) / (values.length - 1 || 1)},${32 - (30 * value) / top}`);
    $(".spark path", dialog).setAttribute("d", "M" + points.join("L"));
  };

  const fill = (item) => {
    here = item;
    const layer = tour[Number(item.dataset.layer)];
    const map = layer.maps[Number(item.dataset.unit)];
    const rank = 1 + layer.maps.filter((other) => other.activation > map.activation).length;
    const style = $(".tile", item);
    for (const tile of [big]) { tile.className = style.className; tile.style.setProperty("--u", map.unit); }
    big.setAttribute("aria-label", `The pattern of ${layer.layer}, map ${map.unit}`);
    $("#map-name").textContent = `${layer.layer}, map ${map.unit}`;
    $("#map-activation").textContent = map.dead ? "none: the map is dead" : map.activation.toFixed(4);
    $("#map-rank").textContent = `${rank} of ${layer.maps.length} in its layer`;
    $("#map-steps").textContent = String(map.steps);
    frames.replaceChildren(...layer.film_steps.map((step, frame) => {
      const button = document.createElement("button");
      button.type = "button";
      const when = step === "best" ? "The best" : `Step ${step}`;
      button.setAttribute("aria-label", `${when}, activation ${map.film_activations[frame].toFixed(3)}`);
      const tile = document.createElement("span");
      tile.className = style.className;
      tile.style.setProperty("--u", map.unit);
      tile.style.setProperty("--f", frame);
      const label = document.createElement("span");
      label.className = "label";
      label.textContent = step;
      button.append(tile, label);
      button.addEventListener("click", () => { clearTimeout(playing); show(frame); });
      return button;
    }));
    spark(map.film_activations);
    play(layer.film_steps.length);
    history.replaceState(null, "", `#${layer.layer}-${map.unit}`);
  };

  const turn = (by) => {
    const items = all(".wall li");
    fill(items[(items.indexOf(here) + by + items.length) % items.length]);
  };

  const open = (item) => { fill(item); if (!dialog.open) dialog.showModal(); };
  for (const item of all(".wall li")) $("button", item).addEventListener("click", () => open(item));
  $(".close", dialog).addEventListener("click", () => dialog.close());
  $(".before", dialog).addEventListener("click", () => turn(-1));
  $(".after", dialog).addEventListener("click", () => turn(1));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); turn(by); }
  });
  dialog.addEventListener("close", () => {
    clearTimeout(playing);
    history.replaceState(null, "", location.pathname + location.search);
    $("button", here).focus();
  });
  const wanted = all(".wall li").find((item) => `#${item.id}` === location.hash);
  if (wanted) open(wanted);

  // The dream: pull the line.
  for (const compare of all(".compare")) {
    const range = $("input", compare);
    const cut = () => compare.style.setProperty("--cut", `${range.value}%`);
    range.addEventListener("input", cut);
    cut();
  }
})();

"use strict";
/* Training: the bundled digits as images, and a small net trained on them from random weights, in a worker.

unpackDigits: what `page.packed_digits` wrote -> {images, labels} of each split
trainNet:     engine, what is wanted, post -> post is told of every few steps, until the last epoch is over */

/* The digits as `data/digits.py` has them: a dark margin of one cell, then bicubically from 10 to 28 pixels, clipped. */
function unpackDigits({ sizes, labels, counts }, bytes) {
  const packed = bytes(counts), side = 28, cells = 10;
  const count = (at) => ((packed[at >> 3] << 8 | packed[(at >> 3) + 1]) >> (11 - (at & 7))) & 31; // five bits from bit `at`
  const bicubic = (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0);
  const taps = Array.from({ length: side }, (_, place) => {
    const center = ((place + 0.5) * cells) / side, first = Math.max(0, Math.floor(center - 1.5));
    const weights = Array.from({ length: Math.min(cells, Math.floor(center + 2.5)) - first }, (_, k) => bicubic(Math.abs(first + k + 0.5 - center)));
    const sum = weights.reduce((all, one) => all + one, 0);
    return weights.map((weight, k) => [first + k, weight / sum]);
  });
  const images = new Float32Array(labels.length * side * side), cell = new Float32Array(cells * cells), wide = new Float32Array(cells * side);
  for (let n = 0; n < labels.length; n++) {
    for (let k = 0; k < 64; k++) cell[(1 + (k >> 3)) * cells + 1 + (k & 7)] = count((n * 64 + k) * 5) / 16;
    for (let row = 0; row < cells; row++) {
      for (let q = 0; q < side; q++) wide[row * side + q] = taps[q].reduce((sum, [at, weight]) => sum + weight * cell[row * cells + at], 0);
    }
    for (let p = 0; p < side; p++) {
      for (let q = 0; q < side; q++) {
        const value = taps[p].reduce((sum, [at, weight]) => sum + weight * wide[at * side + q], 0);
        images[(n * side + p) * side + q] = Math.min(1, Math.max(0, value));
      }
    }
  }
  let begin = 0;
  return sizes.map((size) => {
    const part = { images: images.subarray(begin * side * side, (begin + size) * side * side), labels: Array.from(labels.slice(begin, begin + size), Number) };
    begin += size;
    return part;
  });
}

/* The recipe of the tour: batches of 32, moved by a pixel or none, Nesterov's momentum, a warmup, gradients shortened to
   2. wanted: {table, train, dev, seed, rate, epochs}. Told are `losses` of the steps since, `step` of `steps`, `accuracy`
   on the images kept aside where it was taken, and `weights` by name. */
function trainNet(engine, { table, train, dev, seed, rate, epochs }, post) {
  const batch = 32, momentum = 0.9, warmup = 40, clip = 2, [channels, height, width] = table.input_shape;
  const net = engine.open({ ...table, parameters: null }, seed), random = engine.uniform(seed + 1), pixels = height * width;
  const weights = {}, velocity = {}, steps = Math.ceil(train.labels.length / batch), order = train.labels.map((_, index) => index);
  for (const layer of net.layers) for (const part of Object.keys(layer.parameters ?? {})) weights[`${layer.name}.${part}`] = layer[part];
  for (const name of Object.keys(weights)) velocity[name] = new Float32Array(weights[name].length);
  const accuracy = () => {
    let right = 0;
    for (let n = 0; n < dev.labels.length; n += 50) {
      const logits = engine.forward(net, dev.images.subarray(n * pixels, (n + 50) * pixels)).outputs.at(-1);
      right += engine.crossEntropy(logits, dev.labels.slice(n, n + 50)).right;
    }
    return right / dev.labels.length;
  };
  const moved = (image) => { // by one pixel or none, down and across; what comes in is dark
    const down = Math.floor(3 * random()) - 1, across = Math.floor(3 * random()) - 1;
    return image.map((_, k) => {
      const p = Math.floor(k / width) - down, q = (k % width) - across;
      return p < 0 || p >= height || q < 0 || q >= width ? 0 : image[p * width + q];
    });
  };
  let losses = [], told = performance.now();
  post({ step: 0, steps: steps * epochs, losses: [], weights, accuracy: accuracy() });
  for (let step = 0; step < steps * epochs; step++) {
    const at = step % steps;
    if (at === 0) for (let k = order.length - 1; k > 0; k--) { const other = Math.floor(random() * (k + 1)); [order[k], order[other]] = [order[other], order[k]]; }
    const chosen = order.slice(at * batch, (at + 1) * batch), images = new Float32Array(chosen.length * channels * pixels);
    chosen.forEach((from, n) => images.set(moved(train.images.subarray(from * pixels, (from + 1) * pixels)), n * pixels));
    const found = engine.backward(net, engine.forward(net, images), chosen.map((from) => train.labels[from]), "parameters");
    const length = Math.sqrt(Object.values(found.parameters).reduce((all, g) => all + g.reduce((sum, d) => sum + d * d, 0), 0));
    const far = rate * Math.min(1, (step + 1) / warmup) * (length > clip ? clip / length : 1);
    for (const [name, g] of Object.entries(found.parameters)) {
      const w = weights[name], v = velocity[name];
      for (let k = 0; k < w.length; k++) {
        const u = far * g[k];
        v[k] = momentum * v[k] - u;
        w[k] += momentum * v[k] - u;
      }
    }
    losses.push(found.loss);
    const judged = (step + 1) % Math.ceil(steps / 2) === 0 || step + 1 === steps * epochs, broken = !Number.isFinite(length);
    if (judged || broken || performance.now() - told > 100) {
      post({ step: step + 1, steps: steps * epochs, losses, weights, broken, ...(judged ? { accuracy: accuracy() } : {}) });
      losses = [];
      told = performance.now();
    }
    if (broken) return;
  }
}

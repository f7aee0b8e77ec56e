"use strict";
/* Engine: a network of `learn` in plain JavaScript, formula by formula as in kernels/reference.py.

open:     what `pages.network_table` wrote -> a net: its layers with their weights and shapes
forward:  net, images in [0, 1] -> a trace: every layer's output
backward: net, trace, labels -> the mean loss, and its gradients for every layer's output, every weight and the images

Arrays are Float32Array, or Float64Array where that is given in its place and every digit counts; the batch last:
(channel, height, width, batch) or (feature, batch). Nothing here keeps state or
knows of a page, so a worker runs the same text: new Blob([`const engine = (${pellucidEngine})();`, ...]). */
function pellucidEngine(Float32Array = globalThis.Float32Array) {
  const pair = (given) => (Array.isArray(given) ? given : [given, given]);
  const size = (shape) => shape.reduce((all, one) => all * one, 1);
  const fitting = (n, k, v, d = 1) => Math.floor((n - d * (k - 1) - 1) / v) + 1; // windows of k that fit into n
  const reach = (n, k, v, d) => (n - 1) * v + d * (k - 1) + 1; // pixels that n of them cover

  // Convolutions, and dense layers, which are convolutions of images of one pixel ------------------------------------
  /* x in a larger image of zeros, and where in it each tap (c, i, j) of the filter falls at the first place. */
  function tapped(x, g, batch) {
    const high = reach(g.places[0], g.window[0], g.stride[0], g.dilation[0]);
    const wide = reach(g.places[1], g.window[1], g.stride[1], g.dilation[1]);
    const [channels, height, width] = g.input, [top, left] = g.border;
    let around = x;
    if (top || left || high !== height || wide !== width) {
      around = new Float32Array(channels * high * wide * batch);
      const across = Math.min(width, wide - left) * batch;
      for (let c = 0; c < channels; c++) {
        for (let p = 0; p < Math.min(height, high - top); p++) {
          const from = (c * height + p) * width * batch;
          around.set(x.subarray(from, from + across), ((c * high + p + top) * wide + left) * batch);
        }
      }
    }
    const offsets = new Int32Array(channels * g.window[0] * g.window[1]);
    let t = 0;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < g.window[0]; i++) {
        for (let j = 0; j < g.window[1]; j++) offsets[t++] = ((c * high + i * g.dilation[0]) * wide + j * g.dilation[1]) * batch;
      }
    }
    // Where the stride is 1, a row of places is one run of memory; else each place is one.
    const whole = g.stride[1] === 1;
    return {
      around, offsets, run: whole ? g.places[1] * batch : batch, runs: whole ? 1 : g.places[1],
      down: g.stride[0] * wide * batch, across: g.stride[1] * batch,
    };
  }

  /* y[o, r, s] = b[o] + sum over c, i, j of w[o, c, i, j] x[c, r v + i d - top, s v' + j d' - left] */
  function correlate({ around, offsets, run, runs, down, across }, weight, bias, maps, rows, y) {
    const taps = offsets.length, whole = taps - (taps % 4), sum = new Float64Array(run);
    for (let o = 0; o < maps; o++) {
      for (let r = 0; r < rows; r++) {
        for (let s = 0; s < runs; s++) {
          const first = r * down + s * across;
          sum.fill(bias ? bias[o] : 0);
          let w = o * taps, t = 0;
          for (; t < whole; t += 4, w += 4) {
            const w0 = weight[w], w1 = weight[w + 1], w2 = weight[w + 2], w3 = weight[w + 3];
            const a0 = offsets[t] + first, a1 = offsets[t + 1] + first, a2 = offsets[t + 2] + first, a3 = offsets[t + 3] + first;
            for (let k = 0; k < run; k++) {
              sum[k] += w0 * around[a0 + k] + w1 * around[a1 + k] + w2 * around[a2 + k] + w3 * around[a3 + k];
            }
          }
          for (; t < taps; t++, w++) {
            const w0 = weight[w], a0 = offsets[t] + first;
            for (let k = 0; k < run; k++) sum[k] += w0 * around[a0 + k];
          }
          y.set(sum, ((o * rows + r) * runs + s) * run);
        }
      }
    }
    return y;
  }

  /* dw[o, c, i, j] = sum over r, s, n of dy[o, r, s, n] x[c, r v + i d - top, s v' + j d' - left, n] */
  function weightGradient({ around, offsets, run, runs, down, across }, dy, maps, rows) {
    const taps = offsets.length, whole = taps - (taps % 4), dw = new Float64Array(maps * taps);
    for (let o = 0; o < maps; o++) {
      for (let r = 0; r < rows; r++) {
        for (let s = 0; s < runs; s++) {
          const first = r * down + s * across, from = ((o * rows + r) * runs + s) * run;
          let w = o * taps, t = 0;
          for (; t < whole; t += 4, w += 4) {
            const a0 = offsets[t] + first, a1 = offsets[t + 1] + first, a2 = offsets[t + 2] + first, a3 = offsets[t + 3] + first;
            let d0 = 0, d1 = 0, d2 = 0, d3 = 0;
            for (let k = 0; k < run; k++) {
              const d = dy[from + k];
              d0 += d * around[a0 + k]; d1 += d * around[a1 + k]; d2 += d * around[a2 + k]; d3 += d * around[a3 + k];
            }
            dw[w] += d0; dw[w + 1] += d1; dw[w + 2] += d2; dw[w + 3] += d3;
          }
          for (; t < taps; t++, w++) {
            const a0 = offsets[t] + first;
            for (let k = 0; k < run; k++) dw[w] += dy[from + k] * around[a0 + k];
          }
        }
      }
    }
    return Float32Array.from(dw);
  }

  /* dx: the same sum, of dy with v - 1 zeros between its places, and the filters turned by half a circle */
  function inputGradient(g, weight, dy, maps, batch) {
    const [channels, height, width] = g.input, [kh, kw] = g.window, [rows, columns] = g.places, [v, across] = g.stride;
    const turned = new Float32Array(weight.length);
    for (let o = 0; o < maps; o++) {
      for (let c = 0; c < channels; c++) {
        for (let t = 0; t < kh * kw; t++) turned[(c * maps + o) * kh * kw + t] = weight[(o * channels + c + 1) * kh * kw - 1 - t];
      }
    }
    const high = (rows - 1) * v + 1, wide = (columns - 1) * across + 1;
    let spread = dy;
    if (v > 1 || across > 1) {
      spread = new Float32Array(maps * high * wide * batch);
      for (let o = 0; o < maps; o++) {
        for (let r = 0; r < rows; r++) {
          for (let s = 0; s < columns; s++) {
            const from = ((o * rows + r) * columns + s) * batch;
            spread.set(dy.subarray(from, from + batch), ((o * high + r * v) * wide + s * across) * batch);
          }
        }
      }
    }
    const back = {
      input: [maps, high, wide], window: g.window, places: [height, width], stride: [1, 1], dilation: g.dilation,
      border: [g.dilation[0] * (kh - 1) - g.border[0], g.dilation[1] * (kw - 1) - g.border[1]],
    };
    return correlate(tapped(spread, back, batch), turned, null, channels, height, new Float32Array(channels * height * width * batch));
  }

  // Activations: y of z in place, and dz of y (of z for GELU) and dy -------------------------------------------------
  const normal = (z) => { // the normal distribution function, by Abramowitz and Stegun's erfc as in Numerical Recipes
    const x = Math.abs(z) / Math.SQRT2, t = 1 / (1 + 0.5 * x);
    const factors = [0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223];
    const tail = 0.5 * t * Math.exp(-x * x + factors.reduce((sum, factor) => sum * t + factor, 0));
    return z > 0 ? 1 - tail : tail;
  };
  const ACTIVATIONS = {
    relu: [(z) => (z < 0 ? 0 : z), (y, dy) => (y <= 0 ? 0 : dy)],
    "leaky-relu": [(z) => (z > 0 ? z : 0.01 * z), (y, dy) => (y > 0 ? dy : 0.01 * dy)],
    sigmoid: [(z) => 1 / (1 + Math.exp(-z)), (y, dy) => dy * y * (1 - y)],
    tanh: [Math.tanh, (y, dy) => dy * (1 - y * y)],
    gelu: [(z) => z * normal(z), (z, dy) => dy * (normal(z) + z * Math.exp(-z * z / 2) * 0.3989422804014327)],
    linear: null,
  };

  /* (y, what its gradient needs) of z, which is overwritten unless the gradient needs it */
  function activate(name, z) {
    if (name === "linear") return [z, null];
    const f = ACTIVATIONS[name][0], y = name === "gelu" ? new Float32Array(z.length) : z;
    for (let k = 0; k < z.length; k++) y[k] = f(z[k]);
    return [y, z];
  }

  function activationGradient(name, kept, dy) {
    if (name === "linear") return dy;
    const f = ACTIVATIONS[name][1], dz = new Float32Array(dy.length);
    for (let k = 0; k < dy.length; k++) dz[k] = f(kept[k], dy[k]);
    return dz;
  }

  // Kinds of layers: shape of an input -> of the output; forward -> [y, cache]; backward -> [gradients of its parameters, dx]
  const filters = {
    forward(layer, x, batch) {
      const g = layer.geometry, taps = tapped(x, g, batch);
      const z = correlate(taps, layer.weight, layer.bias, layer.shape[0], g.places[0], new Float32Array(size(layer.shape) * batch));
      const [y, kept] = activate(layer.activation, z);
      return [y, { taps, kept }];
    },
    backward(layer, { taps, kept }, dy, batch, wanted) {
      const dz = activationGradient(layer.activation, kept, dy), maps = layer.shape[0], found = {};
      if (wanted !== "input") {
        found.weight = weightGradient(taps, dz, maps, layer.geometry.places[0]);
        found.bias = rowSums(dz, maps);
      }
      return [found, wanted === "parameters" ? null : inputGradient(layer.geometry, layer.weight, dz, maps, batch)];
    },
  };
  const same = { shape: (layer, input) => input, forward: (layer, x) => [x, null], backward: (layer, cache, dy) => [{}, dy] };

  const KINDS = {
    conv: {
      ...filters,
      shape(layer, [channels, height, width]) {
        const [window, stride, dilation] = [layer.kernel, layer.stride, layer.dilation].map(pair);
        const places = [height, width].map((n, a) => layer.padding === "same" ? Math.ceil(n / stride[a]) : fitting(n, window[a], stride[a], dilation[a]));
        const border = [height, width].map((n, a) =>
          layer.padding === "same" ? Math.floor(Math.max(0, reach(places[a], window[a], stride[a], dilation[a]) - n) / 2) : 0);
        layer.geometry = { input: [channels, height, width], window, stride, dilation, places, border };
        layer.parameters = { weight: [layer.maps, channels, ...window], bias: [layer.maps] };
        return [layer.maps, ...places];
      },
    },
    dense: {
      ...filters,
      shape(layer, [features]) {
        layer.geometry = { input: [features, 1, 1], window: [1, 1], stride: [1, 1], dilation: [1, 1], places: [1, 1], border: [0, 0] };
        layer.parameters = { weight: [layer.units, features], bias: [layer.units] };
        return [layer.units];
      },
    },
    flatten: { ...same, shape: (layer, input) => [size(input)] },
    dropout: same, // in training alone it drops something
    pool: {
      shape(layer, [channels, height, width]) {
        const window = pair(layer.size), stride = layer.stride === null ? window : pair(layer.stride);
        layer.geometry = { input: [channels, height, width], window, stride };
        return [channels, fitting(height, window[0], stride[0]), fitting(width, window[1], stride[1])];
      },
      forward(layer, x, batch) {
        const { input: [, height, width], window, stride } = layer.geometry, [channels, rows, columns] = layer.shape;
        const y = new Float32Array(channels * rows * columns * batch), max = layer.method === "max";
        const winner = max ? new Int32Array(y.length) : null, share = 1 / (window[0] * window[1]);
        for (let c = 0, to = 0; c < channels; c++) {
          for (let r = 0; r < rows; r++) {
            for (let s = 0; s < columns; s++) {
              const first = ((c * height + r * stride[0]) * width + s * stride[1]) * batch;
              for (let n = 0; n < batch; n++, to++) {
                let best = first + n, sum = 0;
                for (let i = 0; i < window[0]; i++) {
                  for (let j = 0; j < window[1]; j++) {
                    const at = first + n + (i * width + j) * batch;
                    if (x[at] > x[best]) best = at;
                    sum += x[at];
                  }
                }
                y[to] = max ? x[best] : sum * share;
                if (max) winner[to] = best;
              }
            }
          }
        }
        return [y, winner];
      },
      backward(layer, winner, dy, batch) {
        const { input, window, stride } = layer.geometry, [channels, rows, columns] = layer.shape;
        const dx = new Float32Array(size(input) * batch), share = 1 / (window[0] * window[1]);
        if (winner) {
          for (let k = 0; k < dy.length; k++) dx[winner[k]] += dy[k];
          return [{}, dx];
        }
        for (let c = 0, from = 0; c < channels; c++) {
          for (let r = 0; r < rows; r++) {
            for (let s = 0; s < columns; s++, from += batch) {
              for (let i = 0; i < window[0]; i++) {
                for (let j = 0; j < window[1]; j++) {
                  const at = ((c * input[1] + r * stride[0] + i) * input[2] + s * stride[1] + j) * batch;
                  for (let n = 0; n < batch; n++) dx[at + n] += dy[from + n] * share;
                }
              }
            }
          }
        }
        return [{}, dx];
      },
    },
    global_pool: {
      shape: (layer, input) => input.slice(0, 1),
      forward(layer, x, batch) {
        const channels = layer.shape[0], pixels = layer.input[1] * layer.input[2], y = new Float32Array(channels * batch);
        for (let c = 0; c < channels; c++) {
          for (let n = 0; n < batch; n++) {
            let sum = 0;
            for (let p = 0; p < pixels; p++) sum += x[(c * pixels + p) * batch + n];
            y[c * batch + n] = sum / pixels;
          }
        }
        return [y, null];
      },
      backward(layer, cache, dy, batch) {
        const pixels = layer.input[1] * layer.input[2], dx = new Float32Array(size(layer.input) * batch);
        for (let k = 0; k < dx.length; k++) dx[k] = dy[Math.floor(k / (pixels * batch)) * batch + (k % batch)] / pixels;
        return [{}, dx];
      },
    },
    norm: {
      shape(layer, input) {
        layer.parameters = { weight: [input[0]], bias: [input[0]], mean: [input[0]], variance: [input[0]] };
        return input;
      },
      forward(layer, x) {
        const each = x.length / layer.shape[0], h = new Float32Array(x.length), z = new Float32Array(x.length);
        for (let k = 0; k < x.length; k++) {
          const u = Math.floor(k / each);
          h[k] = (x[k] - layer.mean[u]) / Math.sqrt(layer.variance[u] + layer.least);
          z[k] = layer.weight[u] * h[k] + layer.bias[u];
        }
        const [y, kept] = activate(layer.activation, z);
        return [y, { h, kept }];
      },
      backward(layer, { h, kept }, dy, batch, wanted) {
        const dz = activationGradient(layer.activation, kept, dy), units = layer.shape[0], each = dz.length / units;
        const found = wanted === "input" ? {} : { weight: rowSums(dz, units, h), bias: rowSums(dz, units) };
        const dx = dz.map((d, k) => {
          const u = Math.floor(k / each);
          return d * layer.weight[u] / Math.sqrt(layer.variance[u] + layer.least);
        });
        return [found, dx];
      },
    },
    sum: { // of what comes in and what the layer `back` before it took, of which every so many pixels are added
      shape: (layer, input) => input,
      joined(layer, x, before, batch) {
        const z = x.slice();
        eachShared(layer, batch, (at, from) => { z[at] += before[from]; });
        const [y, kept] = activate(layer.activation, z);
        return [y, kept];
      },
      backward: (layer, kept, dy) => [{}, activationGradient(layer.activation, kept, dy)],
      shortcut(layer, dz, batch) {
        const gradient = new Float32Array(size(layer.before) * batch);
        eachShared(layer, batch, (at, from) => { gradient[from] = dz[at]; });
        return gradient;
      },
    },
  };

  function eachShared(layer, batch, visit) {
    const [, height, width] = layer.shape, [channels, high, wide] = layer.before;
    const step = Math.max(Math.ceil(high / height), Math.ceil(wide / width));
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < height; p++) {
        for (let q = 0; q < width; q++) {
          const at = ((c * height + p) * width + q) * batch, from = ((c * high + p * step) * wide + q * step) * batch;
          for (let n = 0; n < batch; n++) visit(at + n, from + n);
        }
      }
    }
  }

  /* Of each unit the sum of dy, or of dy times `by`. */
  function rowSums(dy, units, by = null) {
    const each = dy.length / units, sums = new Float32Array(units);
    for (let u = 0; u < units; u++) {
      let sum = 0;
      for (let k = u * each; k < (u + 1) * each; k++) sum += by ? dy[k] * by[k] : dy[k];
      sums[u] = sum;
    }
    return sums;
  }

  // Networks ---------------------------------------------------------------------------------------------------------
  const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const floats = (base64) => Float32Array.from(new globalThis.Float32Array(bytes(base64).buffer));

  /* The net of a table; without weights they are He's of the seed, as `learn` draws them but from another generator.
     Throws an Error that says what of it cannot run here. */
  function open(table, seed = 0) {
    const refused = (why) => { throw new Error(`This network cannot run in the page: ${why}.`); };
    if (table.features) refused("it sees distances to clusters, not pixels");
    if (table.loss !== "cross-entropy") refused(`its loss is ${table.loss}`);
    let shape = table.input_shape;
    const inputs = [], random = gaussian(seed);
    const layers = table.layers.map((given, index) => {
      if (!KINDS[given.kind]) refused(`it has a layer of the kind ${given.kind}`);
      const layer = { ...given, name: table.names[index], input: shape };
      inputs.push(shape);
      if (layer.kind === "sum") layer.before = inputs[index - layer.back];
      layer.shape = shape = KINDS[layer.kind].shape(layer, shape);
      for (const [part, wanted] of Object.entries(layer.parameters || {})) {
        const held = table.parameters?.[`${layer.name}.${part}`];
        const wide = Math.sqrt(2 / size(wanted.slice(1))) * (layer.name === "logits" ? 0.1 : 1);
        layer[part] = held ? (held.buffer ? held : floats(held)) : new Float32Array(size(wanted));
        if (!held && part === "weight") layer.weight.forEach((_, k) => { layer.weight[k] = random() * wide; });
      }
      return layer;
    });
    return { layers, scaling: table.scaling, input: table.input_shape, classes: size(shape) };
  }

  /* Numbers of the normal distribution that follow from a seed (mulberry32; Box and Muller). */
  function gaussian(seed) {
    const even = uniform(seed);
    return () => Math.sqrt(-2 * Math.log(1 - even())) * Math.cos(2 * Math.PI * even());
  }

  function uniform(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /* Images in [0, 1], one after the other, in model space with the batch last. */
  function scale(net, images) {
    const pixels = size(net.input), batch = images.length / pixels, x = new Float32Array(images.length);
    for (let n = 0; n < batch; n++) {
      const one = scaled(net, images.subarray(n * pixels, (n + 1) * pixels)).image;
      for (let k = 0; k < pixels; k++) x[k * batch + n] = one[k];
    }
    return x;
  }

  /* One image in model space, and the way back of a gradient from there to its pixels. */
  function scaled(net, image) {
    const { kind, mean: middle, deviation } = net.scaling, pixels = image.length;
    if (kind === "standardized") {
      const least = 1 / Math.sqrt(pixels), [even, by] = standardized(image, least);
      return {
        image: even,
        back(dx) {
          const middle = mean(dx), along = by > least ? mean(Float64Array.from(dx, (d, k) => d * even[k])) : 0;
          return dx.map((d, k) => (d - middle - along * even[k]) / by);
        },
      };
    }
    if (kind === "unit-norm") {
      const norm = Math.sqrt(image.reduce((sum, value) => sum + value * value, 0)) || 1, unit = image.map((value) => value / norm);
      return { image: unit, back: (dx) => { const along = dx.reduce((sum, d, k) => sum + d * unit[k], 0); return dx.map((d, k) => (d - along * unit[k]) / norm); } };
    }
    if (kind === "unit") return { image, back: (dx) => dx };
    const [center, by] = [middle, deviation].map((numbers) => spreadOut(numbers, net.input));
    return { image: image.map((value, k) => (value - center[k]) / by[k]), back: (dx) => dx.map((d, k) => d / by[k]) };
  }

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  /* (x - mean) / deviation, and the deviation, which is `least` at least */
  function standardized(x, least = Number.MIN_VALUE) {
    const center = mean(x), by = Math.max(least, Math.sqrt(mean(Float64Array.from(x, (value) => (value - center) ** 2))));
    return [x.map((value) => (value - center) / by), by];
  }

  /* A number, or (channel, height, width) of which an axis may be 1, as an array for every pixel. */
  function spreadOut(numbers, [channels, height, width]) {
    const flat = [numbers].flat(3), all = new Float32Array(channels * height * width);
    if (flat.length === 1) return all.fill(flat[0]);
    const at = (list, index) => (list.length === 1 ? list[0] : list[index]);
    return all.map((_, k) => at(at(at(numbers, Math.floor(k / (height * width))), Math.floor(k / width) % height), k % width));
  }

  /* Every layer's output for images in [0, 1]; `upto`: the number of the last layer; `linear`: without its activation. */
  function forward(net, images, options = {}) {
    return run(net, scale(net, images), options);
  }

  /* The same for x in model space. */
  function run(net, x, { upto = net.layers.length - 1, linear = false } = {}) {
    const batch = x.length / size(net.input), outputs = [], caches = [];
    const before = (index) => (index > 0 ? outputs[index - 1] : x);
    const layers = net.layers.slice(0, upto + 1).map((layer, index) => linear && index === upto && layer.activation ? { ...layer, activation: "linear" } : layer);
    layers.forEach((layer, index) => {
      const kind = KINDS[layer.kind];
      const found = layer.kind === "sum" ? kind.joined(layer, before(index), before(index - layer.back), batch) : kind.forward(layer, before(index), batch);
      outputs.push(found[0]);
      caches.push(found[1]);
    });
    return { batch, x, layers, outputs, caches };
  }

  /* p[k] = exp(z[k] - m) / sum over l of exp(z[l] - m), (class, batch) */
  function softmax(z, batch) {
    const classes = z.length / batch, p = new Float32Array(z.length);
    for (let n = 0; n < batch; n++) {
      let top = -Infinity, sum = 0;
      for (let k = 0; k < classes; k++) top = Math.max(top, z[k * batch + n]);
      for (let k = 0; k < classes; k++) sum += Math.exp(z[k * batch + n] - top);
      for (let k = 0; k < classes; k++) p[k * batch + n] = Math.exp(z[k * batch + n] - top) / sum;
    }
    return p;
  }

  /* The mean of -log p[label], its gradient for the logits, p, and how many are read rightly. */
  function crossEntropy(z, labels) {
    const batch = labels.length, classes = z.length / batch, p = softmax(z, batch), gradient = p.map((value) => value / batch);
    let loss = 0, right = 0;
    for (let n = 0; n < batch; n++) {
      let top = 0, sum = 0;
      for (let k = 1; k < classes; k++) if (z[k * batch + n] > z[top * batch + n]) top = k;
      for (let k = 0; k < classes; k++) sum += Math.exp(z[k * batch + n] - z[top * batch + n]);
      loss += Math.log(sum) + z[top * batch + n] - z[labels[n] * batch + n];
      right += top === labels[n];
      let others = 0;
      for (let k = 0; k < classes; k++) others += k === labels[n] ? 0 : gradient[k * batch + n];
      gradient[labels[n] * batch + n] = -others;
    }
    return { loss: loss / batch, gradient, probabilities: p, right };
  }

  /* The mean loss, and its gradients: `outputs` of every layer, `parameters` by name, `input` in model space. */
  function backward(net, trace, labels, wanted = "both") {
    const { gradient, ...told } = crossEntropy(trace.outputs.at(-1), labels);
    return { ...told, ...back(trace, gradient, wanted) };
  }

  /* From the gradient of a trace's last output; wanted: "parameters", "input" or "both". */
  function back(trace, gradient, wanted = "both") {
    const { layers, caches, batch } = trace, outputs = new Array(layers.length), parameters = {}, waiting = {};
    let dy = gradient;
    for (let index = layers.length - 1; index >= 0; index--) {
      const layer = layers[index];
      if (waiting[index]) dy = dy.map((value, k) => value + waiting[index][k]);
      outputs[index] = dy;
      const [found, dx] = KINDS[layer.kind].backward(layer, caches[index], dy, batch, index === 0 ? wanted : wanted === "parameters" ? "both" : wanted);
      for (const [part, value] of Object.entries(found)) parameters[`${layer.name}.${part}`] = value;
      if (layer.kind === "sum") {
        const earlier = index - layer.back - 1, shortcut = KINDS.sum.shortcut(layer, dx, batch);
        waiting[earlier] = waiting[earlier] ? shortcut.map((value, k) => value + waiting[earlier][k]) : shortcut;
      }
      dy = dx;
    }
    if (waiting[-1] && dy) dy = dy.map((value, k) => value + waiting[-1][k]);
    return { outputs, parameters, input: dy };
  }

  // Seeing: images moved uphill, a step at a time --------------------------------------------------------------------
  /* The power ascent of see/optimize on the sphere of standardized images, to the mean over one unit's map: every step
     as {step, value, image in model space}, the last one after `steps` of them. start: standardized. */
  function* ascend(net, index, unit, start, steps = 30) {
    let point = standardized(start)[0], memory = null;
    for (let step = 0; ; step++) {
      const { image, back: toPoint } = onSphere(net, point), trace = run(net, image, { upto: index, linear: true });
      const smoothing = 2 * Math.max(0, 1 - step / (0.75 * steps));
      const { value, gradient } = unitScore(net.layers[index], trace.outputs[index], unit, smoothing);
      yield { step, value, image };
      if (step === steps) return;
      const direction = standardized(toPoint(back(trace, gradient, "input").input))[0];
      memory = memory ? direction.map((d, k) => 0.5 * (d + memory[k])) : direction;
      const far = 100 * 0.001 ** (step / Math.max(1, steps - 1));
      point = standardized(point.map((p, k) => p + far * memory[k]))[0];
    }
  }

  /* A point of the sphere as an image in model space, and the way back of a gradient. */
  function onSphere(net, point) {
    const { kind, mean: middle, deviation } = net.scaling;
    if (kind === "standardized") return { image: point, back: (dx) => dx };
    const own = kind === "mean-deviation" && Math.max(deviation[0]?.length ?? 1, deviation[0]?.[0]?.length ?? 1) > 1;
    const center = spreadOut(own ? middle : 0.5, net.input), radius = spreadOut(own ? deviation : 0.25, net.input);
    const pixels = point.map((p, k) => center[k] + radius[k] * p), inside = pixels.map((p) => Math.min(1, Math.max(0, p)));
    const { image, back: down } = scaled(net, inside);
    return { image, back: (dx) => down(dx).map((d, k) => (inside[k] === pixels[k] ? radius[k] * d : 0)) };
  }

  /* The mean over a unit's map, of its outputs before their activation, and the gradient that an ascent follows: a silent
     map's largest; a rectified one's mean of (z + sqrt(z^2 + s^2)) / 2, s as many deviations as `smoothing` says. */
  function unitScore(layer, all, unit, smoothing) {
    const places = all.length / layer.shape[0], z = all.subarray(unit * places, (unit + 1) * places);
    const [y, kept] = activate(layer.activation, z.slice()), gradient = new Float32Array(all.length);
    let dz = activationGradient(layer.activation, kept, new Float32Array(places).fill(1 / places));
    if (layer.activation === "linear") {
      // what is not rectified has nothing to be smoothed or woken
    } else if (y.every((value) => value === 0)) {
      dz = new Float32Array(places).fill(1, z.indexOf(Math.max(...z)), z.indexOf(Math.max(...z)) + 1);
    } else if (smoothing > 0 && y.every((value, k) => value === Math.max(0, z[k]))) {
      const largest = Math.max(1e-30, ...z.map(Math.abs)), unitZ = Float64Array.from(z, (value) => value / largest);
      const width = smoothing * standardized(unitZ)[1];
      dz = Float32Array.from(unitZ, (u) => (0.5 * (1 + u / Math.sqrt(u * u + width * width + 1e-12))) / places);
    }
    gradient.set(dz, unit * places);
    return { value: mean(y), gradient };
  }

  /* An image in [0, 1] that becomes more of what a layer sees in it (its mean square), or more of one class: each step. */
  function* dream(net, image, index, label = null, steps = 20, far = 0.02) {
    let pixels = image;
    for (let step = 0; step <= steps; step++) {
      yield { step, pixels };
      const { image: x, back: down } = scaled(net, pixels), trace = run(net, x, { upto: index }), y = trace.outputs[index];
      const gradient = label === null ? y : crossEntropy(y, [label]).gradient.map((d) => -d);
      const uphill = down(back(trace, gradient, "input").input), rms = Math.sqrt(mean(uphill.map((d) => d * d))) || 1;
      pixels = pixels.map((p, k) => Math.min(1, Math.max(0, p + (far * uphill[k]) / rms)));
    }
  }

  /* An image in model space as pixels in [0, 1], as `Scaling.to_pixels` has it. */
  function toPixels(net, image) {
    const { kind, mean: middle, deviation } = net.scaling;
    if (kind === "unit") return image;
    if (kind === "mean-deviation") {
      const [center, by] = [middle, deviation].map((numbers) => spreadOut(numbers, net.input));
      return image.map((value, k) => Math.min(1, Math.max(0, value * by[k] + center[k])));
    }
    const lowest = kind === "standardized" ? image.reduce((least, value) => Math.min(least, value)) : 0;
    const largest = image.reduce((most, value) => Math.max(most, value)) - lowest || 1;
    return image.map((value) => Math.max(0, value - lowest) / largest);
  }

  return { ascend, dream, toPixels, mean, open, forward, backward, run, back, scale, scaled, softmax, crossEntropy, gaussian, uniform, bytes, size };
}

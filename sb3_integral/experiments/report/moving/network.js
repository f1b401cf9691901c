"use strict";
// The two students, resized as the library resizes them; matrices are lists of rows.

function numbers(text) {
  return new Float32Array(Uint8Array.from(atob(text), character => character.charCodeAt(0)).buffer);
}

function matrix({ shape: [rows, columns], values }) {
  const all = numbers(values);
  return Array.from({ length: rows }, (_, row) => all.slice(row * columns, (row + 1) * columns));
}

const ACTIVATIONS = {
  tanh: Math.tanh,
  relu: value => Math.max(value, 0),
  elu: value => (value > 0 ? value : Math.expm1(value)),
  silu: value => value / (1 + Math.exp(-value)),
};

// The levels of corrections that count at a scale, and how much: hat functions along its logarithm.
function levelsAt(scale, scales) {
  const ends = [1, ...scales], index = ends.findIndex(node => node <= scale);
  if (index === 0) return [];
  let hats = [[scales.length - 1, 1]];
  if (index > 0) {
    const below = Math.log(ends[index - 1] / scale) / Math.log(ends[index - 1] / ends[index]);
    hats = [[index - 2, 1 - below], [index - 1, below]];
  }
  return hats.filter(([level, hat]) => level >= 0 && hat > 1e-9)
    .map(([level, hat]) => [level, hat / Math.sqrt(scales[level])]);
}

// A layer of the integral network at a size: the first rows and columns, with their corrections.
function sampledLayer(layer, size, full) {
  const rows = layer.writes ? size : layer.weight.length;
  const columns = layer.reads ? size : layer.weight[0].length;
  const weight = layer.weight.slice(0, rows).map(row => row.slice(0, columns));
  const bias = layer.bias.slice(0, rows);
  for (const [level, factor] of levelsAt(size / full, layer.scales)) {
    const more = layer.corrections[level];
    more.bias.slice(0, rows).forEach((value, i) => { bias[i] += factor * value; });
    more.weight.slice(0, rows).forEach((row, i) =>
      row.slice(0, columns).forEach((value, j) => { weight[i][j] += factor * value; }));
  }
  return { weight, bias };
}

// Bicubic interpolation along one dimension, antialiased: what torch and Pillow do.
function bicubicMatrix(before, after) {
  const cubic = x => {
    const a = -0.5, t = Math.abs(x);
    if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
  };
  const ratio = before / after, widening = Math.max(ratio, 1), reach = 2 * widening;
  return Array.from({ length: after }, (_, row) => {
    const centre = ratio * (row + 0.5), weights = new Float64Array(before);
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const last = Math.min(Math.trunc(centre + reach + 0.5), before);
    let sum = 0;
    for (let i = first; i < last; i++) sum += weights[i] = cubic((i - centre + 0.5) / widening);
    return weights.map(value => value / sum);
  });
}

const product = (left, right) => left.map(row => right[0].map((_, j) =>
  row.reduce((sum, value, k) => (value ? sum + value * right[k][j] : sum), 0)));
const transposed = rows => Array.from(rows[0], (_, j) => Float64Array.from(rows, row => row[j]));

function interpolatedLayer({ weight, bias, writes, reads }, size, rescale) {
  let rows = weight.map(row => [...row]), vector = [...bias];
  if (writes) {
    const down = bicubicMatrix(rows.length, size);
    rows = product(down, rows);
    vector = product(down, vector.map(value => [value])).map(([value]) => value);
  }
  if (reads) {
    const before = rows[0].length;
    rows = transposed(product(bicubicMatrix(before, size), transposed(rows).map(row => [...row])).map(row => [...row]));
    if (rescale) rows = rows.map(row => row.map(value => value * before / size));
  }
  return { weight: rows.map(row => Float32Array.from(row)), bias: Float32Array.from(vector) };
}

class Network {
  constructor(data, resize) {
    this.full = data.full;
    this.resize = resize;
    this.activation = ACTIVATIONS[data.activation];
    this.scale = numbers(data.scale);
    this.shift = numbers(data.shift);
    this.stored = data.layers.map(layer => ({
      ...layer,
      weight: matrix(layer.weight),
      bias: numbers(layer.bias),
      corrections: layer.corrections.map(more => ({ weight: matrix(more.weight), bias: numbers(more.bias) })),
    }));
    this.setSize(this.full);
  }

  setSize(size) {
    this.size = size;
    this.layers = this.stored.map(layer =>
      size === this.full ? layer : this.resize(layer, size, this.full));
  }

  // What the last layer says of an observation; the hidden activations stay for the drawing.
  run(observation) {
    let values = observation.map((value, i) => Math.fround(value) * this.scale[i] + this.shift[i]);
    this.hidden = [];
    this.layers.forEach(({ weight, bias }, number) => {
      const next = new Array(weight.length), last = number === this.layers.length - 1;
      for (let i = 0; i < weight.length; i++) {
        const row = weight[i];
        let sum = bias[i];
        for (let j = 0; j < row.length; j++) sum += row[j] * values[j];
        next[i] = last ? sum : this.activation(sum);
      }
      values = next;
      if (!last) this.hidden.push(next);
    });
    return values;
  }

  act(observation) {
    const outputs = this.run(observation);
    return outputs.indexOf(Math.max(...outputs));
  }

  parameters(size = this.size) {
    return this.stored.reduce((count, { weight, writes, reads }) => {
      const rows = writes ? size : weight.length;
      return count + rows * ((reads ? size : weight[0].length) + 1);
    }, 1);
  }
}

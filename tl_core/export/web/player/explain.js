// Grad-CAM for a frozen backbone: only pooling and a few fully connected layers lie behind the map.
//
// A feature map is {data: Float32Array, rows, columns, channels}, channels last. A layer is
// {kernel: Int8Array (inputs x outputs), scales: Float32Array (inputs), bias: Float32Array, inputs,
// outputs}; a row of the kernel times its scale is what it stands for.

/** Return the features that the pooling makes of a feature map. */
export function poolMap({ data, rows, columns, channels }, pooling) {
  if (pooling === "flatten") return Float32Array.from(data);
  const pooled = new Float32Array(channels).fill(pooling === "max" ? -Infinity : 0);
  for (let i = 0; i < data.length; i++) {
    const channel = i % channels;
    if (pooling === "max") pooled[channel] = Math.max(pooled[channel], data[i]);
    else pooled[channel] += data[i];
  }
  return pooling === "max" ? pooled : pooled.map((sum) => sum / (rows * columns));
}

/** Return how a class's score, before the softmax, grows with each feature. */
export function scoreGradient(layers, features, label) {
  const active = [];
  let x = Float64Array.from(features);
  for (const layer of layers.slice(0, -1)) {
    x = forward(layer, x);
    active.push(x.map((value) => (value > 0 ? 1 : 0)));
    x = x.map((value) => Math.max(value, 0));
  }
  const last = layers[layers.length - 1];
  let gradient = new Float64Array(last.inputs);
  for (let i = 0; i < last.inputs; i++) {
    gradient[i] = last.kernel[i * last.outputs + label] * last.scales[i];
  }
  for (let number = layers.length - 2; number >= 0; number--) {
    gradient = backward(layers[number], gradient.map((value, i) => value * active[number][i]));
  }
  return gradient;
}

function forward({ kernel, scales, bias, inputs, outputs }, x) {
  const y = Float64Array.from(bias);
  for (let i = 0; i < inputs; i++) {
    const scaled = x[i] * scales[i];
    if (scaled === 0) continue;
    for (let j = 0; j < outputs; j++) y[j] += scaled * kernel[i * outputs + j];
  }
  return y;
}

function backward({ kernel, scales, inputs, outputs }, gradient) {
  const back = new Float64Array(inputs);
  for (let i = 0; i < inputs; i++) {
    let sum = 0;
    for (let j = 0; j < outputs; j++) sum += kernel[i * outputs + j] * gradient[j];
    back[i] = sum * scales[i];
  }
  return back;
}

/**
 * Return the places that speak for a class: rows x columns, none below 0.
 *
 * Each channel counts by the mean of its gradient over the map.
 */
export function classActivation(map, layers, label, pooling) {
  const { data, rows, columns, channels } = map;
  const places = rows * columns;
  const gradient = scoreGradient(layers, poolMap(map, pooling), label);
  const weights = new Float64Array(channels);
  for (let i = 0; i < gradient.length; i++) {
    // The pooled gradient goes back to all places, to the highest, or (flattened) to its own: the
    // mean over the places is the same sum in every case.
    weights[i % channels] += gradient[i] / places;
  }
  const activation = new Float32Array(places);
  for (let place = 0; place < places; place++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += data[place * channels + c] * weights[c];
    activation[place] = Math.max(sum, 0);
  }
  return { data: activation, rows, columns };
}

/**
 * Lay a map of the network's input back over the picture it was made from.
 *
 * Returns width x height numbers in [0, 1], as a share of the strongest; 0 where nothing was seen.
 */
export function spreadHeat(activation, [inputHeight, inputWidth], mode, width, height) {
  const { rows, columns } = activation;
  let seenWidth = width;
  let seenHeight = height;
  if (mode === "crop") {
    const scale = Math.min(width / inputWidth, height / inputHeight);
    seenWidth = Math.max(1, Math.round(inputWidth * scale));
    seenHeight = Math.max(1, Math.round(inputHeight * scale));
  }
  let across = 0; // of the map, what lies beside the picture when it is padded
  let down = 0;
  if (mode === "pad") {
    const scale = Math.min(inputWidth / width, inputHeight / height);
    across = ((1 - (width * scale) / inputWidth) / 2) * columns;
    down = ((1 - (height * scale) / inputHeight) / 2) * rows;
  }
  const left = Math.floor((width - seenWidth) / 2);
  const top = Math.floor((height - seenHeight) / 2);
  const heat = new Float32Array(width * height);
  let hottest = 0;
  for (let y = 0; y < seenHeight; y++) {
    const v = down + ((y + 0.5) / seenHeight) * (rows - 2 * down) - 0.5;
    for (let x = 0; x < seenWidth; x++) {
      const u = across + ((x + 0.5) / seenWidth) * (columns - 2 * across) - 0.5;
      const value = between(activation, u, v);
      heat[(top + y) * width + left + x] = value;
      hottest = Math.max(hottest, value);
    }
  }
  return hottest > 0 ? heat.map((value) => value / hottest) : heat;
}

function between({ data, rows, columns }, u, v) {
  const x = Math.min(Math.max(u, 0), columns - 1);
  const y = Math.min(Math.max(v, 0), rows - 1);
  const [x0, y0] = [Math.floor(x), Math.floor(y)];
  const [x1, y1] = [Math.min(x0 + 1, columns - 1), Math.min(y0 + 1, rows - 1)];
  const upper = data[y0 * columns + x0] * (1 - x + x0) + data[y0 * columns + x1] * (x - x0);
  const lower = data[y1 * columns + x0] * (1 - x + x0) + data[y1 * columns + x1] * (x - x0);
  return upper * (1 - y + y0) + lower * (y - y0);
}

// An exported run, open in the browser: pixels in, probabilities and explanations out.

import { classActivation, poolMap, spreadHeat } from "./explain.js";
import { judge } from "./known.js";
import { loadRuntime } from "./runtime.js";

/**
 * Load the runtime and the run's files.
 *
 * Args:
 *   base: address of the page's folder.
 *   info: model.json.
 *   player: player.json.
 *   onProgress: called with the bytes loaded so far and in all.
 */
export async function openModel(base, info, player, onProgress) {
  if (!["WebAssembly", "OffscreenCanvas", "DecompressionStream"].every((name) => name in globalThis)) {
    throw new Error("This browser is too old to run the model. Update it, or use another one.");
  }
  const { runtime, model, head, known } = player;
  const needed = [...Object.values(runtime), model, head, known].filter(Boolean);
  const total = needed.reduce((sum, file) => sum + file.bytes, 0);
  let loaded = 0;
  const fetchBytes = (file) =>
    readBytes(new URL(file.url, base), file, (count) => onProgress((loaded += count), total));
  const [core, modelBytes, headBytes, knownBytes] = await Promise.all([
    loadRuntime(runtime, fetchBytes),
    fetchBytes(model),
    head && fetchBytes(head),
    known && fetchBytes(known),
  ]);
  const compiled = await core.loadAndCompile(modelBytes, { accelerator: "wasm" });
  return new Model(core, compiled, info, {
    layers: head && readLayers(headBytes, head.layers),
    pooling: player.pooling,
    known: known && info.rejection && readKnown(knownBytes, known, info.rejection),
  });
}

class Model {
  constructor(core, compiled, info, { layers, pooling, known }) {
    this.core = core;
    this.compiled = compiled;
    this.info = info;
    this.layers = layers;
    this.pooling = pooling;
    this.known = known;
    this.lastKey = undefined;
    const outputs = compiled.getOutputDetails();
    this.mapAt = outputs.findIndex(({ shape }) => shape.length === 4);
    this.mapShape = outputs[this.mapAt].shape;
    this.probabilitiesAt = outputs.findIndex(({ shape }) => shape.length === 2);
  }

  /** Run the network on its input; what it gave is kept for answer() and explain(). */
  async look(pixels, key, pictureSize) {
    const [height, width] = this.info.image_size;
    const input = new this.core.Tensor(pixels, [1, height, width, 3]);
    const outputs = await this.compiled.run(input);
    const [, rows, columns, channels] = this.mapShape;
    this.probabilities = Array.from(outputs[this.probabilitiesAt].toTypedArray());
    this.map = { data: outputs[this.mapAt].toTypedArray().slice(), rows, columns, channels };
    this.pictureSize = pictureSize;
    this.lastKey = key;
    input.delete();
    outputs.forEach((output) => output.delete());
  }

  answer() {
    // Of a flattened map the mean over its places describes a photo, as in the studio.
    const features = poolMap(this.map, this.pooling === "max" ? "max" : "avg");
    const judged = judge(this.known, features, this.probabilities, this.info.class_names);
    return { probabilities: this.probabilities, ...judged };
  }

  /** Return {data, width, height}: how strongly each place speaks for the class, in [0, 1]. */
  explain(label, maxSide) {
    const [pictureWidth, pictureHeight] = this.pictureSize;
    const scale = Math.min(1, maxSide / Math.max(pictureWidth, pictureHeight));
    const width = Math.max(1, Math.round(pictureWidth * scale));
    const height = Math.max(1, Math.round(pictureHeight * scale));
    const chosen = label ?? this.probabilities.indexOf(Math.max(...this.probabilities));
    const activation = classActivation(this.map, this.layers, chosen, this.pooling);
    const { image_size: size, resize } = this.info;
    return { data: spreadHeat(activation, size, resize, width, height), width, height, label: chosen };
  }
}

/** Return a file's content; `bytes` and `integrity` are of the file before it is unpacked. */
async function readBytes(url, { bytes, integrity, gzip }, onBytes) {
  let response;
  try {
    response = await fetch(url, integrity ? { integrity } : undefined);
  } catch {
    throw new Error(`${fileName(url)} could not be loaded. Check the connection and reload the page.`);
  }
  if (!response.ok) {
    throw new Error(`${fileName(url)} could not be loaded (${response.status}). Is the upload complete?`);
  }
  const whole = new Uint8Array(bytes);
  let position = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if (position + value.length > bytes) position = Infinity;
    else whole.set(value, position);
    position += value.length;
    onBytes(value.length);
  }
  if (position !== bytes) {
    throw new Error(`${fileName(url)} does not have the size it was exported with. Upload it again.`);
  }
  return gzip ? unpack(whole) : whole;
}

async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function fileName(url) {
  return url.pathname.split("/").pop();
}

function readLayers(bytes, shapes) {
  let offset = 0;
  const take = (Type, count) => {
    const values = new Type(bytes.buffer, offset, count);
    offset += values.byteLength;
    return values;
  };
  const layers = shapes.map(([inputs, outputs]) => ({
    scales: take(Float32Array, inputs),
    bias: take(Float32Array, outputs),
    inputs,
    outputs,
  }));
  return layers.map((layer) => ({ ...layer, kernel: take(Int8Array, layer.inputs * layer.outputs) }));
}

function readKnown(bytes, { count, dim }, rejection) {
  return {
    scales: new Float32Array(bytes.buffer, 0, count),
    anchors: new Int8Array(bytes.buffer, 4 * count, count * dim),
    count,
    dim,
    maxDistance: rejection.max_distance,
    minProbability: rejection.min_probability,
  };
}

// Pillow's reduction and bilinear resize on 8-bit pixels, so that the page sees what training saw.
//
// An image here is {data, width, height, channels}: rows of 3 or 4 bytes a pixel; a fourth is
// ignored. Sizes are [height, width] only where they come from the model's description.

const PRECISION_BITS = 22; // 32 less 8 for the result and 2 of headroom, as in Pillow
const REDUCING_GAP = 3;

/**
 * Return what each of `outSize` pixels takes from a line of `inSize` pixels.
 *
 * A triangle as wide as the pixels it covers, so that a strong reduction leaves nothing out; weights
 * are whole numbers of 2^-22. `starts[i]` and `counts[i]` say which pixels, `weights` holds `taps`
 * numbers for each.
 */
export function coefficients(inSize, from, to, outSize) {
  const scale = Math.fround(Math.fround(to) - Math.fround(from)) / outSize;
  const filterScale = Math.max(scale, 1);
  const support = filterScale; // the triangle reaches one output pixel either way
  const taps = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outSize);
  const counts = new Int32Array(outSize);
  const weights = new Int32Array(outSize * taps);
  const line = new Float64Array(taps);
  for (let i = 0; i < outSize; i++) {
    const center = Math.fround(from) + (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(inSize, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const distance = Math.abs((k + start - center + 0.5) * (1 / filterScale));
      line[k] = distance < 1 ? 1 - distance : 0;
      sum += line[k];
    }
    for (let k = 0; k < count; k++) {
      weights[i * taps + k] = Math.trunc(0.5 + (line[k] / sum) * 2 ** PRECISION_BITS);
    }
    starts[i] = start;
    counts[i] = count;
  }
  return { starts, counts, weights, taps };
}

/** Resize to width x height, first along rows, then along columns; returns an image of 3 channels. */
export function resample(image, width, height, box = [0, 0, image.width, image.height]) {
  const [left, top, right, bottom] = box;
  const across = coefficients(image.width, left, right, width);
  const down = coefficients(image.height, top, bottom, height);
  const firstRow = down.starts[0];
  const lastRow = down.starts[height - 1] + down.counts[height - 1];
  const narrow = resampleRows(image, across, width, firstRow, lastRow);
  return resampleColumns(narrow, down, width, height, firstRow);
}

function resampleRows(image, { starts, counts, weights, taps }, width, firstRow, lastRow) {
  const { data, channels } = image;
  const out = new Uint8Array((lastRow - firstRow) * width * 3);
  const half = 1 << (PRECISION_BITS - 1);
  for (let y = firstRow, o = 0; y < lastRow; y++) {
    const row = y * image.width * channels;
    for (let x = 0; x < width; x++, o += 3) {
      let red = half;
      let green = half;
      let blue = half;
      let at = row + starts[x] * channels;
      for (let k = x * taps, end = k + counts[x]; k < end; k++, at += channels) {
        const weight = weights[k];
        red += data[at] * weight;
        green += data[at + 1] * weight;
        blue += data[at + 2] * weight;
      }
      out[o] = clip(red >> PRECISION_BITS);
      out[o + 1] = clip(green >> PRECISION_BITS);
      out[o + 2] = clip(blue >> PRECISION_BITS);
    }
  }
  return out;
}

function resampleColumns(rows, { starts, counts, weights, taps }, width, height, firstRow) {
  const stride = width * 3;
  const data = new Uint8Array(height * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    sums.fill(1 << (PRECISION_BITS - 1));
    for (let k = 0; k < counts[y]; k++) {
      const weight = weights[y * taps + k];
      const row = (starts[y] - firstRow + k) * stride;
      for (let i = 0; i < stride; i++) sums[i] += rows[row + i] * weight;
    }
    for (let i = 0; i < stride; i++) data[y * stride + i] = clip(sums[i] >> PRECISION_BITS);
  }
  return { data, width, height, channels: 3 };
}

function clip(value) {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/**
 * Reduce by whole numbers: the mean of each block of factorX x factorY pixels, as Image.reduce does.
 *
 * `source.rows(top, count)` gives whole rows; only so many are held at once that a photo of 40
 * megapixels costs a phone no more memory than its decoded picture.
 */
export function reduceByBox(source, factorX, factorY, [left, top, right, bottom]) {
  const width = Math.ceil((right - left) / factorX);
  const height = Math.ceil((bottom - top) / factorY);
  const data = new Uint8Array(width * height * 3);
  forEachStrip(top, bottom, factorY, (start, count) => {
    const image = source.rows(start, count);
    const { channels } = image;
    for (let y = 0; y < count; y += factorY) {
      const numRows = Math.min(factorY, count - y);
      let o = ((start - top + y) / factorY) * width * 3;
      for (let x = left; x < right; x += factorX, o += 3) {
        const numColumns = Math.min(factorX, right - x);
        const num = numRows * numColumns;
        let red = num >> 1;
        let green = red;
        let blue = red;
        for (let row = y; row < y + numRows; row++) {
          let at = (row * image.width + x) * channels;
          for (const end = at + numColumns * channels; at < end; at += channels) {
            red += image.data[at];
            green += image.data[at + 1];
            blue += image.data[at + 2];
          }
        }
        const multiplier = Math.trunc(Math.fround(2 ** 24 / num));
        data[o] = (red * multiplier) / 2 ** 24;
        data[o + 1] = (green * multiplier) / 2 ** 24;
        data[o + 2] = (blue * multiplier) / 2 ** 24;
      }
    }
  });
  return { data, width, height, channels: 3 };
}

/** Return by how much a JPEG may be decoded smaller: 8, 4, 2 or 1, as Pillow's draft mode chooses. */
export function jpegScale(width, height, leastWidth, leastHeight) {
  const most = Math.min(Math.floor(width / leastWidth), Math.floor(height / leastHeight));
  return [8, 4, 2, 1].find((scale) => most >= scale || scale === 1);
}

/**
 * Reduce decoded pixels of a JPEG as its decoder does when it decodes at 1/2, 1/4 or 1/8.
 *
 * The browser offers only the whole picture; libjpeg's reduced transforms give the means of its
 * blocks of 2 x 2, 4 x 4 or 8 x 8 pixels. Pillow leaves out a last row or column that is not whole.
 */
export function reduceAsJpeg(source, scale) {
  const [right, bottom] = [source.width, source.height].map((side) => side - (side % scale));
  return reduceByBox(source, scale, scale, [0, 0, right, bottom]);
}

function forEachStrip(top, bottom, step, visit) {
  const count = step * Math.max(1, Math.floor(256 / step));
  for (let start = top; start < bottom; start += count) {
    visit(start, Math.min(count, bottom - start));
  }
}

/**
 * Make a picture the network's input: RGB bytes of size [height, width], as the studio does.
 *
 * Args:
 *   source: {width, height, rows(top, count)} of the upright picture.
 *   size: [height, width] of the network's input.
 *   mode: "squash" both sides, "crop" the centre, or "pad" with black.
 *   isJpeg: whether the studio would have decoded it at a reduced scale.
 */
export function fitImage(source, [height, width], mode, isJpeg) {
  const inner = mode === "pad" ? fitInside(source.width, source.height, width, height) : [width, height];
  const scale = isJpeg ? jpegScale(source.width, source.height, ...inner) : 1;
  const decoded = scale > 1 ? wholeImage(reduceAsJpeg(source, scale)) : source;
  if (mode === "crop") {
    return resize(decoded, width, height, cropBox(decoded.width, decoded.height, width, height)).data;
  }
  if (mode !== "pad") return resize(decoded, width, height).data;
  const [innerWidth, innerHeight] = fitInside(decoded.width, decoded.height, width, height);
  const small = resize(decoded, innerWidth, innerHeight).data;
  const canvas = new Uint8Array(height * width * 3);
  const left = Math.floor((width - innerWidth) / 2);
  const top = Math.floor((height - innerHeight) / 2);
  for (let y = 0; y < innerHeight; y++) {
    const row = small.subarray(y * innerWidth * 3, (y + 1) * innerWidth * 3);
    canvas.set(row, ((top + y) * width + left) * 3);
  }
  return canvas;
}

/** Give an image the interface of a source that is read by rows. */
export function wholeImage(image) {
  const stride = image.width * image.channels;
  return {
    width: image.width,
    height: image.height,
    rows: (top, count) => ({
      data: image.data.subarray(top * stride, (top + count) * stride),
      width: image.width,
      height: count,
      channels: image.channels,
    }),
  };
}

/** Resize with whole-number steps doing the bulk of a strong reduction: reducing_gap of Pillow. */
function resize(source, width, height, box = [0, 0, source.width, source.height]) {
  const scaleX = (box[2] - box[0]) / width;
  const scaleY = (box[3] - box[1]) / height;
  const factorX = Math.max(1, Math.trunc(scaleX / REDUCING_GAP));
  const factorY = Math.max(1, Math.trunc(scaleY / REDUCING_GAP));
  if (factorX === 1 && factorY === 1) {
    return resample(source.rows(0, source.height), width, height, box);
  }
  const safe = [
    Math.max(0, Math.trunc(box[0] - 0.5 * scaleX)),
    Math.max(0, Math.trunc(box[1] - 0.5 * scaleY)),
    Math.min(source.width, Math.ceil(box[2] + 0.5 * scaleX)),
    Math.min(source.height, Math.ceil(box[3] + 0.5 * scaleY)),
  ];
  const inside = [
    (box[0] - safe[0]) / factorX,
    (box[1] - safe[1]) / factorY,
    (box[2] - safe[0]) / factorX,
    (box[3] - safe[1]) / factorY,
  ];
  return resample(reduceByBox(source, factorX, factorY, safe), width, height, inside);
}

/** Return [left, top, right, bottom] of the largest centred part with the aspect of the output. */
export function cropBox(width, height, outWidth, outHeight) {
  const scale = Math.min(width / outWidth, height / outHeight);
  const left = Math.max(0, (width - outWidth * scale) / 2);
  const top = Math.max(0, (height - outHeight * scale) / 2);
  return [left, top, width - left, height - top];
}

/** Return the largest [width, height] of the same aspect inside the limits. */
export function fitInside(width, height, maxWidth, maxHeight) {
  const scale = Math.min(maxWidth / width, maxHeight / height);
  return [width, height].map((side, i) =>
    Math.min([maxWidth, maxHeight][i], Math.max(1, roundHalfEven(side * scale))),
  );
}

function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

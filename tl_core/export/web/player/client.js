// The page's end of the worker: one promise a request.

export class Client {
  constructor(onProgress) {
    // Through a blob, because then the page's Content-Security-Policy holds in the worker as well:
    // not even the code that holds the photos can reach another address.
    const script = `importScripts(${JSON.stringify(new URL("worker.js", import.meta.url).href)})`;
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.worker = new Worker(url);
    this.pending = new Map();
    this.nextId = 1;
    this.worker.onmessage = ({ data: { id, error, ...reply } }) => {
      if (reply.type === "progress") return onProgress(reply.loaded, reply.total);
      const { resolve, reject } = this.pending.get(id);
      this.pending.delete(id);
      return error === undefined ? resolve(reply) : reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      this.pending.forEach(({ reject }) => reject(new Error(event.message || "The worker stopped.")));
      this.pending.clear();
    };
  }

  /** Load the model; resolves when it can answer. */
  open(base, info, player) {
    return this.#ask({ type: "open", base, info, player });
  }

  /**
   * Answer for a file or, with `bitmap`, a camera frame, which is used up.
   *
   * `key` names the picture: asking again with the last key costs no second run. `explain`
   * ({label, maxSide}) adds a heat map; without a label for the most probable class.
   */
  answer({ file, bitmap, key, explain }) {
    return this.#ask({ type: "answer", file, bitmap, key, explain }, bitmap ? [bitmap] : []);
  }

  #ask(request, transfer = []) {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...request }, transfer);
    });
  }
}

// The page: sources of photos on one side, the model's answer on the other.

import { Bars } from "./bars.js";
import { Camera } from "./camera.js";
import { drawCard } from "./card.js";
import { Client } from "./client.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";

const MAX_HEAT_SIDE = 384;
const base = new URL("..", import.meta.url).href;
const $ = (id) => document.getElementById(id);

class Player {
  constructor(info, player) {
    this.info = info;
    this.client = new Client(showProgress);
    this.canExplain = Boolean(player.head);
    this.explains = false;
    this.label = null; // the class to explain; null for the most probable
    this.shown = null; // the picture on the stage
    this.stage = new Stage({
      stage: $("stage"),
      photo: $("photo"),
      video: $("video"),
      heat: $("heat"),
      onCamera: document.querySelector(".on-camera"),
      rate: $("rate"),
    });
    this.camera = new Camera($("video"));
    this.strip = new Strip($("strip"), (item) => this.show(item));
    this.bars = new Bars(
      { verdict: $("verdict"), reasons: $("reasons"), list: $("bars"), more: $("more") },
      info.class_names,
      (label) => this.chooseClass(label),
    );
    for (const { url, name } of player.examples) this.addExample(new URL(url, base).href, name);
    this.ready = this.client.open(base, info, player);
  }

  addExample(url, name) {
    const getFile = async () => {
      const response = await fetch(url);
      if (!response.ok) throw new Error("The example could not be loaded.");
      return response.blob();
    };
    return this.strip.add({ name, url, getFile });
  }

  /** Add files and show the first; the others are answered one after the other. */
  async addFiles(files) {
    const photos = [...files].filter(({ type, name }) => type.startsWith("image/") || /\.(jpe?g|png|gif|bmp|webp|heic|heif|avif)$/i.test(name));
    if (photos.length === 0) {
      if (files.length > 0) showProblem("Expected photos, for example JPEG or PNG files.");
      return;
    }
    const items = photos.map((file) =>
      this.strip.add({
        name: file.name || "Photo",
        url: URL.createObjectURL(file),
        getFile: async () => file,
        atFront: true,
      }),
    );
    await this.show(items[0]);
    for (const item of items.slice(1)) await this.answer(item);
  }

  /** Put a picture on the stage and answer for it. */
  async show(item) {
    this.stopCamera();
    showProblem(null);
    this.shown = item;
    this.label = null;
    this.strip.select(item);
    this.stage.showPhoto(item.url, item.name);
    await this.refresh();
  }

  /** Answer for what is on the stage, and explain where that is wanted. */
  async refresh() {
    const item = this.shown;
    if (!item) return;
    const reply = await this.answer(item, this.explains);
    if (item !== this.shown) return; // another picture was chosen meanwhile
    if (reply.error) {
      showProblem(reply.error);
      this.showNothing();
      return;
    }
    const time = `Answered in ${Math.max(1, item.milliseconds).toFixed(0)} ms on this device.`;
    this.draw(reply, false, time);
  }

  async answer(item, explains = false) {
    await this.ready;
    if (item.answer && !explains) return item.answer;
    try {
      const reply = await this.client.answer({
        file: await item.getFile(),
        key: item.key,
        explain: explains && this.canExplain ? { label: this.label, maxSide: MAX_HEAT_SIDE } : null,
      });
      item.milliseconds ??= reply.milliseconds;
      const { heat, ...kept } = reply;
      item.answer = kept;
      this.strip.label(item, this.info.class_names);
      return reply;
    } catch (error) {
      item.answer = { error: error.message };
      this.strip.label(item, this.info.class_names);
      return item.answer;
    }
  }

  draw(reply, isLive, hint) {
    $("loading").hidden = true;
    $("result").hidden = false;
    $("look").hidden = !this.canExplain;
    this.bars.show(reply, isLive);
    this.stage.showHeat(this.explains ? (reply.heat ?? null) : null);
    const explained = this.explains ? (reply.heat?.label ?? this.label) : null;
    this.bars.choose(explained);
    $("hint").textContent =
      explained === null
        ? hint
        : `Bright places speak for ${this.info.class_names[explained]}. Choose another class to see what speaks for it.`;
    document.body.dataset.answer = reply.reasons.length ? "none" : "class"; // read by tests
  }

  chooseClass(label) {
    if (!this.canExplain) return;
    this.label = this.explains && this.label === label ? null : label;
    this.setExplains(true);
  }

  setExplains(explains) {
    this.explains = explains;
    if (!explains) this.label = null;
    $("look").setAttribute("aria-pressed", String(explains));
    if (!this.camera.isOn) this.refresh();
  }

  async startCamera(flips = false) {
    showProblem(null);
    try {
      await (flips ? this.camera.flip() : this.camera.start());
    } catch (error) {
      showProblem(error.message);
      this.stopCamera();
      return;
    }
    this.shown = null;
    this.strip.select(null);
    this.stage.showCamera(this.camera.isMirrored);
    $("flip").hidden = !(await Camera.hasSeveral());
    if (!this.isFollowing) await this.follow();
  }

  /** Answer frame by frame, each when the one before is done, until the camera stops. */
  async follow() {
    this.isFollowing = true;
    await this.ready;
    const times = [];
    while (this.camera.isOn) {
      const bitmap = await this.camera.frame();
      if (!bitmap) {
        await new Promise(requestAnimationFrame);
        continue;
      }
      const explain = this.explains ? { label: this.label, maxSide: MAX_HEAT_SIDE / 2 } : null;
      try {
        const reply = await this.client.answer({ bitmap, explain });
        if (!this.camera.isOn) break;
        this.draw(reply, true, "Live: the bars follow the camera.");
        times.push(performance.now());
        while (times[0] < times.at(-1) - 2000) times.shift();
        if (times.length > 2) {
          this.stage.showRate(((times.length - 1) * 1000) / (times.at(-1) - times[0]));
        }
      } catch (error) {
        showProblem(error.message);
        this.stopCamera();
      }
      await new Promise((resolve) => setTimeout(resolve)); // let the page draw and listen
    }
    this.isFollowing = false;
  }

  stopCamera() {
    if (!this.camera.isOn) return;
    this.camera.stop();
    this.stage.showRate(null);
  }

  async shoot() {
    const file = await this.camera.photo();
    await this.addFiles([file]);
  }

  /** After the camera: back to a picture, if there is one. */
  leaveCamera() {
    this.stopCamera();
    const [first] = this.strip.items;
    if (first) this.show(first);
    else this.showNothing();
  }

  showNothing() {
    this.stage.showNothing();
    $("result").hidden = true;
    $("look").hidden = true;
    $("loading").hidden = false; // where "Ready for a photo." stands
  }
}

function listen(player) {
  $("files").addEventListener("change", ({ target }) => {
    player.addFiles([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  });
  $("camera").addEventListener("click", () => player.startCamera());
  $("flip").addEventListener("click", () => player.startCamera(true));
  $("stop").addEventListener("click", () => player.leaveCamera());
  $("shoot").addEventListener("click", () => player.shoot());
  $("look").addEventListener("click", () => player.setExplains(!player.explains));
  document.addEventListener("paste", ({ clipboardData }) => player.addFiles([...clipboardData.files]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("stage").classList.add("is-target");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) $("stage").classList.remove("is-target");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("stage").classList.remove("is-target");
    player.addFiles([...event.dataTransfer.files]);
  });
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && player.camera.isOn) player.leaveCamera();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && player.camera.isOn) player.leaveCamera(); // the camera's light goes off
  });
}

function showProgress(loaded, total) {
  if (document.body.dataset.state === "failed") return; // one file failed, the others still come
  const [have, all] = [loaded, total].map((bytes) => (bytes / 1e6).toFixed(0));
  $("loading-bar").style.transform = `scaleX(${loaded / total})`;
  $("loading-text").textContent =
    loaded < total ? `Loading the model: ${have} of ${all} MB` : "Starting the model";
}

function showProblem(message) {
  $("problem").hidden = !message;
  $("problem").textContent = message ?? "";
}

async function readJson(name) {
  const response = await fetch(new URL(name, base));
  if (!response.ok) throw new Error(`${name} could not be loaded. Is the upload complete?`);
  return response.json();
}

/** In a frame of the studio: its theme, no second title, and the camera at once. */
function embed({ theme }) {
  document.body.classList.add("is-embedded");
  if (theme) $("dark").media = theme === "dark" ? "all" : "not all";
}

async function keepOffline() {
  if (!("serviceWorker" in navigator) || !window.isSecureContext) return;
  try {
    await navigator.serviceWorker.register(new URL("sw.js", base));
    await navigator.serviceWorker.ready;
    $("offline").textContent = "Works offline from now on.";
  } catch {
    // A private window, or a frame of another site: the page works, only not offline.
  }
}

async function start() {
  document.querySelector(".late").remove();
  const embedding = Object.fromEntries(new URLSearchParams(location.search));
  const isEmbedded = embedding.embed === "live";
  if (isEmbedded) embed(embedding);
  try {
    const [info, description] = await Promise.all([readJson("model.json"), readJson("player.json")]);
    drawCard($("about"), description.card);
    $("accuracy").hidden = !description.card.headline;
    $("accuracy").querySelector("span").textContent = description.card.headline;
    const player = new Player(info, description);
    listen(player);
    const [first] = player.strip.items;
    if (isEmbedded) player.startCamera();
    else if (first) player.show(first);
    await player.ready;
    $("loading-text").textContent = "Ready for a photo.";
    document.querySelector(".meter").hidden = true;
    document.body.dataset.state = "ready"; // read by tests
    for (const item of player.strip.items) await player.answer(item);
    if (!isEmbedded) await keepOffline();
  } catch (error) {
    $("loading-text").textContent = error.message;
    $("loading").classList.add("has-failed");
    document.body.dataset.state = "failed";
  }
}

start();

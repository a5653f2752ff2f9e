// Pictures in a grid, each with a box to tick, or each a button. A click on one shows it large.
// Python owns what is ticked: a change is shown at once and told, and what Python says later holds,
// unless it had not heard of the change yet.

const grids = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const element = parentElement.querySelector(".grid");
  if (!grids.has(element)) grids.set(element, new Grid(element, data.ticked !== null));
  grids.get(element).show(data, setTriggerValue);
}

class Grid {
  constructor(element, canTick) {
    this.element = element;
    this.canTick = canTick;
    this.tiles = new Map(); // path -> Tile, in the order shown
    this.told = null; // the ticks that Python has not answered yet
    this.viewed = ""; // the picture of which the large one was asked for last
    this.last = null; // where a range that Shift ends begins
    this.viewer = new Viewer(this);
    element.after(this.viewer.root);
    element.addEventListener("click", (event) => this.onClick(event));
    element.addEventListener("keydown", (event) => this.onKey(event));
    element.addEventListener("focusin", (event) => this.onFocus(event));
  }

  show(data, setTriggerValue) {
    this.setTriggerValue = setTriggerValue;
    this.key = data.key;
    this.hint = data.hint;
    this.element.dataset.key = data.key;
    window.tileGrids ??= new Map(); // by key, for keep_focus.js
    window.tileGrids.set(data.key, this.element);
    this.element.style.setProperty("--tile-width", `${data.tile_width}px`);
    const paths = data.tiles.map((tile) => tile.path);
    const turned = paths.join("\n") !== [...this.tiles.keys()].join("\n");
    if (turned) {
      const before = this.tiles;
      const tileOf = (path) => before.get(path) ?? new Tile(this.canTick);
      this.tiles = new Map(paths.map((path) => [path, tileOf(path)]));
      this.element.replaceChildren(...[...this.tiles.values()].map((tile) => tile.root));
      this.last = null;
      this.stopAt(0);
      this.viewer.close();
    }
    for (const each of data.tiles) this.tiles.get(each.path).show(each, data.hint);
    if (this.canTick && (turned || this.told === null || data.answered === this.told.id)) {
      const ticked = new Set(data.ticked);
      for (const [path, tile] of this.tiles) tile.stop.checked = ticked.has(path);
      this.told = null;
      this.viewer.showTick();
    }
  }

  get stops() {
    return [...this.tiles.values()].map((tile) => tile.stop);
  }

  onClick(event) {
    const tiles = [...this.tiles.values()];
    const clicked = tiles.findIndex((tile) => tile.root.contains(event.target));
    if (clicked < 0) return;
    if (!this.canTick) return this.viewer.open(clicked);
    // A click on the picture with Shift comes as one on its label first, then as one on its box.
    const boxes = this.stops;
    if (event.target !== boxes[clicked]) {
      this.isRange = event.shiftKey;
      if (event.shiftKey || event.target.closest(".tick")) return;
      event.preventDefault();
      return this.viewer.open(clicked);
    }
    if ((event.shiftKey || this.isRange) && this.last !== null) {
      const [from, to] = [this.last, clicked].sort((a, b) => a - b);
      for (const box of boxes.slice(from, to + 1)) box.checked = event.target.checked;
    }
    this.isRange = false;
    this.last = clicked;
    this.stopAt(clicked);
    this.tellTicks();
  }

  tellTicks() {
    const shown = [...this.tiles.keys()];
    const ticked = shown.filter((path) => this.tiles.get(path).stop.checked);
    this.told = { id: `${Date.now()}-${Math.random()}`, shown, ticked };
    this.tell();
  }

  // Of what is told while a page is drawn Streamlit keeps the last: each time all of it is told.
  tell(opened = "") {
    this.setTriggerValue("told", { ticks: this.told, viewed: this.viewed, opened });
  }

  onKey(event) {
    const place = this.stops.indexOf(event.target);
    if (place >= 0 && this.canTick && event.key === "Enter") {
      event.preventDefault();
      return this.viewer.open(place);
    }
    const columns = getComputedStyle(this.element).gridTemplateColumns.split(" ").length;
    const moves = {
      ArrowLeft: place - 1,
      ArrowRight: place + 1,
      ArrowUp: place - columns,
      ArrowDown: place + columns,
      Home: 0,
      End: this.tiles.size - 1,
    };
    if (place < 0 || !(event.key in moves)) return;
    event.preventDefault();
    const next = moves[event.key];
    if (next < 0 || next >= this.tiles.size) return;
    this.stopAt(next);
    this.stops[next].focus();
  }

  // However the focus came to a picture, such as from one that is gone.
  onFocus(event) {
    const place = this.stops.indexOf(event.target);
    if (place >= 0) this.stopAt(place);
  }

  // The Tab key stops at one picture of the grid; the arrow keys go on from there.
  stopAt(place) {
    this.stops.forEach((stop, each) => (stop.tabIndex = each === place ? 0 : -1));
  }
}

// One picture in the size of the window. Left and Right go on, Escape closes; the small picture
// stands in until the large one has come.
class Viewer {
  constructor(grid) {
    this.grid = grid;
    this.large = new Map(); // path -> source, the last few
    this.root = create("dialog", "viewer");
    this.picture = create("img");
    this.name = create("span", "name");
    this.note = create("span", "note");
    this.back = button("‹", "Previous picture", () => this.open(this.place - 1));
    this.on = button("›", "Next picture", () => this.open(this.place + 1));
    const close = button("×", "Close", () => this.close());
    const bar = create("div", "bar");
    const words = create("div", "words");
    words.append(this.name, this.note);
    bar.append(this.back, this.on, words, this.action(), close);
    this.root.append(this.picture, bar);
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.root.addEventListener("click", (event) => event.target === this.root && this.close());
    this.root.addEventListener("close", () => this.grid.stops[this.place]?.focus());
    const hear = ({ detail }) => {
      if (!this.root.isConnected) return window.removeEventListener("tile-grid-large", hear);
      if (detail.grid === this.grid.key) this.take(detail);
    };
    window.addEventListener("tile-grid-large", hear);
  }

  action() {
    if (!this.grid.canTick) {
      return button("Details", "", () => {
        this.close();
        this.grid.tell(this.path);
      });
    }
    const label = create("label", "choose");
    this.box = create("input");
    this.box.type = "checkbox";
    this.box.addEventListener("change", () => {
      this.grid.stops[this.place].checked = this.box.checked;
      this.grid.tellTicks();
    });
    label.append(this.box, "Tick");
    return label;
  }

  open(place) {
    const entries = [...this.grid.tiles];
    if (place < 0 || place >= entries.length) return;
    const [path, tile] = entries[place];
    Object.assign(this, { place, path });
    this.grid.stopAt(place);
    this.picture.src = this.large.get(path) ?? tile.picture.src;
    this.picture.alt = tile.picture.alt;
    this.picture.hidden = tile.picture.hidden;
    this.name.textContent = tile.name.textContent;
    const others = [tile.picture.alt, tile.note.textContent, `${place + 1} of ${entries.length}`];
    this.note.textContent = others.filter(Boolean).join(" · ");
    this.back.disabled = place === 0;
    this.on.disabled = place === entries.length - 1;
    this.showTick();
    if (!this.root.open) this.root.showModal();
    if (this.large.has(path)) return;
    this.grid.viewed = path;
    this.grid.tell();
  }

  showTick() {
    if (this.box && this.root.open !== undefined && this.place !== undefined)
      this.box.checked = Boolean(this.grid.stops[this.place]?.checked);
  }

  take({ path, source }) {
    if (!source) return;
    this.large.delete(path);
    this.large.set(path, source);
    if (this.large.size > 12) this.large.delete(this.large.keys().next().value);
    if (this.root.open && this.path === path) this.picture.src = source;
  }

  close() {
    if (this.root.open) this.root.close();
  }

  onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      this.open(this.place + step);
    }
    event.stopPropagation(); // no shortcut of the page meanwhile
  }
}

class Tile {
  constructor(canTick) {
    this.root = create(canTick ? "label" : "button", "tile");
    this.picture = create("img");
    this.picture.decoding = "sync"; // no empty frame between two pages
    this.broken = create("span", "broken");
    this.name = create("span", "name");
    this.note = create("span", "note");
    this.root.append(this.picture, this.broken, this.name, this.note);
    this.stop = canTick ? this.addBox() : this.root; // what the keyboard stops at
  }

  addBox() {
    const box = create("input");
    box.type = "checkbox";
    const tick = create("span", "tick"); // a larger place to hit than the box
    tick.append(box);
    this.root.append(tick);
    return box;
  }

  show({ path, source, alt, name, note }, hint) {
    if (source && this.picture.src !== source) this.picture.src = source;
    this.root.dataset.path = path;
    this.picture.alt = alt;
    this.picture.hidden = !source;
    this.broken.hidden = Boolean(source);
    this.broken.textContent = source ? "" : "Cannot be read";
    this.name.textContent = name;
    this.note.textContent = note;
    this.note.hidden = !note;
    this.root.title = `${alt}: ${path}` + (hint ? `\n${hint}` : "");
  }
}

function button(text, title, onClick) {
  const element = create("button");
  element.type = "button";
  element.textContent = text;
  element.title = title;
  if (title) element.setAttribute("aria-label", title);
  element.addEventListener("click", onClick);
  return element;
}

function create(tag, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

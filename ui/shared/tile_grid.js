// Pictures in a grid, each with a box to tick, or each a button that opens it. Python owns what is
// ticked: a change is shown at once and told, and what Python says later holds, unless it had not
// heard of the change yet.

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
    this.told = null; // what Python has not answered yet
    this.last = null; // where a range that Shift ends begins
    element.addEventListener("click", (event) => this.onClick(event));
    element.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(data, setTriggerValue) {
    this.tell = setTriggerValue;
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
    }
    for (const each of data.tiles) this.tiles.get(each.path).show(each, data.hint);
    if (this.canTick && (turned || this.told === null || data.answered === this.told)) {
      const ticked = new Set(data.ticked);
      for (const [path, tile] of this.tiles) tile.stop.checked = ticked.has(path);
      this.told = null;
    }
  }

  get stops() {
    return [...this.tiles.values()].map((tile) => tile.stop);
  }

  onClick(event) {
    if (!this.canTick) {
      const button = event.target.closest(".tile");
      const opened = [...this.tiles].find(([, tile]) => tile.stop === button);
      if (opened) this.tell("opened", opened[0]);
      return;
    }
    // A click on the picture comes as one on its label first, then as one on its box.
    const boxes = this.stops;
    const place = boxes.indexOf(event.target);
    if (place < 0) {
      this.isRange = event.shiftKey && event.target.closest(".tile") !== null;
      return;
    }
    if ((event.shiftKey || this.isRange) && this.last !== null) {
      const [from, to] = [this.last, place].sort((a, b) => a - b);
      for (const box of boxes.slice(from, to + 1)) box.checked = event.target.checked;
    }
    this.isRange = false;
    this.last = place;
    this.stopAt(place);
    this.told = `${Date.now()}-${Math.random()}`;
    const paths = [...this.tiles.keys()];
    const ticked = paths.filter((path) => this.tiles.get(path).stop.checked);
    this.tell("ticked", { id: this.told, shown: paths, ticked });
  }

  onKey(event) {
    const place = this.stops.indexOf(event.target);
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

  // The Tab key stops at one picture of the grid; the arrow keys go on from there.
  stopAt(place) {
    this.stops.forEach((stop, each) => (stop.tabIndex = each === place ? 0 : -1));
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
    this.root.append(box);
    return box;
  }

  show({ path, source, alt, name, note }, hint) {
    if (source && this.picture.src !== source) this.picture.src = source;
    this.picture.alt = alt;
    this.picture.hidden = !source;
    this.broken.hidden = Boolean(source);
    this.broken.textContent = source ? "" : "Cannot be read any more";
    this.name.textContent = name;
    this.note.textContent = note;
    this.note.hidden = !note;
    this.root.title = `${alt}: ${path}` + (hint ? `\n${hint}` : "");
  }
}

function create(tag, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

// Pictures in a grid, each with a box to tick. Python owns what is ticked: a change is shown at
// once and told, and what Python says later holds, unless it had not heard of the change yet.

const grids = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const element = parentElement.querySelector(".grid");
  if (!grids.has(element)) grids.set(element, new Grid(element));
  grids.get(element).show(data, setTriggerValue);
}

class Grid {
  constructor(element) {
    this.element = element;
    this.tiles = new Map(); // path -> Tile, in the order shown
    this.told = null; // what Python has not answered yet
    this.last = null; // where a range that Shift ends begins
    element.addEventListener("click", (event) => this.onClick(event));
    element.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(data, setTriggerValue) {
    this.tell = (value) => setTriggerValue("ticked", value);
    this.element.style.setProperty("--tile-width", `${data.tile_width}px`);
    const paths = data.tiles.map((tile) => tile.path);
    const turned = paths.join("\n") !== [...this.tiles.keys()].join("\n");
    if (turned) {
      const before = this.tiles;
      this.tiles = new Map(paths.map((path) => [path, before.get(path) ?? new Tile()]));
      this.element.replaceChildren(...[...this.tiles.values()].map((tile) => tile.label));
      this.last = null;
      this.stopAt(0);
    }
    for (const each of data.tiles) this.tiles.get(each.path).show(each);
    if (turned || this.told === null || data.answered === this.told) {
      const ticked = new Set(data.ticked);
      for (const [path, tile] of this.tiles) tile.box.checked = ticked.has(path);
      this.told = null;
    }
  }

  get boxes() {
    return [...this.tiles.values()].map((tile) => tile.box);
  }

  onClick(event) {
    // A click on the picture comes as one on its label first, then as one on its box.
    const place = this.boxes.indexOf(event.target);
    if (place < 0) {
      this.isRange = event.shiftKey;
      return;
    }
    const checked = event.target.checked;
    if ((event.shiftKey || this.isRange) && this.last !== null) {
      const [from, to] = [this.last, place].sort((a, b) => a - b);
      for (const box of this.boxes.slice(from, to + 1)) box.checked = checked;
    }
    this.isRange = false;
    this.last = place;
    this.stopAt(place);
    this.told = `${Date.now()}-${Math.random()}`;
    const paths = [...this.tiles.keys()];
    this.tell({
      id: this.told,
      shown: paths,
      ticked: paths.filter((path) => this.tiles.get(path).box.checked),
    });
  }

  onKey(event) {
    const place = this.boxes.indexOf(event.target);
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
    this.boxes[next].focus();
  }

  // The Tab key stops at one box of the grid; the arrow keys go on from there.
  stopAt(place) {
    this.boxes.forEach((box, each) => (box.tabIndex = each === place ? 0 : -1));
  }
}

class Tile {
  constructor() {
    this.label = create("label", "tile");
    this.picture = create("img");
    this.picture.decoding = "sync"; // no empty frame between two pages
    this.broken = create("span", "broken");
    this.box = create("input");
    this.box.type = "checkbox";
    this.name = create("span", "name");
    this.note = create("span", "note");
    this.label.append(this.picture, this.broken, this.box, this.name, this.note);
  }

  show({ source, alt, name, note }) {
    if (source && this.picture.src !== source) this.picture.src = source;
    this.picture.alt = alt;
    this.picture.hidden = !source;
    this.broken.hidden = Boolean(source);
    this.broken.textContent = source ? "" : "Cannot be read any more";
    this.name.textContent = name;
    this.label.title = `${alt}: ${name}`;
    this.note.textContent = note;
    this.note.hidden = !note;
  }
}

function create(tag, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

// A sheet of photos to label. A class key is for the ticked photos, or for the current one when none
// is ticked. What was done is shown at once and sent, with all that Python has not answered yet.

const sheets = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const element = parentElement.querySelector(".sheet");
  if (!sheets.has(element)) sheets.set(element, new Sheet(element));
  sheets.get(element).show(data, setTriggerValue);
}

class Sheet {
  constructor(element) {
    this.element = element;
    this.tiles = new Map(); // path -> Tile, in the order shown
    this.pending = []; // actions that Python has not answered
    this.isMoved = false; // whether the person went to the current photo
    this.sheet = null;
    this.grid = create("div", "grid");
    this.grid.setAttribute("role", "group");
    this.grid.setAttribute("aria-label", "Photos to label");
    this.bar = create("div", "bar");
    this.told = create("div", "told");
    this.told.setAttribute("aria-live", "polite");
    element.append(this.grid, this.bar, this.told);
    this.grid.addEventListener("click", (event) => this.onClick(event));
    const listen = (event) => {
      if (element.isConnected) this.onKey(event);
      else document.removeEventListener("keydown", listen, true);
    };
    document.addEventListener("keydown", listen, true);
  }

  show(data, setTriggerValue) {
    this.data = data;
    this.tell = setTriggerValue;
    this.grid.style.setProperty("--tile-width", `${data.tile_width}px`);
    const answered = this.pending.findIndex((one) => one.id === data.answered);
    this.pending = this.pending.slice(answered + 1);
    const paths = data.tiles.map((tile) => tile.path);
    if (data.sheet !== this.sheet || paths.join("\n") !== [...this.tiles.keys()].join("\n")) {
      this.tiles = new Map(paths.map((path) => [path, new Tile(path)]));
      this.grid.replaceChildren(...[...this.tiles.values()].map((tile) => tile.root));
      this.sheet = data.sheet;
      const ticked = new Set(data.ticked);
      for (const [path, tile] of this.tiles) tile.ticked = ticked.has(path);
      this.at = 0;
    }
    for (const each of data.tiles) this.tiles.get(each.path).show(each);
    for (const action of this.pending) this.mark(action);
    this.drawBar();
    if (this.current && this.current.done && !this.isMoved) this.goOn();
    this.point();
    this.takeFocus(data.classes.length);
  }

  // Keys are for the photos once classes have been typed.
  takeFocus(numClasses) {
    const field = document.activeElement;
    const isTyped = field?.closest?.('[class*="st-key-label_new_class"]') && !field.value;
    if (isTyped && numClasses !== this.numClasses) this.current?.root.focus();
    this.numClasses = numClasses;
  }

  get list() {
    return [...this.tiles.values()];
  }

  get current() {
    return this.list[this.at];
  }

  // The photos that a class key is for.
  get chosen() {
    const ticked = this.list.filter((tile) => tile.ticked && !tile.done);
    if (ticked.length) return ticked;
    const isMeant = this.current && !this.current.missing && (!this.current.done || this.isMoved);
    return isMeant ? [this.current] : []; // one with a class only when the person went to it
  }

  act(act, name = "") {
    const paths = act === "undo" || act === "next" ? [] : this.chosen.map((tile) => tile.path);
    if (!paths.length && act !== "undo" && act !== "next") return;
    const action = { id: `${Date.now()}-${Math.random()}`, act, paths, name };
    this.pending.push(action);
    this.mark(action);
    if (act === "label" || act === "out") {
      for (const path of paths) this.tiles.get(path).ticked = false;
      this.goOn();
      this.told.textContent =
        act === "label" ? `${count(paths.length)}: ${name}` : `${count(paths.length)} left out`;
    }
    this.point();
    this.tell("acted", { actions: this.pending });
  }

  mark(action) {
    for (const path of action.paths) {
      const tile = this.tiles.get(path);
      if (tile && action.act === "label") tile.setLabel(action.name, false);
      if (tile && action.act === "out") tile.setLabel("", true);
    }
  }

  // Go to the next photo that has no class yet.
  goOn() {
    this.isMoved = false;
    const open = (place) => this.list[place] && !this.list[place].done;
    for (let step = 0; step < this.list.length; step += 1) {
      const place = (this.at + step) % this.list.length;
      if (open(place)) return (this.at = place);
    }
    return this.at;
  }

  // Show which photo is the current one; the Tab key stops there.
  point() {
    this.list.forEach((tile, place) => {
      const isCurrent = place === this.at;
      tile.root.classList.toggle("current", isCurrent);
      tile.root.tabIndex = isCurrent ? 0 : -1;
      tile.draw();
    });
    const num = this.chosen.length;
    this.element.style.setProperty("--chosen", num);
    if (this.forWhat) this.forWhat.textContent = `For ${count(num)}:`;
    const root = this.element.getRootNode();
    const hasFocus = root.activeElement && this.grid.contains(root.activeElement);
    if (hasFocus && this.current) this.current.root.focus({ preventScroll: true });
  }

  onClick(event) {
    const place = this.list.findIndex((tile) => tile.root.contains(event.target));
    if (place < 0) return;
    this.at = place;
    this.isMoved = true;
    this.list[place].ticked = !this.list[place].ticked;
    this.list[place].root.focus({ preventScroll: true });
    this.point();
  }

  onKey(event) {
    const target = event.composedPath()[0];
    const isTyping = target.closest?.("input, textarea, select, [contenteditable='true']");
    if (isTyping || event.altKey || !this.element.offsetParent || !this.list.length) return;
    const isOurs = this.element.contains(target);
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (letter === "z" && !event.shiftKey) this.take(event, () => this.act("undo"));
      return;
    }
    const isButton = target.closest?.("button, a, [role='tab'], [role='radio'], summary");
    const chosen = this.data.classes.find((one) => one.key === letter);
    const columns = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    const moves = {
      ArrowLeft: this.at - 1,
      ArrowRight: this.at + 1,
      ArrowUp: this.at - columns,
      ArrowDown: this.at + columns,
      Home: 0,
      End: this.list.length - 1,
    };
    if (chosen) return this.take(event, () => this.act("label", chosen.name));
    if (letter in moves && (isOurs || !isButton)) {
      return this.take(event, () => {
        if (this.list[moves[letter]]) this.at = moves[letter];
        this.isMoved = true;
        this.current.root.focus();
        this.point();
      });
    }
    if (letter === "Enter" && !(isButton && !isOurs) && target.tagName !== "BUTTON") {
      const name = this.suggested;
      return name ? this.take(event, () => this.act("label", name)) : undefined;
    }
    if (letter === " " && !isButton) {
      return this.take(event, () => {
        this.current.ticked = !this.current.ticked;
        this.point();
      });
    }
    const acts = { x: "out", u: "undo", n: "next", m: "more" };
    if (letter in acts) return this.take(event, () => this.act(acts[letter]));
    if (letter === "a") return this.take(event, () => this.tickAll());
    return undefined;
  }

  take(event, action) {
    event.preventDefault();
    event.stopPropagation();
    action();
    this.current?.root.scrollIntoView({ block: "nearest" });
  }

  tickAll() {
    const open = this.list.filter((tile) => !tile.done);
    const all = open.every((tile) => tile.ticked);
    for (const tile of open) tile.ticked = !all;
    this.point();
  }

  // The class that Enter gives: that of the sheet, or of the current photo when none is ticked.
  get suggested() {
    const isTicked = this.list.some((tile) => tile.ticked && !tile.done);
    return isTicked ? this.data.suggestion : this.current?.hint || this.data.suggestion;
  }

  drawBar() {
    this.forWhat = create("span", "for");
    const buttons = this.data.classes.map((one) =>
      button(one.key, one.name, `${one.count.toLocaleString("en")}`, () =>
        this.act("label", one.name),
      ),
    );
    const tools = [
      button("X", "Leave out", "", () => this.act("out")),
      button("U", "Undo", "", () => this.act("undo"), !this.data.can_undo),
      button("A", "Tick all or none", "", () => this.tickAll()),
      button("M", "More like these", "", () => this.act("more")),
      button("N", "Skip", "", () => this.act("next")),
    ];
    const classes = create("div", "classes");
    classes.append(this.forWhat, ...buttons);
    const row = create("div", "tools");
    row.append(...tools);
    this.bar.replaceChildren(classes, row);
  }
}

class Tile {
  constructor(path) {
    this.path = path;
    this.ticked = false;
    this.root = create("div", "tile");
    this.root.setAttribute("role", "checkbox");
    this.picture = create("img");
    this.picture.decoding = "sync";
    this.broken = create("span", "broken");
    this.chip = create("span", "chip");
    this.tick = create("span", "tick");
    this.name = create("span", "name");
    this.root.append(this.picture, this.broken, this.tick, this.chip, this.name);
  }

  show({ source, name, label, out, hint }) {
    if (source && this.picture.src !== source) this.picture.src = source;
    this.missing = !source;
    this.picture.hidden = !source;
    this.broken.hidden = Boolean(source);
    this.broken.textContent = source ? "" : "Cannot be read any more";
    this.hint = hint;
    this.fileName = name;
    this.name.textContent = hint ? `${hint}?` : name;
    this.root.title = this.path;
    this.setLabel(label, out);
  }

  setLabel(label, out) {
    this.label = label;
    this.out = out;
    if (this.done) this.ticked = false;
    this.draw();
  }

  get done() {
    return Boolean(this.label) || this.out || Boolean(this.missing);
  }

  draw() {
    this.chip.textContent = this.out ? "left out" : this.label;
    this.chip.hidden = !this.chip.textContent;
    this.root.classList.toggle("done", this.done);
    this.root.classList.toggle("ticked", this.ticked);
    this.tick.textContent = this.ticked ? "✓" : "";
    this.root.setAttribute("aria-checked", String(this.ticked));
    const state = this.chip.textContent || (this.hint ? `probably ${this.hint}` : "no class");
    this.root.setAttribute("aria-label", `${this.fileName}: ${state}`);
    this.picture.alt = "";
  }
}

function button(key, text, note, onClick, isDisabled = false) {
  const element = create("button");
  element.type = "button";
  element.disabled = isDisabled;
  if (key) {
    const shown = create("kbd");
    shown.textContent = key;
    element.append(shown);
  }
  const words = create("span", "text");
  words.textContent = text;
  element.append(words);
  if (note) {
    const small = create("small");
    small.textContent = note;
    element.append(small);
  }
  element.addEventListener("click", onClick);
  return element;
}

function count(num) {
  return num === 1 ? "1 photo" : `${num} photos`;
}

function create(tag, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

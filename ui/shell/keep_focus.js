// Keeps the place of the keyboard. When what has the focus goes, such as a photo that was decided
// about, what takes its place gets the focus, and not the start of the page.

// Containers named so in Python are items: their buttons are about one photo, answer or finding.
// Items may lie in others. The tiles of a grid of pictures are items as well.
const ITEM = ["item_", "finding_", "answer_"].map((name) => `[class*="st-key-${name}"]`).join(", ");
const STOP = "button, input, select, textarea, summary, a[href]";
const REST = 200; // milliseconds; twice at rest in this distance, no more items are waited for

export default function () {
  window.focusKeeper ??= new FocusKeeper();
}

class FocusKeeper {
  constructor() {
    this.forget();
    window.addEventListener("focusin", (event) => this.note(event.composedPath()[0]), true);
    window.addEventListener("keydown", () => this.onKey(), true);
    window.addEventListener("pointerdown", () => this.forget(), true);
    const watch = new MutationObserver(() => this.onChange());
    watch.observe(document.body, { childList: true, subtree: true });
  }

  forget() {
    this.hasKeys = false; // a pointer needs no focus
    this.focused = null; // the element that had it last
    this.places = []; // where that is or was among items, the inner one first
    this.stopgap = null; // the tab that got the focus because no item was there
  }

  onKey() {
    this.hasKeys = true;
    this.stopgap = null; // who goes on from there is not led away again
  }

  note(element) {
    this.focused = element;
    if (element !== this.stopgap) this.stopgap = null;
    this.page = window.location.pathname;
    const places = placesOf(element);
    if (places.length) this.places = places; // what lies in no item, as a dialog, is about the last
  }

  onChange() {
    if (!this.isLost) return;
    this.restore(false);
    this.timer ??= window.setTimeout(() => this.look(false), REST);
  }

  look(wasAtRest) {
    this.timer = undefined;
    if (!this.isLost) return;
    if (wasAtRest && isAtRest()) return this.restore(true);
    this.timer = window.setTimeout(() => this.look(isAtRest()), REST);
  }

  get isLost() {
    if (!this.hasKeys || !this.focused || window.location.pathname !== this.page) return false;
    if (this.stopgap && document.activeElement === this.stopgap) return true;
    return document.activeElement === document.body && !isShown(this.focused);
  }

  // At rest all is drawn: then another button of the item will do, one before, or their tab.
  restore(isResting) {
    for (const { ids, at, kind, list } of this.places) {
      const items = list();
      const before = isResting ? items.slice(0, at + 1).reverse() : [];
      const next = ids.slice(at).map((id) => items.find((item) => idOf(item) === id));
      for (const item of [...next, ...before]) {
        const stop = item && stopIn(item, kind, isResting);
        if (stop) return stop.focus();
      }
    }
    const tab = document.querySelector("[data-testid=stMain] [role=tab][aria-selected=true]");
    if (!isResting || !this.places.length || !tab) return;
    this.stopgap = tab; // items may still come: what the script sent is not always drawn by now
    tab.focus();
  }
}

function placesOf(element) {
  const places = [];
  const note = (item, list, kind) => {
    const items = list();
    places.push({ ids: items.map(idOf), at: items.indexOf(item), kind, list });
  };
  const { host } = element.getRootNode();
  const tile = host && element.closest(".tile");
  if (tile) note(tile, tilesBeside(tile), "");
  let kind = kindOf(element);
  for (let item = (host ?? element).closest(ITEM); item; item = outer(item)) {
    const around = outer(item) && idOf(outer(item));
    note(item, () => itemsIn(around), kind);
    kind = "";
  }
  return places;
}

function itemsIn(around) {
  const items = [...document.querySelectorAll(ITEM)];
  return items.filter((item) => (outer(item) && idOf(outer(item))) === around);
}

function tilesBeside(tile) {
  const { key } = tile.closest(".grid").dataset;
  return () => {
    const grid = window.tileGrids.get(key);
    return grid?.isConnected ? [...grid.querySelectorAll(".tile")] : [];
  };
}

function outer(item) {
  return item.parentElement.closest(ITEM);
}

function idOf(item) {
  return item.dataset.path ?? keyOf(item);
}

function keyOf(element) {
  return /st-key-(\S+)/.exec(element?.className)?.[1] ?? "";
}

// What a button is for, without the photo: "card_move" of "card_move_cats/1.jpg".
function kindOf(element) {
  const key = keyOf(element.closest('[class*="st-key-"]'));
  return /^[a-z]+(_[a-z]+)?/.exec(key)?.[0] ?? "";
}

function stopIn(item, kind, mayDiffer) {
  const own = item.matches(".tile") && (item.matches(STOP) ? item : item.querySelector(STOP));
  if (own) return own;
  const stops = [...item.querySelectorAll(STOP)].filter(
    (stop) => isShown(stop) && !stop.disabled && !stop.closest("[data-testid=stElementToolbar]"),
  );
  return stops.find((stop) => kind && kindOf(stop) === kind) ?? (mayDiffer && stops[0]);
}

function isShown(element) {
  return element.isConnected && element.getClientRects().length > 0;
}

function isAtRest() {
  const app = document.querySelector("[data-testid=stApp]");
  return app?.dataset.testScriptState === "notRunning";
}

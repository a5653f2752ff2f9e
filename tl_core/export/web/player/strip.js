// The row of small pictures: examples, and the photos that were added, each with its answer.

import { make, percentText } from "./bars.js";

const MAX_PHOTOS = 200;

export class Strip {
  /** `onChoose(item)` is called when a picture is chosen by pointer or keyboard. */
  constructor(list, onChoose) {
    this.list = list;
    this.onChoose = onChoose;
    this.items = [];
    this.current = null;
    list.addEventListener("keydown", (event) => this.#move(event));
  }

  /**
   * Add a picture and return its item {key, name, url, getFile, answer}.
   *
   * Args:
   *   name: shown to screen readers.
   *   url: of the picture.
   *   getFile: () => Promise<File | Blob>.
   *   atFront: before those that are there, as photos go before examples.
   */
  add({ name, url, getFile, atFront = false }) {
    const button = make("button", "tile");
    button.type = "button";
    const picture = make("img");
    picture.src = url;
    picture.alt = name;
    picture.loading = "lazy";
    picture.addEventListener("error", () => picture.replaceWith(make("span", "no-picture")));
    const label = make("span", "tile-answer");
    button.append(picture, label);
    const row = make("li");
    row.append(button);
    const item = { key: `photo ${this.items.length} ${url}`, name, url, getFile, answer: null, button, label, row };
    button.addEventListener("click", () => this.onChoose(item));
    const firstExample = this.items.find((other) => other.isExample);
    item.isExample = !atFront;
    this.list.insertBefore(row, atFront && firstExample ? firstExample.row : null);
    this.items = [...this.list.children].map((child) =>
      child === row ? item : this.items.find((other) => other.row === child),
    );
    this.#limit();
    return item;
  }

  /** Mark the picture that is shown; null marks none. */
  select(item) {
    this.current = item;
    this.items.forEach((other) => {
      other.button.toggleAttribute("aria-current", other === item);
    });
    item?.row.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Write an answer, or that there is none, below its picture. */
  label(item, classNames) {
    const { answer } = item;
    const isNone = answer?.reasons?.length > 0;
    const best = answer?.probabilities?.indexOf(Math.max(...answer.probabilities));
    item.label.textContent = answer?.error ? "Unreadable" : isNone ? "None of these" : classNames[best];
    const percent = answer?.error ? "" : percentText(answer.probabilities[best]);
    item.button.title = `${item.name}: ${item.label.textContent} ${isNone ? "" : percent}`.trim();
    item.button.classList.toggle("is-none", isNone || Boolean(answer?.error));
  }

  #move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = this.items.findIndex(({ button }) => button === document.activeElement);
    const next = step && this.items[at + step];
    if (!next) return;
    event.preventDefault();
    next.button.focus();
    this.onChoose(next);
  }

  #limit() {
    const photos = this.items.filter(({ isExample }) => !isExample);
    if (photos.length <= MAX_PHOTOS) return;
    const [oldest] = photos;
    URL.revokeObjectURL(oldest.url);
    oldest.row.remove();
    this.items = this.items.filter((item) => item !== oldest);
  }
}

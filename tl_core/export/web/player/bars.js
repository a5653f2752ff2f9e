// The answer: what it is, how probable each class is, and why it may be none of them.

const SHOWN = 5;

export class Bars {
  /** `onChoose(label)` is called when a class is chosen, to see where the model looked for it. */
  constructor(elements, classNames, onChoose) {
    Object.assign(this, elements); // verdict, reasons, list, more
    this.classNames = classNames;
    this.isExpanded = false;
    this.chosen = null;
    this.rows = classNames.map((name, label) => {
      const row = document.createElement("li");
      const button = make("button", "bar");
      button.type = "button";
      const text = make("span", "name", name);
      text.title = name;
      const track = make("span", "track");
      const fill = make("i");
      track.append(fill);
      const percent = make("span", "percent");
      button.append(text, track, percent);
      button.addEventListener("click", () => onChoose(label));
      row.append(button);
      return { row, button, fill, percent };
    });
    this.more.addEventListener("click", () => {
      this.isExpanded = !this.isExpanded;
      this.#draw();
    });
  }

  /** Show an answer; live ones keep the classes in their places so that bars move, not rows. */
  show({ probabilities, reasons }, isLive) {
    this.last = { probabilities, reasons, isLive };
    this.#draw();
  }

  /** Mark the class that is being explained; null marks none. */
  choose(label) {
    this.chosen = label;
    this.rows.forEach(({ button }, i) => button.setAttribute("aria-pressed", String(i === label)));
  }

  #draw() {
    const { probabilities, reasons, isLive } = this.last;
    const order = probabilities.map((_, label) => label);
    const byProbability = [...order].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    const best = byProbability[0];
    const isNone = reasons.length > 0;
    const limit = this.isExpanded ? order.length : SHOWN;
    const keepsPlaces = isLive && order.length <= SHOWN;
    const shown = keepsPlaces ? order : byProbability.slice(0, limit);

    const name = make("span", "what", isNone ? "None of these" : this.classNames[best]);
    const percent = make("span", "sure", isNone ? "" : percentText(probabilities[best]));
    this.verdict.replaceChildren(name, percent);
    this.verdict.classList.toggle("is-none", isNone);
    this.verdict.setAttribute("aria-live", isLive ? "off" : "polite");
    const closest = `Closest: ${this.classNames[best]}, ${percentText(probabilities[best])}.`;
    this.reasons.replaceChildren(...(isNone ? [...reasons, closest] : []).map((text) => make("p", "", text)));

    this.rows.forEach(({ row, fill, percent: figure }, label) => {
      fill.style.transform = `scaleX(${probabilities[label].toFixed(4)})`;
      figure.textContent = percentText(probabilities[label]);
      row.classList.toggle("is-best", label === best && !isNone);
    });
    const wanted = shown.map((label) => this.rows[label].row);
    const current = [...this.list.children];
    if (current.length !== wanted.length || current.some((row, i) => row !== wanted[i])) {
      this.list.replaceChildren(...wanted);
    }
    this.more.hidden = order.length <= SHOWN;
    this.more.textContent = this.isExpanded ? "Show fewer" : `Show all ${order.length} classes`;
  }
}

/** Return a share as a percentage with one decimal; "< 0.1 %" rather than a zero that is none. */
export function percentText(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  if (share < 1 && share >= 0.9995) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** Return a new element with a class and text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

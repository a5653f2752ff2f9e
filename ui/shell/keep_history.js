// Keeps Forward after Back. A run of the page that was left, such as of a part that polls, may begin
// just before the server hears of the step. Streamlit then writes that page into the history as a
// new step, and all steps forward are lost.

export default function () {
  window.historyKeeper ??= new HistoryKeeper(window.history);
}

class HistoryKeeper {
  constructor(history) {
    this.shown = window.location.pathname;
    this.left = new Set(); // pages that Back or Forward led away from, until somebody does something
    const push = history.pushState;
    history.pushState = (state, unused, url) => {
      if (this.left.has(new URL(url ?? "", window.location.href).pathname)) return;
      push.call(history, state, unused, url);
      this.shown = window.location.pathname;
    };
    window.addEventListener("popstate", () => this.onStep(), true);
    for (const name of ["keydown", "pointerdown"]) {
      window.addEventListener(name, () => this.left.clear(), true);
    }
  }

  onStep() {
    this.left.add(this.shown);
    this.shown = window.location.pathname;
    this.left.delete(this.shown);
  }
}

// The large picture: a photo or the camera, and where the model looked, laid over it.

// From black over purple and orange to pale yellow, lighter at every step: "inferno" at nine places.
const COLOURS = [
  [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
  [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164],
];
const OPACITY = 0.6;

export class Stage {
  constructor({ stage, photo, video, heat, onCamera, rate }) {
    Object.assign(this, { stage, photo, video, heat, onCamera, rate });
  }

  showPhoto(url, name) {
    this.photo.src = url;
    this.photo.alt = name;
    this.#show("photo");
  }

  showCamera(isMirrored) {
    this.#show("video");
    this.stage.classList.toggle("is-mirrored", isMirrored);
  }

  /** Say how many answers a second the camera gets; null says nothing. */
  showRate(perSecond) {
    this.rate.hidden = perSecond === null;
    if (perSecond !== null) this.rate.textContent = `${perSecond.toFixed(0)} answers/s`;
  }

  /** Lay a heat map {data, width, height} over the picture; null takes it away. */
  showHeat(heat) {
    this.heat.hidden = !heat;
    if (!heat) return;
    const { data, width, height } = heat;
    this.heat.width = width;
    this.heat.height = height;
    const image = new ImageData(width, height);
    for (let i = 0; i < data.length; i++) {
      const place = data[i] * (COLOURS.length - 1);
      const lower = Math.min(Math.floor(place), COLOURS.length - 2);
      const share = place - lower;
      for (let c = 0; c < 3; c++) {
        image.data[4 * i + c] = COLOURS[lower][c] * (1 - share) + COLOURS[lower + 1][c] * share;
      }
      image.data[4 * i + 3] = 255 * OPACITY * Math.sqrt(data[i]);
    }
    this.heat.getContext("2d").putImageData(image, 0, 0);
  }

  showNothing() {
    this.#show(null);
  }

  #show(what) {
    this.stage.classList.toggle("is-empty", what === null);
    this.stage.classList.remove("is-mirrored");
    this.photo.hidden = what !== "photo";
    this.video.hidden = what !== "video";
    this.onCamera.hidden = what !== "video";
    this.stage.classList.toggle("is-live", what === "video");
    if (what !== "video") this.showRate(null);
    this.showHeat(null);
  }
}

// The live camera: frames on demand, front or rear.

const WANTED = { width: { ideal: 640 }, height: { ideal: 480 } };

export class Camera {
  constructor(video) {
    this.video = video;
    this.stream = null;
    this.facing = "environment";
  }

  get isOn() {
    return this.stream !== null;
  }

  /** Whether the picture is that of a front camera, which people expect as in a mirror. */
  get isMirrored() {
    const { facingMode } = this.stream?.getVideoTracks()[0].getSettings() ?? {};
    return (facingMode ?? (this.facing === "user" ? "user" : "")) === "user";
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("The camera needs a secure address: https, or localhost.");
    }
    this.stop();
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { ...WANTED, facingMode: { ideal: this.facing } },
      });
    } catch (error) {
      throw new Error(explain(error));
    }
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  /** Go on with the camera on the other side. */
  async flip() {
    this.facing = this.facing === "user" ? "environment" : "user";
    await this.start();
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  /** Return the frame of this moment, or null while there is none yet. */
  async frame() {
    if (!this.isOn || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    return createImageBitmap(this.video);
  }

  /** Return the frame of this moment as a photo. */
  async photo() {
    const canvas = new OffscreenCanvas(this.video.videoWidth, this.video.videoHeight);
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/png" });
    return new File([blob], "Camera photo.png", { type: "image/png" });
  }

  /** Whether the device has a second camera to change to. */
  static async hasSeveral() {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    return devices.filter(({ kind }) => kind === "videoinput").length > 1;
  }
}

function explain(error) {
  if (error.name === "NotAllowedError") {
    return "The camera is blocked for this page. Allow it in the browser's address bar, then try again.";
  }
  if (error.name === "NotFoundError") return "No camera was found on this device.";
  if (error.name === "NotReadableError") return "Another program is using the camera. Close it, then try again.";
  return `The camera could not be started (${error.name}).`;
}

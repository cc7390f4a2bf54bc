// What the film would show: the picture of the source cut by the window, drawn by the browser.

import { h } from "../core/dom.js";

const LONGER_PX = 480;
const BLUR_PX = 12;

export class ResultPicture {
  constructor(frameSize) {
    this.#frameSize = frameSize;
    this.canvas = h("canvas", { class: "would-be", role: "img", "aria-label": "What the film would show" });
    this.element = h("div", { class: "picture result" }, this.canvas);
  }

  #frameSize;

  /** `windows`: in source pixels, one for each panel; `outputSize`: of the film, [width, height]; `fill`: what is round a window
   * of another shape. */
  draw(video, windows, [across, down], fill) {
    const { canvas } = this;
    const scale = LONGER_PX / Math.max(across, down);
    const size = [Math.round(across * scale), Math.round(down * scale)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    if (!video.videoWidth) return;
    const [sx, sy] = [video.videoWidth / this.#frameSize[0], video.videoHeight / this.#frameSize[1]];
    if (windows.length > 1) {
      const context = canvas.getContext("2d");
      const [width, height] = down >= across ? [size[0], size[1] / windows.length] : [size[0] / windows.length, size[1]];
      windows.forEach((at, index) => context.drawImage(
        video, at.x * sx, at.y * sy, at.width * sx, at.height * sy,
        down >= across ? 0 : index * width, down >= across ? index * height : 0, width, height,
      ));
      return;
    }
    const [window] = windows;
    const cut = [window.x * sx, window.y * sy, window.width * sx, window.height * sy];
    const context = canvas.getContext("2d");
    const fit = Math.min(size[0] / window.width, size[1] / window.height);
    const shown = [window.width * fit, window.height * fit];
    context.fillStyle = "#000";
    context.fillRect(0, 0, ...size);
    if (fill !== "pad" && fill !== "crop" && (size[0] - shown[0] > 1 || size[1] - shown[1] > 1)) {
      const cover = Math.max(size[0] / window.width, size[1] / window.height);
      const behind = [window.width * cover, window.height * cover];
      context.filter = `blur(${BLUR_PX}px)`;
      context.drawImage(video, ...cut, (size[0] - behind[0]) / 2, (size[1] - behind[1]) / 2, ...behind);
      context.filter = "none";
    }
    context.drawImage(video, ...cut, (size[0] - shown[0]) / 2, (size[1] - shown[1]) / 2, ...shown);
  }
}

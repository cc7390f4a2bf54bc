// A file's first picture, drawn by the browser before a byte is sent.

const WIDEST_PX = 640;
const PATIENCE_MS = 10_000;
const AT_ONCE = 2; // decoders take memory

const waiting = [];
let busy = 0;

/**
 * {canvas, width, height, seconds} of a file, in the order in which they were asked for; `canvas` null where this browser
 * cannot decode it, `seconds` null where it does not know. Width and height as shown, in pixels.
 */
export function firstFrame(file) {
  return new Promise((resolve) => {
    waiting.push({ file, resolve });
    next();
  });
}

async function next() {
  if (busy >= AT_ONCE || !waiting.length) return;
  busy += 1;
  const { file, resolve } = waiting.shift();
  resolve(await read(file));
  busy -= 1;
  next();
}

async function read(file) {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  Object.assign(video, { muted: true, playsInline: true, preload: "auto", src: url });
  try {
    const shown = (await hasPicture(video)) ? drawn(video) : null;
    const seconds = Number.isFinite(video.duration) ? video.duration : null;
    return { canvas: shown, width: video.videoWidth, height: video.videoHeight, seconds };
  } finally {
    video.removeAttribute("src");
    video.load(); // lets go of the decoder
    URL.revokeObjectURL(url);
  }
}

function hasPicture(video) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), PATIENCE_MS);
    video.addEventListener("loadeddata", () => resolve(video.videoWidth > 0), { once: true });
    video.addEventListener("error", () => resolve(false), { once: true });
  });
}

function drawn(video) {
  const scale = Math.min(1, WIDEST_PX / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(video.videoWidth * scale));
  canvas.height = Math.max(1, Math.round(video.videoHeight * scale));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}

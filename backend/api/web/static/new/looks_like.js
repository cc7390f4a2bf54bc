// What a file is by its first bytes, before any of it is sent. What is unknown is let through: the server decides.

const HEAD_BYTES = 4096;
const CHOOSE = "Choose a video.";
const BOXES = new Set(["ftyp", "moov", "mdat", "free", "skip", "wide", "pnot", "moof", "styp", "sidx", "uuid"]);
const STILLS = new Set(["avif", "heic", "heix", "heim", "heis", "mif1"]);

// [what the first bytes are, in Latin-1; what that is]. Of those that no film begins with.
const OTHERS = [
  [/^\xff\xd8\xff/, "a picture (JPEG)"],
  [/^\x89PNG\r\n\x1a\n/, "a picture (PNG)"],
  [/^GIF8[79]a/, "a picture (GIF)"],
  [/^RIFF[^]{4}WEBP/, "a picture (WebP)"],
  [/^(II\*\0|MM\0\*)/, "a picture (TIFF)"],
  [/^8BPS/, "a picture (Photoshop)"],
  [/^RIFF[^]{4}WAVE/, "sound without a picture (WAV)"],
  [/^ID3/, "sound without a picture (MP3)"],
  [/^fLaC/, "sound without a picture (FLAC)"],
  [/^%PDF-/, "a document (PDF)"],
  [/^\{\\rtf/, "a document"],
  [/^\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1/, "an Office document"],
  [/^PK(\x03\x04|\x05\x06|\x07\x08)/, "a ZIP archive or an Office document"],
  [/^Rar!\x1a\x07/, "an archive (RAR)"],
  [/^7z\xbc\xaf\x27\x1c/, "an archive (7z)"],
  [/^(\x1f\x8b|BZh[1-9]|\xfd7zXZ\0)/, "a compressed file"],
  [/^(\x7fELF|MZ[^]{58})/, "a program"],
  [/^SQLite format 3\0/, "a database"],
];
const FILMS = [
  /^\x1a\x45\xdf\xa3/, // Matroska, WebM
  /^RIFF[^]{4}AVI /,
  /^FLV\x01/,
  /^OggS/,
  /^\x30\x26\xb2\x75\x8e\x66\xcf\x11/, // ASF, WMV
  /^DKIF/, // IVF
  /^\0\0\x01[\xb3\xba\xbb\xe0-\xef]/, // MPEG program and elementary streams
  /^G[^]{187}G|^[^]{4}G[^]{191}G/, // MPEG transport streams, also with time codes
  /\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02/, // MXF, behind a run-in
];
const PLAYLIST = /^\s*(#EXTM3U|#EXT-X-|ffconcat|\[playlist\]|(<\?xml[^]{0,3000})?<(MPD|smil|SmoothStreamingMedia|asx)\b)/i;

/** Why this cannot be a video, as a sentence; "" where it is one or may be. Rejects where the file cannot be read. */
export async function refusalOf(file) {
  if (!file.size) return `This file is empty. ${CHOOSE}`;
  return refusalOfBytes(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()));
}

export function refusalOfBytes(head) {
  const bytes = Array.from(head, (byte) => String.fromCharCode(byte)).join("");
  const other = OTHERS.find(([pattern]) => pattern.test(bytes))?.[1] ?? boxed(bytes);
  if (other) return `This is ${other}. ${CHOOSE}`;
  if (other === "" || FILMS.some((pattern) => pattern.test(bytes))) return "";
  if (!isText(head)) return "";
  if (PLAYLIST.test(bytes)) return "This is a list of other files, and none of them comes with it. Choose the video itself.";
  return `This is text. ${CHOOSE}`;
}

/** Of MP4, MOV and their kin: "" for films, what it is for pictures, null for what is none of them. */
function boxed(bytes) {
  if (!BOXES.has(bytes.slice(4, 8))) return null;
  return bytes.slice(4, 8) === "ftyp" && STILLS.has(bytes.slice(8, 12)) ? "a picture (HEIF)" : "";
}

/** UTF-8 or UTF-16 without a control character that no text has. */
function isText(head) {
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff)) return true;
  try {
    // A character may be cut off at the end of what was read.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return !/[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]/.test(text);
  } catch {
    return false;
  }
}

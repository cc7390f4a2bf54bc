// What to do about an error, by its code. The server's message says what happened; this says what helps.

const AGAIN = "Try again in a few minutes.";
const NEW_LINK = "Edit and run it with a link that opens without signing in.";
const REEXPORT = "Export it again as MP4 (H.264), and upload that.";
const OURS = "This is not your file's fault. Try again; if it comes back, tell whoever runs the server.";

const ADVICE = {
  // the file
  media_truncated: "The file ends early: export it again, or upload it again if the upload was interrupted.",
  media_undecodable: REEXPORT,
  media_error: REEXPORT,
  not_a_video: "Check that it is the right file. If it is a film, export it again as MP4 (H.264).",
  empty_file: "The file has no bytes: export or copy it again, and upload that.",
  no_video_stream: "There is sound alone in it, or nothing. Choose a file with a picture.",
  no_audio_stream: "There is no sound in it. Choose a file with sound.",
  not_a_sound: "Choose a sound file, such as WAV, MP3 or AAC, or a film with sound.",
  unsupported_container: "Playlists name other files, which are not opened. Give the film itself.",
  subtitles_unreadable: "Save the subtitles as SRT, ASS or WebVTT in UTF-8, and run it again.",
  media_too_large: "Export it with a smaller picture, and upload that.",
  media_too_costly: "Cut it into shorter films, or export it with fewer frames.",
  source_changed: "The file behind the link was replaced during the work. Run it again once it no longer changes.",
  upload_incomplete: "Upload the file again: what arrived already is not sent twice.",
  // the link
  input_not_found: "Check the link: the file was moved or deleted, or the address has a typing error. Edit and run it again.",
  source_forbidden: `The link asks for permission. ${NEW_LINK}`,
  source_expired: "The signed link ran out. Edit and run it with a fresh one.",
  no_presign_method_available: `The link asks for permission. ${NEW_LINK}`,
  source_unreachable: "Retry in a few minutes, or edit and run it with another link.",
  unsupported_input: "Give a link that begins with https://, s3:// or gs://, or upload the file.",
  // where the film goes
  output_refused: "The place for the film did not take it. Check that it may be written, then retry.",
  output_unwritable: "The place for the film cannot be written. Name another one.",
  output_exists: "Something lies there already and is never overwritten. Name another place.",
  // what was asked for
  invalid_params: "A setting does not fit this film. Edit and run it.",
  invalid_value: "A value is not allowed. Change it and send it again.",
  quota_exceeded: "Wait until some of your jobs are over, or cancel one.",
  upload_quota_reached: "Finish or drop an upload that is open, then try again.",
  rate_limited: "Too many requests came at once. Wait a moment and try again.",
  scope_missing: "Your key is not for this. Ask whoever runs the server for one that is.",
  // the service
  storage_full: "The server's store is full. Tell whoever runs it.",
  storage_error: `The server's store is away. ${AGAIN}`,
  database_unavailable: `The server is busy with itself. ${AGAIN}`,
  model_missing: "The server lacks its detector's weights. Tell whoever runs it.",
  work_stalled: "It stood still for too long. Retry it; if it stands still again, tell whoever runs the server.",
  media_process_timeout: "Retry it, or cut it into shorter films.",
  media_process_crashed: `Reading the film broke off. Retry it once. ${REEXPORT}`,
  media_jail_unavailable: "The worker is not set up to open films safely. Tell whoever runs the server.",
  encoder_unavailable: "The worker had no encoder free. Retry it.",
};

/** What to do about an error with this code, or about the job's error where it may be retried. */
export function advice(code, retryable = false) {
  return ADVICE[code] ?? (retryable ? `It may pass. ${AGAIN}` : OURS);
}

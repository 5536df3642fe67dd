/** Sends files to the farm, in pieces, so that one that was cut off goes on where it ended. */

import { request } from "./api.js";
import { sha256 } from "./sha256.js";

const PIECE = 8 * 2 ** 20;

/** Send a file, and return its location in the farm. onProgress: called with a share of 0 to 1. */
export async function upload(file, onProgress) {
  const digest = await sha256(file, (done) => onProgress((0.3 * done) / Math.max(1, file.size)));
  const path = `/api/uploads/${digest}?name=${encodeURIComponent(file.name)}`;
  const here = await request(path, { method: "HEAD" });
  let start = arrived(here);
  if (here.status !== 200) {
    if (file.size === 0) await request(path, { method: "PUT", body: file });
    while (start < file.size) {
      const end = Math.min(start + PIECE, file.size);
      const headers = { "content-range": `bytes ${start}-${end - 1}/${file.size}` };
      start = arrived(await request(path, { method: "PUT", body: file.slice(start, end), headers })) || end;
      onProgress(0.3 + (0.7 * start) / file.size);
    }
  }
  onProgress(1);
  return `uploads/${digest}/${file.name}`;
}

/** Return how many bytes have arrived. */
function arrived(response) {
  const match = /bytes=0-(\d+)/.exec(response.headers.get("range") ?? "");
  return match ? Number(match[1]) + 1 : 0;
}

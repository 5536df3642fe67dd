/** Sends files to the farm, in pieces, so that one that was cut off goes on where it ended. */

import { request } from "./api.js";
import { sha256 } from "./sha256.js";

const PIECE = 8 * 2 ** 20;

/** Send a file, and return its location in the farm. onProgress: called with a share of 0 to 1. */
export async function upload(file, onProgress) {
  if (file.size === 0) throw new Error(`${file.name} is empty; choose another file.`);
  const digest = await sha256(file, (done) => onProgress((0.3 * done) / Math.max(1, file.size)));
  const path = `/api/uploads/${digest}?name=${encodeURIComponent(file.name)}`;
  for (let start = 0; start < file.size; ) {
    start = await sent(path, file, start);
    onProgress(0.3 + (0.7 * start) / file.size);
  }
  onProgress(1);
  return `uploads/${digest}/${file.name}`;
}

/** Send a piece, and return where the next one begins: where an earlier upload ended, if there was one. */
async function sent(path, file, start) {
  const end = Math.min(start + PIECE, file.size);
  const headers = { "content-range": `bytes ${start}-${end - 1}/${file.size}` };
  try {
    return arrived(await request(path, { method: "PUT", body: file.slice(start, end), headers }));
  } catch (error) {
    if (error.status !== 409 || start > 0) throw error;
    const here = arrived(await request(path, { method: "HEAD" }));
    if (here === 0) throw error;
    return here;
  }
}

/** Return how many bytes have arrived. */
function arrived(response) {
  const match = /bytes=0-(\d+)/.exec(response.headers.get("range") ?? "");
  return match ? Number(match[1]) + 1 : 0;
}

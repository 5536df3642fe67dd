/** SHA-256 of files of any size, in pieces. The browser's own digest takes a file as a whole, and only on secure pages. */

const primes = [];
for (let n = 2; primes.length < 64; n += 1) if (primes.every((prime) => n % prime)) primes.push(n);

/** Return the first 32 bits of what is behind the point. */
const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const ROUND = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
const START = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
const PIECE = 4 * 2 ** 20;

/** Return the digest of a file in hexadecimal. onPiece: called with the bytes that are done. */
export async function sha256(file, onPiece = () => {}) {
  const state = Int32Array.from(START);
  for (let start = 0; start + 64 <= file.size; start += PIECE) {
    const bytes = new Uint8Array(await file.slice(start, start + PIECE).arrayBuffer());
    for (let at = 0; at + 64 <= bytes.length; at += 64) mix(state, new DataView(bytes.buffer, at, 64));
    onPiece(Math.min(file.size, start + PIECE));
  }
  const rest = new Uint8Array(await file.slice(file.size - (file.size % 64)).arrayBuffer());
  const end = new Uint8Array(rest.length < 56 ? 64 : 128);
  end.set(rest);
  end[rest.length] = 0x80;
  const view = new DataView(end.buffer);
  view.setBigUint64(end.length - 8, BigInt(file.size) * 8n);
  for (let at = 0; at < end.length; at += 64) mix(state, new DataView(end.buffer, at, 64));
  return [...state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

const words = new Int32Array(64);
const turn = (x, n) => (x >>> n) | (x << (32 - n));

/** Mix a block of 64 bytes into the state. */
function mix(state, block) {
  for (let i = 0; i < 16; i += 1) words[i] = block.getInt32(4 * i);
  for (let i = 16; i < 64; i += 1) {
    const x = words[i - 15];
    const y = words[i - 2];
    const low = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
    const high = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
    words[i] = (words[i - 16] + low + words[i - 7] + high) | 0;
  }
  let a = state[0], b = state[1], c = state[2], d = state[3];
  let e = state[4], f = state[5], g = state[6], h = state[7];
  for (let i = 0; i < 64; i += 1) {
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[i] + words[i]) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i] + word) | 0));
}

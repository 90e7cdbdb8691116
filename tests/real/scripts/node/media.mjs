// Checks of what the programs received: pictures are decoded, sound and video are recognised.
import assert from "node:assert/strict";
import { inflateSync } from "node:zlib";

export async function fetched(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, `${url}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// Decode a PNG: every pixel must be there.
export function isPng(bytes, width, height) {
  const data = Buffer.from(bytes);
  assert.equal(data.subarray(1, 4).toString(), "PNG");
  let at = 8, header, pieces = [];
  while (at < data.length) {
    const length = data.readUInt32BE(at), kind = data.subarray(at + 4, at + 8).toString();
    const content = data.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") header = content;
    if (kind === "IDAT") pieces.push(content);
    at += 12 + length;
  }
  const size = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[header[9]];
  if (width) assert.deepEqual(size, [width, height]);
  const row = 1 + Math.ceil((size[0] * channels * header[8]) / 8);
  assert.equal(inflateSync(Buffer.concat(pieces)).length, row * size[1]);
}

export const isVideo = (bytes) => assert.equal(Buffer.from(bytes).subarray(4, 8).toString(), "ftyp");

export function isSound(bytes) {
  const start = Buffer.from(bytes).subarray(0, 4);
  const mp3 = start.subarray(0, 3).toString() === "ID3" || (start[0] === 0xff && (start[1] & 0xe0) === 0xe0);
  assert.ok(start.toString() === "RIFF" || mp3, `neither WAV nor MP3: ${start.toString("hex")}`);
}

// One second of silence: 8,000 samples of 16 bits in a WAV.
export function silence() {
  const data = Buffer.alloc(44 + 16000);
  data.write("RIFF", 0); data.writeUInt32LE(36 + 16000, 4); data.write("WAVEfmt ", 8);
  data.writeUInt32LE(16, 16); data.writeUInt16LE(1, 20); data.writeUInt16LE(1, 22); data.writeUInt32LE(8000, 24);
  data.writeUInt32LE(16000, 28); data.writeUInt16LE(2, 32); data.writeUInt16LE(16, 34);
  data.write("data", 36); data.writeUInt32LE(16000, 40);
  return data;
}

// A PNG of two red and two blue pixels.
export const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEUlEQVR4nGP4zwAEIOI/kAAAG/ID/VxhF44AAAAASUVORK5CYII=",
  "base64",
);

export async function refused(promise, status) {
  await assert.rejects(promise, (error) => {
    const found = error.status ?? error.statusCode;
    assert.equal(found, status, `${error.name} ${found}: ${error.message}`);
    return true;
  });
}

/**
 * Images and text files that go with a message: by paste, by drop, by choice.
 */

const LONGEST_SIDE = 2048;
const QUALITY = 0.9;
const MOST_TEXT = 2 * 1024 * 1024;
const MOST_IMAGE = 50 * 1024 * 1024;
// What engines read; others are converted.
const READ_BY_ENGINES = new Set(["image/png", "image/jpeg"]);

/**
 * Read a file.
 *
 * @param {File} file
 * @returns {Promise<{name: string, kind: "image"|"text", data: string}>} `data` is an
 *   image's data URL, or the text
 * @throws {Error} in words, where it is neither
 */
export async function readFile(file) {
  const name = file.name || "image";
  if (file.type.startsWith("image/") && file.type !== "image/svg+xml") {
    if (file.size > MOST_IMAGE) throw new Error(`${name} is too large.`);
    return { name, kind: "image", data: await readImage(file, name) };
  }
  if (file.size > MOST_TEXT) throw new Error(`${name} is longer than 2 MB.`);
  const bytes = await file.arrayBuffer();
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (text.includes("\0")) throw new TypeError("binary");
    return { name, kind: "text", data: text };
  } catch {
    throw new Error(`${name} is neither an image nor text.`);
  }
}

async function readImage(file, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${name} is no image that this browser can read.`);
  }
  const { width, height } = bitmap;
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  if (scale === 1 && READ_BY_ENGINES.has(file.type)) return dataUrl(file);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  // What is transparent would become black.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", QUALITY);
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/**
 * The bytes in the page: compressed with gzip, in letters.
 * @param {string} letters base64
 * @returns {Promise<ArrayBuffer>}
 * @throws {Error} the browser cannot decompress, or they are damaged
 */
export async function unpack(letters) {
  if (typeof DecompressionStream === "undefined") {
    throw Error("This browser lacks DecompressionStream: it takes Chrome 80, Safari 16.4, Firefox 113 or later ones.");
  }
  const bytes = Uint8Array.from(atob(letters.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// The associated files of a .tflite, which is a zip archive as well: name -> Uint8Array.
export async function associatedFiles(buffer) {
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  let end = buffer.byteLength - 22; // of the record that points to the directory
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("The file holds no tokenizers. Was it written by keras_attention?");
  const count = view.getUint16(end + 10, true);
  const size = view.getUint32(end + 12, true);
  // Python writes offsets from the start of the file, other programs from the start of the archive.
  let entry = end - size;
  const shift = entry - view.getUint32(end + 16, true);
  const files = {};
  for (let i = 0; i < count; i++) {
    const [method, length] = [view.getUint16(entry + 10, true), view.getUint32(entry + 20, true)];
    const lengths = [28, 30, 32].map((at) => view.getUint16(entry + at, true));
    const name = new TextDecoder().decode(bytes.subarray(entry + 46, entry + 46 + lengths[0]));
    const local = view.getUint32(entry + 42, true) + shift;
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    files[name] = await unpacked(bytes.subarray(start, start + length), method);
    entry += 46 + lengths[0] + lengths[1] + lengths[2];
  }
  return files;
}

async function unpacked(bytes, method) {
  if (method === 0) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

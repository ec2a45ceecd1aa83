// Strokes -> columns of eight pixels, made like the images of scikit-learn's `load_digits`: in a drawing 32
// pixels high, each square of 4 x 4 pixels gives one number, the share of its pixels with ink.
const [HEIGHT, SQUARE, PEN] = [32, 4, 5]; // pixels; the width of the pen suits these images
const MOST_BLANK = 5; // columns between two digits, as in training

// Strokes, each a list of [x, y] -> columns, each eight numbers.
export function columnsOf(strokes) {
  const points = strokes.flat();
  const [left, top] = [0, 1].map((i) => Math.min(...points.map((point) => point[i])));
  const [right, bottom] = [0, 1].map((i) => Math.max(...points.map((point) => point[i])));
  const scale = (HEIGHT - PEN) / Math.max(bottom - top, (right - left) / 40, 1);
  const width = Math.ceil(((right - left) * scale + PEN) / SQUARE) * SQUARE;
  const canvas = new OffscreenCanvas(width, HEIGHT);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  const middle = (HEIGHT - (bottom - top) * scale) / 2;
  for (const stroke of strokes) {
    context.beginPath();
    for (const [x, y] of [stroke[0], ...stroke]) {
      context.lineTo((x - left) * scale + PEN / 2, (y - top) * scale + middle);
    }
    context.stroke();
  }
  const pixels = context.getImageData(0, 0, width, HEIGHT).data;
  const columns = [];
  let blank = 0;
  for (let x = 0; x < width; x += SQUARE) {
    const column = Array(HEIGHT / SQUARE).fill(0);
    for (let y = 0; y < HEIGHT; y++) {
      for (let i = 0; i < SQUARE; i++) {
        if (pixels[4 * (y * width + x + i) + 3] > 127) column[Math.floor(y / SQUARE)] += 1 / SQUARE ** 2;
      }
    }
    blank = Math.max(...column) ? 0 : blank + 1;
    if (blank > MOST_BLANK) continue;
    columns.push(column);
  }
  const side = [Array(8).fill(0), Array(8).fill(0)];
  return [...side, ...columns, ...side];
}

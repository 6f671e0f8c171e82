/** @import { Orbit } from "./camera.js" */

const TURN = 0.008; // radians per pixel
const WHEEL = 0.0015; // of the logarithm of the size, per pixel that the wheel scrolls
const [LINE, PAGE] = [16, 400]; // pixels, where a browser counts a wheel's turn in those

/**
 * Mouse, pen and fingers. One finger or the left button turns; two fingers, the other buttons or Shift move; two fingers
 * apart or the wheel zoom.
 * @param {HTMLCanvasElement} canvas
 * @param {Orbit} camera
 * @param {() => void} changed
 */
export function listenToPointers(canvas, camera, changed) {
  const down = /** @type {Map<number, [number, number]>} */ (new Map());

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before || down.size > 2) return;
    const [x, y] = [event.clientX - before[0], event.clientY - before[1]];
    const height = canvas.clientHeight;
    const other = [...down].find(([pointer]) => pointer !== event.pointerId)?.[1];
    if (other) {
      // Each finger tells of itself alone: half of its way moves, and what is between the two zooms.
      const apart = (/** @type {number[]} */ [px, py]) => Math.max(1, Math.hypot(px - other[0], py - other[1]));
      camera.zoom(apart([event.clientX, event.clientY]) / apart(before));
      camera.move(x / 2 / height, y / 2 / height);
    } else if (event.shiftKey || event.buttons & 6) {
      camera.move(x / height, y / height);
    } else {
      camera.turn(TURN * x, TURN * y);
    }
    down.set(event.pointerId, [event.clientX, event.clientY]);
    changed();
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    canvas.addEventListener(end, (event) => down.delete(event.pointerId));
  }
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * [1, LINE, PAGE][event.deltaMode];
      camera.zoom(Math.exp(-WHEEL * Math.min(400, Math.max(-400, pixels)) * (event.ctrlKey ? 4 : 1)));
      changed();
    },
    { passive: false },
  );
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
}

import { readGlb } from "./glb.js";
import { listenToKeys } from "./keys.js";
import { element, Panel } from "./panel.js";
import { listenToPointers } from "./pointers.js";
import { Scene } from "./scene.js";
import { unpack } from "./unpack.js";

const SHARPEST = 2; // pixels of the image in one of the page: more are not seen
const LONGEST = 0.1; // seconds that a motion goes on between two frames, when the page was away meanwhile
const RATE_EVERY = 500; // milliseconds

/** @param {string} text what stands in the middle of the page, nothing to take it away */
function say(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

/** @param {HTMLCanvasElement} canvas @returns {boolean} it has another size now */
function fit(canvas) {
  const ratio = Math.min(devicePixelRatio, SHARPEST);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.max(1, Math.round(ratio * length)));
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}

async function open() {
  const canvas = /** @type {HTMLCanvasElement} */ (element("view"));
  const avatar = readGlb(await unpack(element("avatar").textContent ?? ""));
  fit(canvas);
  let [changed, lost] = [true, false];
  const redraw = () => void (changed = true);
  const scene = new Scene(canvas, avatar);
  const panel = new Panel(scene, redraw);
  say("");

  listenToPointers(canvas, scene.camera, redraw);
  canvas.ondblclick = () => panel.frame();
  const look = (/** @type {() => void} */ move) => () => {
    move();
    redraw();
  };
  const zoomIn = look(() => scene.camera.zoom(1.1));
  listenToKeys({
    " ": () => panel.play(!panel.playing),
    n: () => panel.next(1),
    p: () => panel.next(-1),
    ArrowLeft: look(() => scene.camera.turn(-0.1, 0)),
    ArrowRight: look(() => scene.camera.turn(0.1, 0)),
    ArrowUp: look(() => scene.camera.turn(0, -0.1)),
    ArrowDown: look(() => scene.camera.turn(0, 0.1)),
    "+": zoomIn,
    "=": zoomIn,
    "-": look(() => scene.camera.zoom(1 / 1.1)),
    w: look(() => scene.camera.move(0, 0.05)),
    a: look(() => scene.camera.move(0.05, 0)),
    s: look(() => scene.camera.move(0, -0.05)),
    d: look(() => scene.camera.move(-0.05, 0)),
    "[": () => panel.sharpen(scene.sharpness / 1.2),
    "]": () => panel.sharpen(scene.sharpness * 1.2),
    0: () => panel.frame(),
    c: () => panel.toggle(),
    h: () => panel.bare(),
    Escape: () => {
      panel.open(false);
      canvas.focus();
    },
  });
  canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault(); // or it does not come back
    lost = true;
    say("The graphics processor is busy elsewhere. The picture comes back when it does.");
  });
  canvas.addEventListener("webglcontextrestored", () => {
    scene.restore();
    lost = false;
    say("");
    redraw();
  });

  let [last, since, drawn] = [performance.now(), performance.now(), 0];
  /** @param {number} now milliseconds; the first can lie before all other clocks' */
  const step = (now) => {
    requestAnimationFrame(step);
    const seconds = Math.min(LONGEST, Math.max(0, (now - last) / 1000));
    last = now;
    if (fit(canvas)) panel.measure();
    if (panel.playing && scene.clip) {
      scene.time = (scene.time + seconds) % scene.clip.seconds;
      redraw();
    }
    if (changed && !lost) {
      changed = false;
      scene.draw();
      drawn++;
      panel.showTime();
    }
    if (now - since > RATE_EVERY) {
      panel.showRate(panel.playing ? (1000 * drawn) / (now - since) : 0);
      [since, drawn] = [now, 0];
    }
  };
  requestAnimationFrame(step);
  return { scene, panel };
}

/** For the browser's console, and for tests: the scene and the panel once they are there. */
const opened = open();
Object.assign(globalThis, { opened });
opened.catch((error) => {
  console.warn(error);
  say(error.message);
  document.body.classList.add("bare");
});

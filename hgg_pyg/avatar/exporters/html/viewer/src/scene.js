import { Orbit } from "./camera.js";
import { Painter } from "./paint.js";
import { fromAngles } from "./quaternions.js";
import { poseSkeleton } from "./skeleton.js";
import { Skin } from "./skin.js";
import { DepthOrder } from "./sort.js";

/** @import { Avatar } from "./glb.js" */

const ROOM = 1.15; // that a person takes with some space around, in its heights
const FINGERS = 0.2; // metres from the outermost joint of a hand to the tips
const SOLE = 0.08; // metres from the outermost joint of a foot to the ground
const LOOKS = 24; // at a motion, to see how far it reaches
const FEWEST = 0.1; // metres to the person: nearer its blur grows no more

/** An avatar, what it does, and how it is looked at. */
export class Scene {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Avatar} avatar
   */
  constructor(canvas, avatar) {
    this.canvas = canvas;
    this.avatar = avatar;
    this.skin = new Skin(avatar.splats);
    this.sorted = new DepthOrder(avatar.splats, this.skin);
    this.camera = new Orbit();
    /** Index of the clip; beyond the last one it is the rest pose. */
    this.motion = 0;
    /** Seconds into it. */
    this.time = 0;
    /** Radians about x, y and z that joints are bent by hand, by node. @type {Map<number, number[]>} */
    this.bends = new Map();
    /** 1 leaves no holes; more is finer, and leaves some in the end. */
    this.sharpness = 1;
    /** RGB, 0 to 1. */
    this.background = [1, 1, 1];
    this.size = sizeOf(avatar);
    /** Metres, how high the camera looks. */
    this.level = 0;
    this.painter = new Painter(canvas, avatar.splats, this.skin);
  }

  /** The clip that plays; none is the rest pose. */
  get clip() {
    return this.avatar.clips[this.motion];
  }

  /** Turn to where the person faces as the motion begins, and look at the height of its middle. */
  face() {
    const { maps, places } = this.pose(0);
    this.camera.heading = Math.atan2(maps[2], maps[10]); // where the root's z points
    this.level = places[1] + (this.size.low + this.size.high) / 2;
  }

  /** Look at the whole person again, from the front, with room for what it does. */
  frame() {
    const { width, height } = this.canvas;
    const { low, high } = this.reach();
    this.face();
    this.level += (low + high - this.size.low - this.size.high) / 2;
    this.camera.reset(ROOM * this.size.width, ROOM * (high - low), width / height);
  }

  /** Metres from the root's height as the motion begins, negative below it: how far down and up the person reaches. */
  reach() {
    let { low, high } = this.size;
    const first = this.pose(0).places[1];
    const seconds = Math.max(0, ...(this.clip?.tracks ?? []).map(({ times }) => times[times.length - 1]));
    for (let look = 0; look < LOOKS; look++) {
      const { places } = this.pose((seconds * look) / LOOKS);
      for (let i = 1; i < places.length; i += 3) {
        high = Math.max(high, places[i] - first + FINGERS);
        low = Math.min(low, places[i] - first - SOLE);
      }
    }
    return { low, high };
  }

  /** What the camera sees. */
  view() {
    return this.camera.view(this.canvas.width, this.canvas.height);
  }

  /** A new context's textures and programs, after the old ones were lost. */
  restore() {
    this.painter = new Painter(this.canvas, this.avatar.splats, this.skin);
  }

  /** @param {number} time seconds */
  pose(time) {
    const own = new Map([...this.bends].map(([node, angles]) => [node, fromAngles(angles)]));
    return poseSkeleton(this.avatar.skeleton, this.clip, time, own);
  }

  /**
   * How much Gaussians are blurred so that those that are seen from nearby leave no holes, pixels squared; as
   * hgg_pyg/avatar/footprint.py has it.
   * @param {number} focal of the camera, pixels
   * @param {number} distance to the person's middle, metres
   */
  blur(focal, distance) {
    const seen = this.avatar.footprint;
    const zoom = focal / Math.max(distance, FEWEST) / (seen.focal / seen.distance);
    return seen.variance * Math.max(1, (zoom / this.sharpness) ** 2);
  }

  /** Bring the skin to the present pose and draw it. */
  draw() {
    const { maps, places } = this.pose(this.time);
    this.skin.pose(maps);
    this.camera.target = [places[0], this.level, places[2]]; // it walks with the person, and does not jump with it
    const view = this.view();
    this.sorted.sort(view.matrix);
    this.painter.draw(this.sorted.order, view, this.blur(view.focal[0], this.sorted.middle), this.background);
  }
}

/**
 * @param {Avatar} avatar
 * @returns {{width: number, low: number, high: number}} metres: of somebody with the arms down, and from the root to
 *     the bottom, which is negative, and to the top
 */
function sizeOf({ splats, skeleton }) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 1; i < splats.means.length; i += 3) {
    low = Math.min(low, splats.means[i]);
    high = Math.max(high, splats.means[i]);
  }
  const root = poseSkeleton(skeleton, undefined, 0, new Map()).places[1];
  return { width: 0.6 * (high - low), low: low - root, high: high - root };
}

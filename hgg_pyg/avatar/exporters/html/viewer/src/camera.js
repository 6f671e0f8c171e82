/** @import { View } from "./paint.js" */

const FIELD = (30 * Math.PI) / 180; // of view, from top to bottom
const [CLOSEST, FARTHEST] = [0.15, 30]; // metres
const STEEPEST = 1.55; // radians from the horizon

/** A camera that circles a person, always upright. */
export class Orbit {
  constructor() {
    /** Radians around the person, 0 in front of it. */
    this.yaw = 0;
    /** Radians above the horizon. */
    this.pitch = 0;
    /** Metres to the person, if nothing covers the image; farther otherwise. */
    this.distance = 3;
    /** Parts of the image's width and height, from the left and from the top, that nothing covers. */
    this.free = [1, 1];
    /** Metres that the camera looks beside the person, in the world. */
    this.pan = [0, 0, 0];
    /** Which way the person faces, radians from z to x. */
    this.heading = 0;
    /** [3] metres, the person's middle. */
    this.target = [0, 0, 0];
  }

  /**
   * Back to where the whole person is seen.
   * @param {number} width of the person with room around it, metres
   * @param {number} height
   * @param {number} aspect of the image, its width by its height
   */
  reset(width, height, aspect) {
    this.yaw = 0.3;
    this.pitch = 0.08;
    this.pan = [0, 0, 0];
    const free = (aspect * this.free[0]) / this.free[1];
    this.distance = Math.max(height, width / free) / (2 * Math.tan(FIELD / 2));
  }

  /**
   * @param {number} right radians that the person turns under the pointer
   * @param {number} down
   */
  turn(right, down) {
    this.yaw -= right;
    this.pitch = Math.min(STEEPEST, Math.max(-STEEPEST, this.pitch + down));
  }

  /** @param {number} factor of the person's size on the image */
  zoom(factor) {
    this.distance = Math.min(FARTHEST, Math.max(CLOSEST, this.distance / factor));
  }

  /**
   * @param {number} right that the person moves, in heights of the image
   * @param {number} down
   */
  move(right, down) {
    const metres = (2 * Math.tan(FIELD / 2) * this.distance) / this.free[1];
    const [x, y] = this.axes();
    this.pan = this.pan.map((value, i) => Math.min(3, Math.max(-3, value - metres * (right * x[i] + down * y[i]))));
  }

  /** The image's x, y and the way that the camera looks, in the world: OpenCV's axes. */
  axes() {
    const around = this.yaw + this.heading;
    const [sin, cos, up, level] = [Math.sin(around), Math.cos(around), Math.sin(this.pitch), Math.cos(this.pitch)];
    return [
      [cos, 0, -sin],
      [sin * up, -level, cos * up],
      [-sin * level, -up, -cos * level],
    ];
  }

  /**
   * The person's middle is in the middle of what is free.
   * @param {number} width pixels
   * @param {number} height
   * @returns {View}
   */
  view(width, height) {
    const axes = this.axes();
    const looked = this.target.map((value, i) => value + this.pan[i]);
    const rows = axes.flatMap((axis, row) => {
      const along = axis.reduce((sum, value, i) => sum + value * looked[i], 0);
      return [...axis, (row === 2 ? this.distance / this.free[1] : 0) - along];
    });
    const focal = height / (2 * Math.tan(FIELD / 2));
    return { matrix: [...rows, 0, 0, 0, 1], focal: [focal, focal], center: [(width * this.free[0]) / 2, (height * this.free[1]) / 2] };
  }
}
